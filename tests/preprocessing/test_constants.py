"""What is a constant: with weights, far from zero, nearly so, in single precision, in vectors."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.ml.linalg import Vectors
from sklearn import feature_selection as plain_selection
from sklearn import preprocessing as plain

from raydp_ml import preprocessing
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold, f_classif, f_regression

CONSTANT = {"zero": 0.0, "tenth": 0.1, "other": 1.7, "less": -3.3e-7, "large": 12345.678}
CONSTANT |= {"far": 1e15 + 0.3, "tiny": 1e-300}
WEIGHTS = {
    "none": lambda rng, n: None,
    "sum to 1": lambda rng, n: rng.dirichlet(np.ones(n)),
    "tiny": lambda rng, n: 1e-6 * rng.random(n),
    "some zero": lambda rng, n: (np.arange(n) % 3 > 0) * 1.0,
}


def rows(n):
    """Constants, columns that are nearly so, and one that is none."""
    k = np.arange(n)
    near = {
        "far_apart": 1e15 + 0.125 * (k % 3),
        "one": 1 + 2.0**-52 * (k % 2),
        "less_near_one": 1 + 1e-12 * (k % 5),
        "near_zero": 1e-16 * (k % 3),
        "less_near_zero": 1e-14 * (k % 3),
        "short_float": 1e-7 * (k % 3),
        "longer_float": 3e-6 * (k % 3),
        "off_once": np.where(k == 1, 0.1 + 1e-9, 0.1),
    }
    constant = {name: np.full(n, value) for name, value in CONSTANT.items()}
    return pd.DataFrame({**constant, **near, "plain": k * 1.0})


def check(spark, n, kind, weights):
    X = rows(n).astype(np.float32 if kind == "float" else np.float64)
    w = WEIGHTS[weights](np.random.default_rng(n), n)
    df = spark.createDataFrame(X if w is None else X.assign(w=w))
    df = df.selectExpr(*(f"{kind}({name}) {name}" for name in X), *([] if w is None else ["w"]))
    df = df.repartition(3).cache()
    ours = preprocessing.StandardScaler().fit(df, sample_weight=None if w is None else "w")
    theirs = plain.StandardScaler().fit(X, sample_weight=w)
    count = len(CONSTANT)
    assert_array_equal(ours.scale_[:count], 1.0)
    assert_array_equal(ours.var_[:count], 0.0)
    assert_allclose(ours.mean_[:count], X.iloc[0, :count], rtol=1e-15)
    assert_array_equal(ours.scale_ == 1, theirs.scale_ == 1)
    assert_allclose(ours.scale_[-1], theirs.scale_[-1], rtol=1e-6 if kind == "float" else 1e-9)
    if w is not None:
        return
    for name in ("MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        ours, theirs = (getattr(module, name)().fit(data) for module, data in (
            (preprocessing, df), (plain, X)
        ))  # fmt: skip
        assert_allclose(ours.scale_, theirs.scale_, rtol=1e-6, err_msg=name)
    support = VarianceThreshold().fit(df).get_support()
    assert_array_equal(support, plain_selection.VarianceThreshold().fit(X).get_support())
    for params in ({"strategy": "uniform"}, {"strategy": "quantile"}):
        with warnings.catch_warnings(record=True) as met:
            warnings.simplefilter("always")
            ours = preprocessing.KBinsDiscretizer(2, encode="ordinal", **params).fit(df)
        with warnings.catch_warnings(record=True) as wanted:
            warnings.simplefilter("always")
            theirs = plain.KBinsDiscretizer(2, encode="ordinal", **params).fit(X)
        assert [str(w.message) for w in met] == [str(w.message) for w in wanted]
        assert_array_equal(ours.n_bins_, theirs.n_bins_)
    ours = preprocessing.PowerTransformer().fit(df.select(*CONSTANT, "plain"))
    assert_array_equal(ours.lambdas_[:-1], 1.0)
    assert_array_equal(ours._scaler.scale_[:-1], 1.0)


@pytest.mark.parametrize(("kind", "weights"), [("double", "sum to 1"), ("float", "none")])
def test_ten_rows(spark, kind, weights):
    check(spark, 10, kind, weights)


@pytest.mark.grid
@pytest.mark.parametrize("weights", list(WEIGHTS))
@pytest.mark.parametrize("kind", ["double", "float"])
@pytest.mark.parametrize("n", [3, 100, 1000])
def test_all(spark, n, kind, weights):
    check(spark, n, kind, weights)


def test_vectors_of_constants(spark):
    w = np.random.default_rng(0).dirichlet(np.ones(9))
    rows = [(Vectors.dense(0.1, 12345.678, 0.0, float(k)), float(v)) for k, v in enumerate(w)]
    df = spark.createDataFrame(rows, ["v", "w"]).repartition(3).cache()
    ours = preprocessing.StandardScaler(with_mean=False).fit(df, sample_weight="w")
    assert_array_equal(ours.scale_[:3], 1.0)
    assert_allclose(ours.mean_[:3], [0.1, 12345.678, 0.0], rtol=1e-15)
    labelled = df.selectExpr("v", "w < 0.1 AS y")
    with pytest.warns(UserWarning, match=r"Features \[0 1 2\] are constant"):
        selected = SelectKBest(f_classif, k=1).fit(labelled, "y")
    assert selected.get_support().tolist() == [False, False, False, True]


def test_the_scores_of_constants(spark):
    """Rounding must not make one the best feature; of whole numbers scikit-learn says the same."""
    k = np.arange(30)
    X = pd.DataFrame({"tenth": 0.1, "two": 2.0, "plain": np.sin(k), "steps": k % 3 / 10})
    df = spark.createDataFrame(X.assign(y=k % 3)).repartition(4).cache()
    with pytest.warns(UserWarning, match=r"Features \[0 1 3\] are constant"):
        ours = SelectKBest(f_classif, k=2).fit(df, "y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = plain_selection.SelectKBest(plain_selection.f_classif, k=2).fit(X, k % 3)
    assert np.isnan(ours.scores_[:2]).all()
    assert np.isnan(theirs.scores_[1])
    assert_allclose(ours.scores_[2], theirs.scores_[2], rtol=1e-9)
    # Constant within each class, and not over all.
    assert np.isinf(ours.scores_[3])
    assert theirs.scores_[3] > 1e9
    assert ours.get_support().tolist() == [False, False, True, True]
    ours = SelectKBest(f_regression, k=2).fit(df, "y")
    assert_array_equal(ours.scores_[:2], 0.0)
    assert_array_equal(ours.pvalues_[:2], 1.0)
