"""Transformers of numbers: parity with scikit-learn on real data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn import preprocessing as plain
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from raydp_ml import preprocessing, set_roles
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing._function import _SQL
from tests.parity import assert_parity, assert_same, packaged_flights

ALLOW_MISSING = [
    ("StandardScaler", {}),
    ("MinMaxScaler", {}),
    ("MinMaxScaler", {"clip": True, "feature_range": (-1, 0.5)}),
    ("MaxAbsScaler", {"clip": True}),
    ("RobustScaler", {}),
    ("RobustScaler", {"quantile_range": (10.0, 80.0), "unit_variance": True}),
    ("RobustScaler", {"with_centering": False}),
    ("RobustScaler", {"with_scaling": False}),
    ("QuantileTransformer", {"subsample": None}),
    ("QuantileTransformer", {"n_quantiles": 20, "output_distribution": "normal"}),
    ("SplineTransformer", {"handle_missing": "zeros"}),
]
WHOLE = [
    ("Normalizer", {}),
    ("Normalizer", {"norm": "l1"}),
    ("Normalizer", {"norm": "max"}),
    ("Binarizer", {"threshold": 2.0}),
    ("KBinsDiscretizer", {}),
    ("KBinsDiscretizer", {"encode": "ordinal"}),
    ("KBinsDiscretizer", {"encode": "onehot-dense", "strategy": "uniform", "n_bins": 3}),
    ("KBinsDiscretizer", {"encode": "ordinal", "strategy": "uniform", "n_bins": 90}),
    ("PolynomialFeatures", {}),
    ("PolynomialFeatures", {"degree": 3, "interaction_only": True, "include_bias": False}),
    ("SplineTransformer", {"knots": "quantile", "include_bias": False}),
    ("SplineTransformer", {"degree": 1, "extrapolation": "linear"}),
    ("SplineTransformer", {"degree": 0, "extrapolation": "linear"}),
    ("SplineTransformer", {"degree": 0}),
    ("SplineTransformer", {"extrapolation": "continue"}),
    ("SplineTransformer", {"extrapolation": "periodic", "sparse_output": True}),
]
METHODS = [
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
]


@pytest.fixture(scope="module")
def wine(spark):
    X = load_wine(as_frame=True).data.iloc[:, :4].copy()
    X.columns = ["a", "b b", "c.c", "d`"]
    rng = np.random.default_rng(0)
    X["k"] = rng.integers(0, 5, len(X))
    X["id"] = "row"
    from raydp_ml import set_roles

    return set_roles(spark.createDataFrame(X).repartition(3), ignore="id").cache()


@pytest.fixture(scope="module")
def holes(spark):
    X = load_diabetes(as_frame=True).data.iloc[:, :5].copy()
    rng = np.random.default_rng(1)
    X[rng.random(X.shape) < 0.2] = np.nan
    X["whole"] = 1e7 + rng.normal(size=len(X))
    df = spark.createDataFrame(X).repartition(4)
    # The half of what is missing as null, the other as NaN.
    return df.selectExpr("if(sex is null or isnan(sex), null, sex) AS sex", "age", "bmi", "bp",
                         "s1", "whole").cache()  # fmt: skip


@pytest.fixture(scope="module")
def flights(spark):
    names = ["dep_delay", "arr_delay", "air_time", "distance", "sched_dep_time"]
    frame = packaged_flights()[names].astype(float)
    return spark.createDataFrame(frame).repartition(3).cache()


@pytest.mark.parametrize(("name", "params"), ALLOW_MISSING)
def test_with_missing_values(holes, name, params):
    ours = getattr(preprocessing, name)(**params)
    made = assert_parity(ours, getattr(plain, name)(**params), holes)
    if name != "SplineTransformer":
        gone = "sex is null"
        assert made.where(gone).count() == holes.where(gone).count() > 0


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("StandardScaler", {}),
        ("RobustScaler", {}),
        ("QuantileTransformer", {"n_quantiles": 100, "subsample": None}),
    ],
)
def test_flights(flights, name, params):
    assert_parity(getattr(preprocessing, name)(**params), getattr(plain, name)(**params), flights)


@pytest.mark.parametrize(("name", "params"), WHOLE)
def test_without_missing_values(wine, name, params):
    ours = getattr(preprocessing, name)(**params)
    assert_parity(ours, getattr(plain, name)(**params), wine, drop=["id"])


@pytest.mark.parametrize("method", METHODS)
def test_bins_of_every_quantile_method(wine, method):
    params = {"encode": "ordinal", "n_bins": 7, "quantile_method": method}
    ours = preprocessing.KBinsDiscretizer(**params)
    assert_parity(ours, plain.KBinsDiscretizer(**params), wine, drop=["id"])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("MinMaxScaler", {}),
        ("MaxAbsScaler", {}),
        ("RobustScaler", {}),
        ("QuantileTransformer", {"n_quantiles": 30}),
        ("QuantileTransformer", {"n_quantiles": 30, "output_distribution": "normal"}),
        ("KBinsDiscretizer", {"encode": "ordinal"}),
        ("KBinsDiscretizer", {"encode": "onehot-dense"}),
        ("PowerTransformer", {}),
    ],
)
def test_and_back(wine, name, params):
    df = wine.drop("id")
    ours = getattr(preprocessing, name)(**params).fit(df)
    made = ours.transform(df)
    back = ours.inverse_transform(made)
    assert back.columns == df.columns
    want = ours.inverse_transform(ours.transform(df.toPandas()))
    assert_allclose(back.toPandas(), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "params", [{}, {"standardize": False}, {"method": "box-cox"}], ids=["yj", "raw", "box-cox"]
)
def test_powers_are_the_most_likely(spark, params):
    """SciPy's search stops at 1.5e-8 of the power, and a flat likelihood leaves 1e-6 open."""
    X = load_breast_cancer(as_frame=True).data.iloc[:, [0, 3, 12]]
    X = X.assign(negative=-X.iloc[:, 0])
    df = spark.createDataFrame(X).repartition(3)
    df = df.drop("negative") if "method" in params else df
    ours = preprocessing.PowerTransformer(**params)
    assert_parity(ours, plain.PowerTransformer(**params), df, rtol=2e-6)


@pytest.mark.timeout(300)
def test_powers_of_small_values_are_found(spark):
    """They are so great that doubles near them lie further apart than any fixed bracket."""
    X = 10.0 ** np.array([-3, -9, -18, -100, 12]) * np.random.default_rng(0).gamma(2, size=(300, 1))
    X = pd.DataFrame(X, columns=list("abcde")).assign(mixed=lambda f: f.c - f.c.mean())
    df = spark.createDataFrame(X).repartition(3)
    ours = preprocessing.PowerTransformer().fit(df)
    theirs = plain.PowerTransformer().fit(X)
    assert_allclose(ours.lambdas_, theirs.lambdas_, rtol=2e-6)
    made = ours.transform(df).toPandas().sort_values("a").to_numpy()
    want = theirs.set_output(transform="pandas").transform(X).sort_values("a").to_numpy()
    assert_allclose(made, want, atol=1e-5)


def test_one_row_and_constants(spark):
    df = spark.createDataFrame([(1.5, 2)], "a double, b int").repartition(4)
    for name in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        assert_parity(getattr(preprocessing, name)(), getattr(plain, name)(), df)
    for params in ({"encode": "ordinal"}, {"encode": "ordinal", "strategy": "uniform"}):
        with pytest.warns(UserWarning, match="Feature 0 is constant and will be replaced with 0"):
            preprocessing.KBinsDiscretizer(**params).fit(df)
    with pytest.raises(ValueError, match="while a minimum of 2 is required by SplineTransformer"):
        preprocessing.SplineTransformer().fit(df)
    with pytest.warns(UserWarning, match="greater than the total number of samples"):
        preprocessing.QuantileTransformer().fit(df)


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic"])
def test_splines_between_knots_that_are_alike(spark, extrapolation):
    rows = [(0.0, 0.0), (0.0, 0.0), (-0.01, 5.0), (0.0, 0.0)]
    df = spark.createDataFrame(rows, "a double, b double").cache()
    for degree in (1, 2, 3):
        params = {"knots": "quantile", "n_knots": 4, "degree": degree}
        params["extrapolation"] = extrapolation
        if extrapolation == "periodic" and degree == 3:
            params["n_knots"] = 5
        ours = preprocessing.SplineTransformer(**params)
        assert_parity(ours, plain.SplineTransformer(**params), df)


NUMERIC = [name for name, _ in ALLOW_MISSING + WHOLE] + ["PowerTransformer"]
STATELESS = {"Normalizer", "Binarizer", "PolynomialFeatures"}


@pytest.mark.parametrize("name", sorted(set(NUMERIC) - STATELESS))
def test_bad_input(spark, name):
    cls = getattr(preprocessing, name)
    base = spark.createDataFrame(
        [(1.0, "x", float("inf")), (2.0, "y", 1.0)], "a double, s string, i double"
    )
    with pytest.raises(SchemaError, match=r"infinite values \(column: count\): \{'i': 1\}"):
        cls().fit(base.select("a", "i"))
    with pytest.raises(SchemaError, match=r"'s' of type string cannot be a feature"):
        cls().fit(base.select("a", "s"))
    with pytest.raises(SchemaError, match="has no rows"):
        cls().fit(base.select("a").where("a > 5"))
    with pytest.raises(SchemaError, match="no column 'y', given as the label"):
        cls().fit(base.select("a"), "y")


@pytest.mark.parametrize("name", ["KBinsDiscretizer", "SplineTransformer"])
def test_missing_values_are_refused_by_name(holes, name):
    with pytest.raises(
        SchemaError, match=r"missing values, null or NaN \(column: count\): \{'sex'"
    ):
        getattr(preprocessing, name)().fit(holes)


def test_an_output_may_not_take_the_name_of_another_column(spark):
    import raydp_ml

    df = spark.createDataFrame([(1.0, 2.0, 3.0)], ["a", "b", "a b"])
    df = raydp_ml.set_roles(df, ignore="a b")
    poly = preprocessing.PolynomialFeatures().fit(df)
    with pytest.raises(SchemaError, match="output 'a b' would take the name"):
        poly.transform(df)


def test_values_that_only_the_query_meets(spark):
    from pyspark.errors import PySparkException

    df = spark.createDataFrame([(1.0,), (2.0,), (3.0,)], ["a"])
    spline = preprocessing.SplineTransformer(extrapolation="error").fit(df)
    with pytest.raises(PySparkException, match="beyond the limits of the knots"):
        spline.transform(spark.createDataFrame([(9.0,)], ["a"])).collect()
    power = preprocessing.PowerTransformer(method="box-cox").fit(df)
    with pytest.raises(PySparkException, match="strictly positive data"):
        power.transform(spark.createDataFrame([(-9.0,)], ["a"])).collect()
    with pytest.raises(ValueError, match="strictly positive data"):
        preprocessing.PowerTransformer(method="box-cox").fit(df.selectExpr("a - 2 AS a"))


def weighted(spark, whole=True):
    """Skewed features, one of them with a value that is far off, and weights, some of them 0."""
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.lognormal(size=500), rng.integers(0, 40, 500), rng.normal(size=500)])
    X[7, 2] = 60.0
    w = rng.integers(0, 4, 500) if whole else rng.gamma(1.0, size=500)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(w=w.astype(float))
    return X, w, set_roles(spark.createDataFrame(frame).repartition(5), sample_weight="w")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("KBinsDiscretizer", {}),
        ("KBinsDiscretizer", {"n_bins": 11, "quantile_method": "averaged_inverted_cdf"}),
        ("KBinsDiscretizer", {"n_bins": 11, "quantile_method": "inverted_cdf"}),
        ("SplineTransformer", {"n_knots": 8, "knots": "quantile"}),
    ],
)
def test_the_weights_of_a_role_count(spark, name, params, whole):
    X, w, df = weighted(spark, whole)
    ours = getattr(preprocessing, name)(**params).fit(df)
    theirs = getattr(plain, name)(**params).fit(X, sample_weight=w)
    for attribute in ("bin_edges_", "n_bins_") if name == "KBinsDiscretizer" else ("bsplines_",):
        assert_same(getattr(ours, attribute), getattr(theirs, attribute), attribute)


def test_a_method_that_has_no_weights(spark):
    _, _, df = weighted(spark)
    bins = preprocessing.KBinsDiscretizer(quantile_method="linear")
    with pytest.raises(ValueError, match="got quantile_method='linear' instead"):
        bins.fit(df)
    with pytest.raises(SchemaError, match="of 500 values"):
        preprocessing.KBinsDiscretizer().fit(df.withColumn("w", -df.w), sample_weight="w")


@pytest.mark.filterwarnings("ignore:overflow")
def test_squares_that_overflow(spark):
    X = np.array([[1e200, 1e160], [1e200, -1e160], [1e200, 0.0]])
    ours = preprocessing.StandardScaler().fit(spark.createDataFrame(X.tolist(), ["a", "b"]))
    assert ours.var_[0] == 0
    assert np.isinf(ours.var_[1])


def test_scales_that_are_zero(spark):
    """NumPy divides by zero, which SQL refuses."""
    rows = [(1e308, 1.0), (-1e308, 2.0), (0.0, float("nan"))]
    df = spark.createDataFrame(rows, "a double, b double").coalesce(1).cache()
    with np.errstate(all="ignore"):
        ours = preprocessing.MinMaxScaler().fit(df)
        assert ours.scale_[0] == 0
        wanted = ours.inverse_transform(df.toPandas())
    assert_allclose(ours.inverse_transform(df).toPandas(), wanted)
    assert np.isinf(wanted).any()
    params = {"quantile_range": (0.0, 100.0), "unit_variance": True}
    small = df.selectExpr("a / 1e308D AS a", "b").cache()
    X = small.toPandas()
    robust = preprocessing.RobustScaler(**params).fit(small)
    with np.errstate(all="ignore"):
        theirs = plain.RobustScaler(**params).fit(X)
        assert_allclose(robust.scale_, theirs.scale_)
        assert robust.scale_.tolist() == [0, 0]
        assert_allclose(robust.transform(small).toPandas(), theirs.transform(X))
    for scaler in (preprocessing.StandardScaler(), preprocessing.MaxAbsScaler()):
        scaler.fit(small)
        scaler.scale_ = np.array([0.0, -0.0])
        with np.errstate(all="ignore"):
            assert_allclose(scaler.transform(small).toPandas(), scaler.transform(X))


FUNCTIONS = list(_SQL)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_functions_are_numpys(spark, function):
    """To the sign of zero."""
    edges = [0.0, -0.0, 0.3, -0.3, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 49.0, -7.25]
    edges += [1e-9, 5e-324, -5e-324, 1e15 + 0.5, 2.0**52, -(2.0**60), 700.0, 1e300, np.nan]
    X = np.array(edges)
    df = spark.createDataFrame([(x,) for x in edges], "a double").coalesce(1)
    made = preprocessing.FunctionTransformer(function).transform(df).toPandas()["a"].to_numpy()
    with np.errstate(all="ignore"):
        wanted = function(X)
    # Far from zero, sines are as exact as the period of each library.
    near = np.abs(X) < 1e16 if function in (np.sin, np.cos, np.tan) else np.full(len(X), True)
    assert_allclose(made[near], wanted[near], rtol=4e-15, atol=0)
    zero = wanted == 0
    assert np.signbit(made[zero]).tolist() == np.signbit(wanted[zero]).tolist()
    assert np.isnan(made[-1])


def test_functions_of_edges(spark):
    X = np.array([np.nan, 2.5, -2.5, 1e300, -(2.0**60)])
    df = spark.createDataFrame([(x,) for x in X.tolist()], "a double")
    for function in (np.floor, np.ceil):
        made = preprocessing.FunctionTransformer(function).transform(df).toPandas()["a"]
        assert_allclose(made, function(X))
    odd = np.array([np.nan, 0.0, -1.0, -2.0, 3.0])
    df = spark.createDataFrame([(x,) for x in odd.tolist()], "a double").coalesce(1)
    for function in (np.log, np.log1p, np.log2, np.log10, np.sqrt):
        made = preprocessing.FunctionTransformer(function).transform(df).toPandas()["a"]
        with np.errstate(all="ignore"):
            assert_allclose(made, function(odd), rtol=1e-15)
    whole = spark.createDataFrame([(0.0,), (-4.0,)], "a double")
    made = preprocessing.FunctionTransformer(np.reciprocal).transform(whole).toPandas()["a"]
    assert made.tolist() == [np.inf, -0.25]
