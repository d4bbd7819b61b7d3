"""Decompositions: parity with scikit-learn, in the JVM and in SQL."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from sklearn import decomposition as plain
from sklearn.datasets import load_breast_cancer, load_iris

from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.exceptions import SchemaError
from raydp_ml.spark_jobs import covariance
from tests.frames import FEW, WHOLE, frames, spread
from tests.parity import assert_parity, collected


@pytest.fixture(scope="module")
def iris(spark):
    X = load_iris(as_frame=True).data.add(np.array([0, 100, -5, 1e4]))
    X.columns = ["a", "b b", "c.c", "d"]
    return spark.createDataFrame(X).repartition(5).cache()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_components": 2, "whiten": True},
        {"n_components": 0.99},
        {"n_components": "mle", "svd_solver": "full"},
    ],
)
def test_pca(iris, params):
    ours, theirs = PCA(**params), plain.PCA(**{**params, "svd_solver": "full"})
    made = assert_parity(ours, theirs, iris, attributes=False)
    for name in ("components_", "explained_variance_", "singular_values_", "mean_"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-9)
    for name in ("n_components_", "n_samples_", "noise_variance_", "explained_variance_ratio_"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9)
    assert set(vars(ours)) - {"_fitted_on_spark"} == set(vars(theirs))
    back = ours.inverse_transform(made).toPandas()
    assert_allclose(back, ours.inverse_transform(made.toPandas()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["PCA", "TruncatedSVD"])
def test_a_map_too_large_for_sql(spark, name):
    X = load_breast_cancer(as_frame=True).data
    X.columns = [f"c{i}" for i in range(X.shape[1])]
    df = spark.createDataFrame(X).repartition(3).cache()
    ours = {"PCA": PCA, "TruncatedSVD": TruncatedSVD}[name](6).fit(df)
    made = ours.transform(df)
    assert "Python" not in made._jdf.queryExecution().executedPlan().toString()
    frame = df.toPandas()
    assert_allclose(made.toPandas(), ours.transform(frame), rtol=1e-9, atol=1e-9)
    back = ours.inverse_transform(made).toPandas()
    assert_allclose(back, ours.inverse_transform(made.toPandas()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_components": "mle"},
        {"n_components": 0.9},
        {"n_components": 1},
        {"svd_solver": "full"},
        {"svd_solver": "covariance_eigh"},
        {"svd_solver": "arpack"},
        {"svd_solver": "arpack", "n_components": 3},
        {"svd_solver": "randomized", "random_state": 0},
        {"svd_solver": "arpack", "n_components": 4},
        {"svd_solver": "arpack", "n_components": "mle"},
        {"svd_solver": "randomized", "n_components": "mle"},
        {"svd_solver": "randomized", "n_components": 0.5},
        {"svd_solver": "full", "n_components": 5},
        {"svd_solver": "arpack", "n_components": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [150, 3])
def test_what_a_solver_allows(iris, params, rows):
    """The same number of components, the same choice of a solver, or the same error."""
    df = iris if rows == 150 else iris.limit(rows)
    ours, theirs = PCA(**params), plain.PCA(**params)
    try:
        theirs.fit(df.toPandas())
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            ours.fit(df)
        return
    ours.fit(df)
    assert ours._fit_svd_solver == theirs._fit_svd_solver
    assert ours.n_components_ == theirs.n_components_
    assert_allclose(ours.explained_variance_, theirs.explained_variance_, atol=1e-6)
    assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-6, atol=1e-6)
    # A direction without variance, as the third one of three rows is, is anyone's choice.
    known = theirs.explained_variance_ > 1e-6
    got, want = np.abs(ours.components_[known]), np.abs(theirs.components_[known])
    assert_allclose(got, want, atol=1e-4)


def test_truncated_svd(iris):
    ours, theirs = TruncatedSVD(2), plain.TruncatedSVD(2, algorithm="arpack")
    made = assert_parity(ours, theirs, iris, attributes=False)
    for name in ("components_", "explained_variance_", "singular_values_"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-9)
    assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-9)
    back = ours.inverse_transform(made).toPandas()
    assert_allclose(back, ours.inverse_transform(made.toPandas()), rtol=1e-9)


@FEW
@given(frame=frames(WHOLE))
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_truncated_svd_of_random_frames(spark, frame):
    """Directions of equal singular values are anyone's choice; what they leave over is not."""
    df = spread(spark, frame)
    X = collected(df).to_numpy(dtype=float)
    ours = TruncatedSVD(3).fit(df)
    want = np.zeros(8)
    found = np.linalg.svd(X, compute_uv=False)
    want[: len(found)] = found
    scale = max(want[0], 1e-12)
    assert_allclose(ours.singular_values_, want[:3], atol=1e-9 * scale)
    made = ours.transform(df)
    rows = made.toPandas().to_numpy()
    assert_allclose(ours.explained_variance_, rows.var(axis=0), atol=1e-9 * scale**2)
    if X.var(axis=0).any():
        ratio = ours.explained_variance_ / X.var(axis=0).sum()
        assert_allclose(ours.explained_variance_ratio_, ratio, rtol=1e-9, atol=1e-12)
    rest = X - ours.inverse_transform(made).toPandas().to_numpy()
    assert_allclose(np.linalg.norm(rest), np.linalg.norm(want[3:]), atol=1e-9 * scale)
    df.unpersist()


def test_co_moments(spark, monkeypatch):
    X = load_breast_cancer(as_frame=True).data
    X.columns = [f"c{i}" for i in range(X.shape[1])]
    X["far"] = 1e6 + np.arange(len(X)) % 5
    df = spark.createDataFrame(X).repartition(700)
    names = list(X.columns)
    want = np.cov(X.to_numpy().T, bias=True) * len(X)
    scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    few = names[-6:]
    rows, mean, products = covariance.co_moments(df, names)
    assert rows == len(X)
    assert_allclose(mean, X.mean(), rtol=1e-12)
    assert_allclose(products / scale, want / scale, atol=1e-10)
    monkeypatch.setattr(covariance, "java_object", lambda *args: None)
    rows, mean, products = covariance.co_moments(df.coalesce(2), few)
    assert_allclose(mean, X[few].mean(), rtol=1e-12)
    assert_allclose(products / scale[-6:, -6:], (want / scale)[-6:, -6:], atol=1e-9)


def test_bad_input(spark):
    df = spark.createDataFrame([(1.0, None), (float("inf"), 2.0)], "a double, b double")
    with pytest.raises(SchemaError, match=r"infinite values \(column: count\): \{'a': 1\}"):
        PCA().fit(df)
    with pytest.raises(SchemaError, match=r"missing values.*\{'b': 1\}"):
        PCA().fit(df.where("b is null"))
    with pytest.raises(SchemaError, match="has no rows"):
        PCA().fit(df.where("b > 5"))
    whole = spark.createDataFrame([(1.0, 2.0), (2.0, 3.0)], ["a", "b"])
    with pytest.raises(ValueError, match="n_components=5 must be between 0 and"):
        PCA(5).fit(whole)
    with pytest.raises(ValueError, match=r"n_components\(5\) must be <= n_features\(2\)"):
        TruncatedSVD(5).fit(whole)
    with pytest.raises(ValueError, match="a minimum of 2 is required by TruncatedSVD"):
        TruncatedSVD(1).fit(whole.select("a"))
