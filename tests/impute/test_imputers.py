"""Imputers: parity with scikit-learn on the collected rows."""

from __future__ import annotations

import warnings

import numpy as np
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
    with pytest.raises(PySparkException, match="have missing values in transform but have none"):
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
