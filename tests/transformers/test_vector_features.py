"""Vectors into the transformers that take sparse matrices: parity with scikit-learn's on these."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from py4j.protocol import Py4JJavaError
from pyspark.ml.linalg import Vectors
from scipy import sparse
from sklearn import compose as plain_compose
from sklearn import decomposition as plain_decomposition
from sklearn import feature_selection as plain_selection
from sklearn import pipeline as plain_pipeline
from sklearn import preprocessing as plain
from sklearn.utils import get_tags

import raydp_ml
from raydp_ml import set_roles
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.decomposition._krylov import largest_eigenpairs
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold, chi2, f_classif, f_regression
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    StandardScaler,
)
from raydp_ml.xgboost import XGBRegressor
from tests.frames import CATEGORIES, FEW, frames, spread
from tests.parity import assert_same

STEPS = [
    (TruncatedSVD(3), plain_decomposition.TruncatedSVD(3, algorithm="arpack", tol=1e-14)),
    (MaxAbsScaler(), plain.MaxAbsScaler()),
    (MaxAbsScaler(clip=True), plain.MaxAbsScaler(clip=True)),
    (StandardScaler(with_mean=False), plain.StandardScaler(with_mean=False)),
    (Normalizer(), plain.Normalizer()),
    (Normalizer(norm="max"), plain.Normalizer(norm="max")),
    (VarianceThreshold(0.1), plain_selection.VarianceThreshold(0.1)),
    (SelectKBest(chi2, k=4), plain_selection.SelectKBest(chi2, k=4)),
    (SelectKBest(f_classif, k=4), plain_selection.SelectKBest(f_classif, k=4)),
]
ATTRIBUTES = [
    "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_",
    "max_abs_", "scale_", "mean_", "var_", "n_samples_seen_", "variances_", "scores_", "pvalues_",
    "n_features_in_",
]  # fmt: skip


@pytest.fixture(scope="module")
def df(spark):
    rng = np.random.default_rng(0)
    rows = [
        (
            str(rng.choice(["a", "b", "ü", "日本"], p=[0.5, 0.25, 0.2, 0.05])),
            int(rng.integers(0, 4)),
            float(rng.integers(0, 3) * rng.normal() * 5),
            str(rng.choice(["yes", "no", "so"])),
        )
        for _ in range(120)
    ]
    made = spark.createDataFrame(rows, "s string, i int, `x.x` double, y string")
    return made.repartition(3).cache()


def dense(df):
    return np.array([row.toArray() for row in df.toPandas().iloc[:, 0]])


@pytest.mark.parametrize(("ours", "theirs"), STEPS, ids=lambda item: str(item)[:30])
def test_one_hot_beside_a_column(df, ours, theirs):
    def build(prep, comp, pipe, last):
        encoder = ("o", prep.OneHotEncoder(), ["s", "i"])
        columns = comp([("x", prep.MinMaxScaler(), ["x.x"]), encoder], sparse_threshold=1)
        return pipe(columns, last)

    frame = df.toPandas()
    X, y = frame.drop(columns="y"), frame["y"]
    want = build(plain, plain_compose.ColumnTransformer, plain_pipeline.make_pipeline, theirs)
    want.fit(X, y)
    pipe = build(raydp_ml.preprocessing, ColumnTransformer, make_pipeline, ours).fit(df, "y")
    for name in ATTRIBUTES:
        if hasattr(want[-1], name):
            assert_same(getattr(pipe[-1], name), getattr(want[-1], name), name)
    assert not hasattr(pipe[-1], "feature_names_in_")
    rows = want.transform(X)
    rows = rows.toarray() if sparse.issparse(rows) else rows
    made = pipe.transform(df)
    assert made.columns[-1] == "y"
    if isinstance(ours, TruncatedSVD):
        assert made.columns[:3] == list(want[-1].get_feature_names_out())
        got = made.drop("y").toPandas()
    else:
        assert made.columns[0] == type(ours).__name__.lower()
        got = dense(made)
        assert len(pipe.get_feature_names_out()) == rows.shape[1]
    assert_allclose(got, rows, rtol=1e-9, atol=1e-9)
    plan = made._jdf.queryExecution().executedPlan().toString()
    assert "Python" not in plan
    in_memory = pickle.loads(pickle.dumps(pipe)).transform(X)
    in_memory = in_memory.toarray() if sparse.issparse(in_memory) else in_memory
    assert_allclose(in_memory, rows, rtol=1e-9, atol=1e-9)
    if hasattr(pipe[-1], "inverse_transform"):
        with pytest.raises(SchemaError, match="cannot be undone in Spark"):
            pipe[-1].inverse_transform(made)


@pytest.mark.slow
def test_ten_thousand_columns(spark, tmp_path):
    """The Gram matrix of one one-hot column is diagonal: the counts of the categories."""
    df = spark.range(12_000, numPartitions=3).selectExpr(
        "string(if(id < 10000, id, floor(sqrt(id - 10000)) % 40)) AS c", "double(id % 7) AS y"
    )
    df = set_roles(df, label="y").cache()
    counts = np.sort(df.groupBy("c").count().toPandas()["count"])[::-1]
    pipe = make_pipeline(OneHotEncoder(), TruncatedSVD(4), XGBRegressor(n_estimators=3, n_jobs=1))
    pipe.fit(df)
    svd = pipe[1]
    assert svd.n_features_in_ == 10_000
    assert_allclose(svd.singular_values_**2, counts[:4], rtol=1e-9)
    share = counts[:4] / 12_000
    assert_allclose(svd.explained_variance_, share * (1 - share), rtol=1e-9)
    frame = df.toPandas()
    got = pipe.predict(df).toPandas()["prediction"]
    assert_allclose(got, pipe.predict(frame[["c"]]), rtol=1e-5)
    raydp_ml.save(pipe, tmp_path / "pipe")
    again = raydp_ml.load(tmp_path / "pipe")
    assert_array_equal(again.predict(df).toPandas()["prediction"], got)


@settings(FEW, max_examples=3)
@given(frame=frames(CATEGORIES, least=4))
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_random_categories(spark, frame):
    df = spread(spark, frame)
    encoder = OneHotEncoder().fit(df)
    X = encoder.transform(df.toPandas())
    vectors = encoder.transform(df)
    found = np.zeros(3)
    values = np.linalg.svd(X.toarray(), compute_uv=False)[:3]
    found[: len(values)] = values
    svd = TruncatedSVD(3).fit(vectors)
    assert_allclose(svd.singular_values_, found, atol=1e-9 * found[0])
    scaler = StandardScaler(with_mean=False).fit(vectors)
    assert_allclose(scaler.var_, X.toarray().var(axis=0), rtol=1e-9, atol=1e-12)
    scaled = plain.StandardScaler(with_mean=False).fit_transform(X).toarray()
    assert_allclose(dense(scaler.transform(vectors)), scaled, rtol=1e-9)
    df.unpersist()


def test_vectors_of_all_kinds(spark):
    """Dense and sparse vectors, NaN, explicit zeros, far from zero; with weights."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 3)) + np.array([1e6, 0, -3])
    X[::4, 1] = 0
    X[1, 2] = np.nan
    w = rng.integers(0, 3, 40).astype(float)
    rows = [
        (Vectors.dense(x) if i % 2 else Vectors.sparse(3, [0, 1, 2], x), float(w[i]))
        for i, x in enumerate(X.tolist())
    ]
    df = spark.createDataFrame(rows, ["v", "w"]).repartition(3)
    for weight in (None, "w"):
        data = set_roles(df, ignore="w") if weight is None else df
        ours = StandardScaler(with_mean=False).fit(data, sample_weight=weight)
        theirs = plain.StandardScaler(with_mean=False)
        theirs.fit(X, sample_weight=None if weight is None else w)
        for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
            assert_same(getattr(ours, name), getattr(theirs, name), name)
    ours = MaxAbsScaler().fit(set_roles(df, ignore="w"))
    assert_allclose(ours.max_abs_, np.nanmax(np.abs(X), axis=0), rtol=1e-12)


def test_fitted_in_memory(df):
    frame = df.toPandas()
    pipe = make_pipeline(OneHotEncoder(), TruncatedSVD(2)).fit(frame[["s", "i"]])
    made = pipe.transform(df.select("s", "i"))
    assert_allclose(made.toPandas(), pipe.transform(frame[["s", "i"]]), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_bad_input(spark, df):
    vectors = OneHotEncoder().fit(df.select("s")).transform(df.select("s", "y"))
    for step in (PCA(2), MinMaxScaler(), Binarizer()):
        with pytest.raises(SchemaError, match="takes no columns of vectors, such as 'onehotenc"):
            step.fit(vectors, "y")
    with pytest.raises(ValueError, match="Cannot center sparse matrices: pass `with_mean=False`"):
        StandardScaler().fit(vectors, "y")
    with pytest.raises(ValueError, match=r"n_components\(9\) must be <= n_features\(4\)"):
        TruncatedSVD(9).fit(vectors, "y")
    with pytest.raises(ValueError, match=r"is not for vectors\. Choose f_classif or chi2"):
        SelectKBest(f_regression, k=1).fit(vectors, "y")
    odd = [(Vectors.dense(1.0, float("inf")),), (Vectors.dense(1.0, float("nan")),)]
    odd = spark.createDataFrame([*odd, (Vectors.dense(2.0, 1.0),)], ["v"])
    with pytest.raises(SchemaError, match=r"infinite values \(entry: count\): \{1: 1\}"):
        MaxAbsScaler().fit(odd)
    finite = odd.where("not contains(string(v), 'Infinity')")
    with pytest.raises(SchemaError, match=r"missing values, NaN \(entry: count\): \{1: 1\}"):
        TruncatedSVD(1).fit(finite)
    with pytest.raises(SchemaError, match="has no rows"):
        MaxAbsScaler().fit(odd.limit(0))
    ragged = spark.createDataFrame([(Vectors.dense(1.0),), (Vectors.dense(1.0, 2.0),)], ["v"])
    with pytest.raises(SchemaError, match="some of 1 and some of 2 entries"):
        MaxAbsScaler().fit(ragged)
    with pytest.raises(SchemaError, match="1 of 3 vectors are null"):
        MaxAbsScaler().fit(ragged.union(spark.createDataFrame([(None,)], ragged.schema)))
    whole = ragged.where("size(array(v)) > 0").limit(0).union(finite.limit(1))
    scaler = MaxAbsScaler().fit(finite)
    with pytest.raises(Py4JJavaError, match="those that the transformer was fitted with had 2"):
        scaler.transform(ragged).collect()
    assert scaler.transform(whole).count() == 1
    with pytest.raises(SchemaError, match="too wide for n_components=90"):
        TruncatedSVD(90).fit(spark.createDataFrame([(Vectors.sparse(1 << 20, [1], [1.0]),)], ["v"]))


@pytest.mark.slow
def test_entries_that_are_refused(spark):
    """NaN and infinity where scikit-learn refuses them in a sparse matrix."""
    rows = [(Vectors.dense(1.0, 2.0), 0), (Vectors.dense(3.0, 1.0), 1), (Vectors.dense(2, 5), 1)]
    df = spark.createDataFrame(rows, ["v", "y"]).cache()
    odd = {
        value: spark.createDataFrame([(Vectors.dense(1.0, float(value)),)], ["v"])
        for value in ("nan", "inf", "-inf")
    }
    for step in (
        Normalizer(),
        TruncatedSVD(1),
        SelectKBest(f_classif, k=2),
        MaxAbsScaler(),
        VarianceThreshold(),
        StandardScaler(with_mean=False),
    ):
        step.fit(df, "y")
        for value, held in odd.items():
            made = step.transform(held)
            if value == "nan" and get_tags(step).input_tags.allow_nan:
                assert np.isnan(made.head()[0].toArray()).tolist() == [False, True]
                continue
            if isinstance(step, VarianceThreshold):
                assert made.head()[0].toArray().tolist() == [1.0, float(value)]
                continue
            refused = "as its entry 1, and the transformer takes no"
            with pytest.raises(Py4JJavaError, match=refused):
                made.collect()
            with pytest.raises(SchemaError, match=f"^A vector holds .* {refused}"):
                MaxAbsScaler().fit(made)  # the first to run it
            with pytest.raises(SchemaError, match=f"^A vector holds .* {refused}"):
                raydp_ml.from_spark(made)


@pytest.mark.parametrize(("width", "count"), [(3, 2), (60, 4), (40, 40), (5, 1)])
def test_largest_eigenpairs(width, count):
    rng = np.random.default_rng(width)
    A = rng.normal(size=(30, width)) * np.exp(-4 * rng.random(width))
    values, found = largest_eigenpairs(lambda Q: A.T @ (A @ Q), width, count)
    want = np.zeros(max(width, 30))
    exact = np.linalg.svd(A, compute_uv=False) ** 2
    want[: len(exact)] = exact
    assert_allclose(values, want[:count], atol=1e-12 * want[0])
    assert_allclose(found.T @ found, np.eye(count), atol=1e-12)
    assert_allclose(A.T @ (A @ found), found * values, atol=1e-11 * want[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert largest_eigenpairs(lambda Q: 0 * Q, width, count)[0].tolist() == [0.0] * count
