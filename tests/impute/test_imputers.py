"""Imputers: parity with scikit-learn on the collected rows."""

from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pyspark.errors import PySparkException
from sklearn import impute as plain
from sklearn.datasets import load_diabetes

from raydp_ml.exceptions import SchemaError
from raydp_ml.impute import MissingIndicator, SimpleImputer
from tests.parity import assert_parity, assert_same, packaged_flights


@pytest.fixture(scope="module")
def df(spark):
    X = load_diabetes(as_frame=True).data.iloc[:, :4].round(2)
    X = X.mask(np.random.default_rng(1).random(X.shape) < 0.2)
    X["whole"] = np.arange(len(X)) % 7
    made = spark.createDataFrame(X).repartition(3)
    return made.selectExpr(
        "if(isnan(age), null, age) AS age", "sex", "bmi", "bp", "whole", "double(null) AS none"
    ).cache()


@pytest.mark.parametrize(
    "params",
    [
        {"strategy": "mean"},
        {"strategy": "median"},
        {"strategy": "most_frequent"},
        {"strategy": "constant", "fill_value": -1.5},
        {"strategy": "median", "add_indicator": True},
        {"strategy": "mean", "keep_empty_features": True},
    ],
)
def test_numbers(df, params):
    ours = SimpleImputer(**params)
    made = assert_parity(ours, plain.SimpleImputer(**params), df)
    if "add_indicator" in params:
        back = ours.inverse_transform(made).toPandas()
        want = ours.inverse_transform(made.toPandas().to_numpy())
        assert_allclose(back.to_numpy(dtype=float), want, rtol=1e-12)


def test_a_value_that_means_missing(spark):
    df = spark.createDataFrame([(1.0, 3), (-9.0, 4), (3.0, -9)], ["a", "b"]).cache()
    for strategy in ("mean", "median", "most_frequent"):
        params = {"missing_values": -9, "strategy": strategy}
        assert_parity(SimpleImputer(**params), plain.SimpleImputer(**params), df)


def test_strings(spark):
    rows = [("b", 1.0), ("a", None), (None, 2.0), ("ü'\\$", 2.0), ("a", 1.0), ("b", 4.0)]
    df = spark.createDataFrame(rows, "s string, n double").repartition(2).cache()
    frame = df.toPandas()
    frame["s"] = frame["s"].where(frame["s"].notna(), np.nan)
    for params in (
        {"strategy": "most_frequent"},
        {"strategy": "constant", "fill_value": "it's\\"},
    ):
        data = df if params["strategy"] == "most_frequent" else df.select("s")
        names = data.columns
        ours, theirs = SimpleImputer(**params).fit(data), plain.SimpleImputer(**params)
        want = theirs.fit_transform(frame[names])
        assert_same(ours.statistics_, theirs.statistics_, "statistics_")
        assert ours.transform(data).toPandas().to_numpy().tolist() == want.tolist()
    with pytest.raises(SchemaError, match="'s' of type string cannot be a feature"):
        SimpleImputer().fit(df)


@pytest.mark.parametrize("params", [{}, {"features": "all"}, {"sparse": True}])
def test_indicator(df, params):
    assert_parity(MissingIndicator(**params), plain.MissingIndicator(**params), df)


def test_a_feature_that_had_no_missing_value(spark):
    seen = spark.createDataFrame([(1.0, None), (2.0, 3.0)], "a double, b double")
    new = spark.createDataFrame([(None, None)], "a double, b double")
    made = MissingIndicator().fit(seen).transform(new)
    wanted = r"The features \[a\] have missing values in transform but have no missing values"
    with pytest.raises(PySparkException, match=wanted):
        made.collect()
    quiet = MissingIndicator(error_on_new=False).fit(seen).transform(new)
    assert quiet.collect()[0]["missingindicator_b"] is True


def test_flights(spark):
    names = ["dep_delay", "arr_delay", "air_time", "distance"]
    df = spark.createDataFrame(packaged_flights()[names].astype(float)).repartition(3).cache()
    for strategy in ("mean", "median", "most_frequent"):
        params = {"strategy": strategy}
        assert_parity(SimpleImputer(**params), plain.SimpleImputer(**params), df)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_bad_input(spark, strategy):
    df = spark.createDataFrame([(float("inf"),)], ["a"])
    with pytest.raises(SchemaError, match=r"infinite values \(column: count\): \{'a': 1\}"):
        SimpleImputer(strategy=strategy).fit(df)
    with pytest.raises(SchemaError, match="has no rows"):
        SimpleImputer(strategy=strategy).fit(df.where("a < 0"))
    with pytest.raises(ValueError, match="function as the strategy is for data in memory"):
        SimpleImputer(strategy=np.max).fit(df)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SimpleImputer(strategy=strategy).fit(spark.createDataFrame([(1.0,)], ["a"]))


def test_an_indicator_refuses_infinity(spark):
    df = spark.createDataFrame([(1.0, "x", float("-inf"))], "a double, s string, b double")
    with pytest.raises(SchemaError, match=r"infinite values \(column: count\): \{'b': 1\}"):
        MissingIndicator().fit(df)


@pytest.mark.parametrize(("value", "column"), [("missing", "a"), (0, "s")])
def test_a_fill_value_that_does_not_fit(spark, value, column):
    df = spark.createDataFrame([(1.0, "x")], "a double, s string")
    imputer = SimpleImputer(strategy="constant", fill_value=value)
    with pytest.raises(SchemaError, match=rf"does not fit the columns \['{column}'\]"):
        imputer.fit(df)


def fit_both(df, **params):
    """Fit on Spark and in memory, where null in a column of strings is NaN."""
    frame = df.toPandas()
    frame = frame.where(frame.notna(), np.nan)
    return SimpleImputer(**params).fit(df), plain.SimpleImputer(**params).fit(frame), frame


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("keep", [True, False])
def test_a_constant_without_a_fill_value(spark, keep):
    df = spark.createDataFrame([("x", 1.5, 2), (None, None, 3)], "s string, n double, i int")
    df = df.selectExpr("*", "string(null) AS t", "double(null) AS m").coalesce(1).cache()
    for names in (["s", "t"], ["n", "i", "m"]):
        params = {"strategy": "constant", "keep_empty_features": keep}
        ours, theirs, frame = fit_both(df.select(names), **params)
        assert_same(list(ours.statistics_), list(theirs.statistics_), "statistics_")
        got = ours.transform(df.select(names)).toPandas()
        assert got.to_numpy().tolist() == theirs.transform(frame).tolist()
        assert list(got.columns) == list(theirs.get_feature_names_out())
    with pytest.raises(SchemaError, match=r"'missing_value', which does not fit the columns \['n'"):
        SimpleImputer(strategy="constant").fit(df.select("s", "n", "i"))


@pytest.mark.parametrize("strategy", ["constant", "most_frequent"])
def test_none_is_missing_among_strings(spark, strategy):
    df = spark.createDataFrame([("x",), (None,), ("x",), ("y",)], "s string").coalesce(1)
    ours = SimpleImputer(strategy=strategy, missing_values=None).fit(df)
    theirs = plain.SimpleImputer(strategy=strategy, missing_values=None)
    want = theirs.fit_transform(df.toPandas())
    assert_same(list(ours.statistics_), list(theirs.statistics_), "statistics_")
    assert ours.transform(df).toPandas().to_numpy().tolist() == want.tolist()
    assert ours.transform(df.toPandas()).tolist() == want.tolist()
    with pytest.raises(ValueError, match="expected to be both numerical"):
        SimpleImputer(missing_values=None).fit(df.selectExpr("1.0D AS x"))


def test_a_column_of_another_kind(spark):
    numbers = spark.createDataFrame([(1.0,), (None,)], "a double")
    words = spark.createDataFrame([("x",), (None,)], "a string")
    imputer = SimpleImputer(strategy="most_frequent").fit(numbers)
    with pytest.raises(SchemaError, match="'a' of type string held numbers when SimpleImputer was"):
        imputer.transform(words)
    imputer.fit(words)
    with pytest.raises(SchemaError, match="'a' of type double held strings when SimpleImputer was"):
        imputer.transform(numbers)


def test_a_column_without_values_is_skipped_with_a_warning(spark, df):
    ours, theirs = SimpleImputer().fit(df), plain.SimpleImputer().fit(df.toPandas())
    with pytest.warns(UserWarning, match="Skipping features without any observed val") as met:
        made = ours.transform(df)
    with pytest.warns(UserWarning, match="Skipping features without any observed val") as wanted:
        theirs.transform(df.toPandas())
    assert str(met[0].message) == str(wanted[0].message)
    assert made.columns == ["age", "sex", "bmi", "bp", "whole"]
    empty = spark.createDataFrame([(None,)], "s string")
    kept = SimpleImputer(strategy="most_frequent", keep_empty_features=True).fit(empty)
    assert kept.statistics_.tolist() == [0]
    assert kept.transform(empty).collect()[0][0] == "0"


@pytest.mark.slow
def test_a_statistic_that_is_the_missing_value(spark):
    """The mean of what is held may be the value that means missing, and so may what stands in."""
    df = spark.createDataFrame([(2.0, -1), (4.0, 1), (3.0, 0), (3.0, 0)], "a double, b int")
    for missing in (3, 0, 1, 0.5):
        for strategy in ("mean", "median", "most_frequent", "constant"):
            params = {"missing_values": missing, "strategy": strategy}
            assert_parity(SimpleImputer(**params), plain.SimpleImputer(**params), df)
        indicator = {"missing_values": missing, "features": "all"}
        ours = MissingIndicator(**indicator)
        assert_parity(ours, plain.MissingIndicator(**indicator), df)


def test_a_fraction_does_not_fill_integers(spark):
    whole = spark.createDataFrame([(1,), (2,)], "i int")
    with pytest.raises(ValueError, match=r"fill_value=1.5 .* cannot be cast to the input data"):
        SimpleImputer(strategy="constant", fill_value=1.5).fit(whole)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [np.nan, None, pd.NA], ids=str)
@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_fitted_on_spark_takes_none_and_nan_in_memory_for_one(spark, missing, strategy):
    """What pandas gets from Spark has None among strings, and NaN where a user wrote it so."""
    df = spark.createDataFrame([("x", "u"), (None, "v"), ("x", None)], "a string, b string")
    params = {"missing_values": missing}
    for step in (
        SimpleImputer(strategy=strategy, fill_value="gone", add_indicator=True, **params),
        MissingIndicator(features="all", **params),  # of NA scikit-learn's own takes no strings
    )[: 1 if missing is pd.NA else 2]:
        want = step.fit(df).transform(df).toPandas().to_numpy()
        for gap in (None, np.nan, pd.NA):
            X = df.toPandas().astype(object)
            X = X.where(X.notna(), gap)
            for data in (X, X.astype("string"), X.to_numpy(dtype=object)):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "X does not have valid feature names")
                    assert np.asarray(step.transform(data)).tolist() == want.tolist()
            assert X.isna().sum().tolist() == [1, 1]  # the caller's own is as it was


def test_fitted_on_spark_takes_decimals_in_memory(spark):
    df = spark.createDataFrame([(Decimal("1.5"),), (None,), (Decimal("2.5"),)], "a decimal(4,1)")
    imputer = SimpleImputer().fit(df)
    assert imputer.transform(df.toPandas()).ravel().tolist() == [1.5, 2.0, 2.5]


@pytest.mark.parametrize("value", [True, False])
def test_a_missing_value_that_is_a_truth_value(spark, value):
    """scikit-learn takes it as the number that it equals."""
    rows = [(1.0, 3, 0.0), (2.0, 1, 1.0), (0.0, 0, 5.0), (4.5, 7, 0.0)]
    df = spark.createDataFrame(rows, "a double, b int, c double").coalesce(1).cache()
    for strategy in ("mean", "median", "most_frequent", "constant"):
        params = {"missing_values": value, "strategy": strategy, "add_indicator": True}
        ours = SimpleImputer(**params)
        made = assert_parity(ours, plain.SimpleImputer(**params), df)
        back = ours.inverse_transform(made).toPandas().to_numpy(dtype=float)
        assert_allclose(back, np.array(rows), rtol=1e-12)
    params = {"missing_values": value, "features": "all"}
    assert_parity(MissingIndicator(**params), plain.MissingIndicator(**params), df)
