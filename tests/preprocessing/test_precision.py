"""Comparisons in the type that scikit-learn compares in: that of the frame that pandas collects."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pyspark.ml.linalg import Vectors
from pyspark.sql.functions import expr
from scipy import sparse
from sklearn import impute as plain_impute
from sklearn import preprocessing as plain
from sklearn.base import clone

from raydp_ml import impute, preprocessing
from raydp_ml.decomposition import PCA, TruncatedSVD

EPS = {"double": np.finfo(np.float64).eps, "float": np.finfo(np.float32).eps}
FRAMES = {
    "float": "float(a) a, float(b) b",
    "float and smallint": "float(a) a, smallint(c) b",
    "float and boolean": "float(a) a, c > 1 b",
    "float and int": "float(a) a, int(c) b",
    "float and double": "float(a) a, b",
    "double": "a, b",
}


@pytest.fixture(scope="module")
def values(spark):
    rows = [(0.1, 0.3, 1), (0.2, 0.7, 2), (0.3, 0.1, 3), (0.7, 0.2, 0), (1e-7, 0.35, 1)]
    return spark.createDataFrame(rows, "a double, b double, c int").coalesce(1).cache()


def same(ours, theirs, df):
    """Compare with scikit-learn on the collected rows, exactly but for rounding."""
    X = df.toPandas()
    want = theirs.fit(X).transform(X)
    want = np.asarray(want.toarray() if sparse.issparse(want) else want, dtype=float)
    got = ours.fit(df).transform(df).toPandas().to_numpy(dtype=float)
    assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    assert_allclose(np.asarray(ours.transform(X), dtype=float), want, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("columns", FRAMES.values(), ids=list(FRAMES))
def test_values_at_an_edge(values, columns):
    df = values.selectExpr(*columns.split(", "))
    for threshold in (0.1, 0.3, 0.7):
        same(preprocessing.Binarizer(threshold=threshold), plain.Binarizer(threshold=threshold), df)
    for params in (
        {"n_bins": 3, "strategy": "uniform"},
        {"n_bins": 7, "strategy": "uniform"},
        {"n_bins": 3},
        {"n_bins": 6, "strategy": "uniform", "dtype": np.float32},
    ):
        params["encode"] = "ordinal"
        same(preprocessing.KBinsDiscretizer(**params), plain.KBinsDiscretizer(**params), df)


@pytest.mark.slow
@pytest.mark.parametrize("columns", FRAMES.values(), ids=list(FRAMES))
def test_a_missing_value_that_is_a_fraction(values, columns):
    if "c > 1" in columns:
        pytest.skip("floats beside booleans are an array of objects, as imputers read a frame")
    df = values.selectExpr(*columns.split(", "))
    for strategy in ("mean", "median", "most_frequent", "constant"):
        params = {"missing_values": 0.1, "strategy": strategy}
        same(impute.SimpleImputer(**params), plain_impute.SimpleImputer(**params), df)
    params = {"missing_values": 0.1, "features": "all"}
    same(impute.MissingIndicator(**params), plain_impute.MissingIndicator(**params), df)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["double", "float"])
def test_rows_too_short_to_normalize(spark, kind):
    """scikit-learn divides by no norm below 10 eps, of the type of the rows."""
    bound = 10 * EPS[kind]
    lengths = np.array([0.0, 1e-30, 0.5, 0.99, 1.01, 2.0]) * bound
    rows = [(length * 0.6, -length * 0.8) for length in [*lengths.tolist(), 5.0]]
    df = spark.createDataFrame(rows, "a double, b double").coalesce(1)
    df = df.selectExpr(f"{kind}(a) a", f"{kind}(b) b").cache()
    for norm in ("l1", "l2", "max"):
        X = df.toPandas()
        want = plain.Normalizer(norm=norm).fit_transform(X)
        ours = preprocessing.Normalizer(norm=norm).fit(df)
        got = ours.transform(df).toPandas().to_numpy()
        assert_allclose(got, want, rtol=1e-6, atol=0)
        assert_allclose(ours.transform(X), want, rtol=1e-6, atol=0)
    vectors = spark.createDataFrame([(Vectors.dense(row),) for row in rows], ["v"]).coalesce(1)
    for norm in ("l1", "l2", "max"):
        # Of a sparse matrix it divides by all norms but 0.
        want = plain.Normalizer(norm=norm).fit_transform(sparse.csr_matrix(rows)).toarray()
        made = preprocessing.Normalizer(norm=norm).fit(vectors).transform(vectors).toPandas()
        assert_allclose(np.array([v.toArray() for v in made["normalizer"]]), want, rtol=1e-9)


def test_scales_near_nothing(spark):
    """A range below 10 eps of its type is none, and the feature is not scaled."""
    rows = [(1e-15 * k, 5e-7 * k, 1.0 + k) for k in range(4)]
    double = spark.createDataFrame(rows, "a double, b double, c double").coalesce(1).cache()
    for df in (double, double.selectExpr("float(a) a", "float(b) b", "float(c) c")):
        for name in ("MinMaxScaler", "MaxAbsScaler", "RobustScaler", "StandardScaler"):
            ours, theirs = getattr(preprocessing, name)(), getattr(plain, name)()
            same(ours, theirs, df)
            assert_allclose(ours.scale_, theirs.scale_, rtol=1e-6)
            assert ours.scale_.dtype == theirs.scale_.dtype


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("MinMaxScaler", {"clip": True, "feature_range": (0.1, 0.3)}),
        ("QuantileTransformer", {"n_quantiles": 4}),
        ("QuantileTransformer", {"n_quantiles": 4, "output_distribution": "normal"}),
        ("SplineTransformer", {"n_knots": 3}),
        ("SplineTransformer", {"n_knots": 3, "extrapolation": "error"}),
    ],
)
def test_values_at_the_ends(values, name, params):
    same(
        getattr(preprocessing, name)(**params),
        getattr(plain, name)(**params),
        values.selectExpr("float(a) a", "float(b) b"),
    )


COMPUTED = [
    preprocessing.StandardScaler(),
    preprocessing.MinMaxScaler((-1, 2)),
    preprocessing.MaxAbsScaler(),
    preprocessing.RobustScaler(),
    preprocessing.Normalizer(),
    preprocessing.PolynomialFeatures(3),
    preprocessing.SplineTransformer(n_knots=3),
    preprocessing.QuantileTransformer(n_quantiles=4),
    preprocessing.PowerTransformer(),
    preprocessing.FunctionTransformer(np.sin, feature_names_out="one-to-one"),
    preprocessing.KBinsDiscretizer(3, encode="ordinal"),
    preprocessing.OneHotEncoder(sparse_output=False),
    preprocessing.OrdinalEncoder(),
    preprocessing.TargetEncoder(cv=2, target_type="continuous", random_state=0),
    impute.SimpleImputer(add_indicator=True),
    impute.MissingIndicator(features="all"),
    PCA(2),
    TruncatedSVD(1),
]


@pytest.mark.slow
@pytest.mark.parametrize("step", COMPUTED, ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("columns", ["float(a) a, float(b) b", "float(a) a, tinyint(c) b"])
def test_fitted_on_spark_serves_the_numbers_of_spark(values, columns, step):
    """A tree splits at the very numbers that it was trained with: 1e-7 beside is another leaf."""
    df = values.selectExpr("double(c) y", *columns.split(", "))
    label = ["y"] if isinstance(step, preprocessing.TargetEncoder) else []
    step = clone(step).fit(df.select("a", "b", *label), *label)
    want = step.transform(df.select("a", "b")).toPandas().to_numpy(dtype=np.float64)
    X = df.select("a", "b").toPandas()
    assert X["a"].dtype == np.float32
    for item in (
        step,
        pickle.loads(pickle.dumps(step)),
        clone(step).fit(df.select("a", "b", *label), *label),
    ):
        for data in (X, X.to_numpy()):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X does not have valid feature names")
                got = np.asarray(item.transform(data), dtype=np.float64)
            assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    # Fitted in memory, it is scikit-learn's own, which keeps single precision.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant and redundant bins
        refitted = step.fit(X, df.select("y").toPandas()["y"])
        theirs = next(c for c in type(step).__mro__ if c.__module__.startswith("sklearn."))
        plainly = theirs(**step.get_params()).fit(X, df.select("y").toPandas()["y"])
    assert np.asarray(refitted.transform(X)).dtype == np.asarray(plainly.transform(X)).dtype


def test_what_was_fitted_in_memory_warns_of_single_precision(values):
    df = values.selectExpr("float(a) a", "float(b) b")
    X = df.toPandas()
    with pytest.warns(UserWarning, match="StandardScaler was fitted in memory.*Spark computes in"):
        preprocessing.StandardScaler().fit(X).transform(df)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # PySpark 4.0 closes sockets late
        preprocessing.StandardScaler().fit(df).transform(df)
        preprocessing.StandardScaler().fit(X).transform(values.select("a", "b"))
        preprocessing.Binarizer().fit(X).transform(df)


def test_rows_too_short_for_single_precision_with_set_output(spark):
    """pandas where rows are in memory, and Spark's DataFrame where they are in Spark."""
    df = spark.createDataFrame([(3e-7, 4e-7), (3.0, 4.0)], "a float, b float").coalesce(1)
    step = preprocessing.Normalizer().set_output(transform="pandas").fit(df)
    made = step.transform(df)
    want = made.toPandas()
    assert made.columns == ["a", "b"]
    got = step.transform(df.toPandas())
    assert_allclose(got.to_numpy(), want.to_numpy(), rtol=1e-13)
    assert_allclose(want.to_numpy(), [[3e-7, 4e-7], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "kind", "value"),
    [
        (np.reciprocal, "int", 3),
        (np.reciprocal, "bigint", -7),
        (np.square, "tinyint", 100),
        (np.square, "int", 50_000),
        (np.exp, "tinyint", 2),
        (np.sqrt, "smallint", 3),
        (np.log1p, "boolean", True),
        (np.log1p, "float", 0.3),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_functions_of_small_types_that_were_fitted_in_memory_warn(spark, function, kind, value):
    """NumPy computes with integers, or in the precision of their size; Spark in doubles."""
    df = spark.createDataFrame([(value,)], f"a {kind}").withColumn("b", expr("double(2)"))
    X = df.toPandas()
    step = preprocessing.FunctionTransformer(function).fit(X)
    with pytest.warns(UserWarning, match=r"computes with the columns \['a'\]") as caught:
        made = step.transform(df)
    assert caught[0].filename == __file__
    wanted = function(X.astype(float))
    assert_allclose(made.toPandas().astype(float), wanted, rtol=1e-14)
    with np.errstate(over="ignore"):
        assert abs(float(step.transform(X)["a"][0]) - wanted["a"][0]) > 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # PySpark 4.0 closes sockets late
        step.transform(df.selectExpr("double(a) a", "b"))
        on_spark = preprocessing.FunctionTransformer(function).fit(df)
        assert_allclose(on_spark.transform(df).toPandas().astype(float), wanted, rtol=1e-14)
        assert_allclose(on_spark.transform(X), wanted, rtol=1e-14)


def test_functions_that_no_type_changes_do_not_warn(spark):
    df = spark.createDataFrame([(-3, -5, -0.5)], "a tinyint, b int, c float")
    X = df.toPandas()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # PySpark 4.0 closes sockets late
        for function in (np.abs, np.negative, np.sign, np.floor, np.rint):
            made = preprocessing.FunctionTransformer(function).fit(X).transform(df).toPandas()
            assert_allclose(made, function(X))
        wide = (
            preprocessing.FunctionTransformer(np.square)
            .fit(X)
            .transform(df.selectExpr("bigint(a) a", "bigint(b) b", "double(c) c"))
        )
        assert wide.collect() == [(9.0, 25.0, 0.25)]
