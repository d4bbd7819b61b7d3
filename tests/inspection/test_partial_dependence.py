"""Partial dependence is scikit-learn's own of the collected rows."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.sql import functions as sql
from sklearn import inspection, linear_model
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.inspection import PartialDependenceDisplay, partial_dependence
from raydp_ml.inspection import _responses as responses
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

mpl.use("Agg")
NUMBERS = ["a", "b", "few", "flag"]
FEATURES = [*NUMBERS, "kind"]
ROWS = 300


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.exponential(size=ROWS)})
    frame.loc[frame.index % 50 == 0, "b"] = np.nan
    frame["few"] = rng.integers(0, 5, ROWS) / 2
    frame["flag"] = rng.random(ROWS) < 0.3
    frame["kind"] = rng.choice(["u", "v'", "$w"], ROWS)
    frame["whole"] = rng.integers(0, 400, ROWS)
    frame["y"] = frame.a * np.nan_to_num(frame.b) + frame.few**2 + frame.flag
    frame["y"] += 2 * (frame.kind == "u")
    frame["w"] = rng.integers(0, 4, ROWS).astype(float)
    return frame


@pytest.fixture(scope="module")
def df(spark, rows):
    return spark.createDataFrame(rows).repartition(7).cache()


@pytest.fixture(scope="module")
def model(rows):
    made = XGBRegressor(n_estimators=20, enable_categorical=True, random_state=0)
    return made.fit(rows[FEATURES], rows.y)


def check(found, expected, atol=1e-6):
    assert sorted(found) == sorted(expected)
    for values, others in zip(found.grid_values, expected.grid_values, strict=True):
        assert_array_equal(values, others)
    for kind in {"average", "individual"} & set(expected):
        assert found[kind].shape == expected[kind].shape
        assert_allclose(found[kind], expected[kind], rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("features", "options"),
    [
        (["a"], {}),
        ("a", {"grid_resolution": 7, "percentiles": (0.2, 0.5)}),
        (["b"], {"percentiles": (0.0, 0.9)}),
        (["few"], {}),
        (["flag"], {}),
        (["kind"], {"categorical_features": ["kind"]}),
        (["kind"], {}),
        (["few"], {"categorical_features": ["few", "kind"], "grid_resolution": 3}),
        (["a", "few"], {"grid_resolution": 9}),
        (["kind", "a"], {"categorical_features": ["kind"], "grid_resolution": 5}),
        (["a"], {"custom_values": {"a": [0.25, -1.0, np.nan]}}),
        (["a", "kind"], {"custom_values": {"kind": ["u", "?"]}, "grid_resolution": 4}),
        (["flag"], {"custom_values": {"flag": [True]}}),
    ],
    ids=str,
)
def test_averages(rows, df, model, features, options):
    expected = inspection.partial_dependence(model, rows[FEATURES], features, **options)
    check(partial_dependence(model, df, features, **options), expected)


def test_partitions_make_no_difference(df, model):
    found = partial_dependence(model, df, ["a", "few"], grid_resolution=8)
    expected = partial_dependence(model, df.coalesce(1), ["a", "few"], grid_resolution=8)
    check(found, expected, atol=1e-12)


def test_weights(rows, df, model):
    expected = inspection.partial_dependence(model, rows[FEATURES], ["a"], sample_weight=rows.w)
    check(partial_dependence(model, df, ["a"], sample_weight="w"), expected)
    with_role = raydp_ml.set_roles(df, sample_weight="w")
    check(partial_dependence(model, with_role, ["a"]), expected)
    in_memory = partial_dependence(model, rows[[*FEATURES, "w"]], ["a"], sample_weight="w")
    check(in_memory, expected, atol=0)


@pytest.mark.parametrize("kind", ["individual", "both"])
def test_lines_of_rows(df, model, kind):
    collected = df.toPandas()
    options = {"kind": kind, "grid_resolution": 6, "sample_weight": "w"}
    found = partial_dependence(model, df, ["a", "few"], **options)
    options["sample_weight"] = collected.w
    expected = inspection.partial_dependence(model, collected[FEATURES], ["a", "few"], **options)
    check(found, expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes(rows, df, classes):
    cuts = np.quantile(rows.y, np.linspace(0, 1, classes + 1)[1:-1])
    labels = np.array(["p", "q", "r"])[np.digitize(rows.y, cuts)]
    model = XGBClassifier(n_estimators=5).fit(rows[NUMBERS], labels)
    for options in ({}, {"kind": "both", "response_method": "predict_proba"}):
        collected = df.toPandas()[NUMBERS]
        expected = inspection.partial_dependence(model, collected, ["a"], **options)
        assert len(expected.average) == (1 if classes == 2 else 3)
        check(partial_dependence(model, df, ["a"], **options), expected)


def test_several_targets(rows, df):
    model = XGBRegressor(n_estimators=5).fit(rows[NUMBERS], np.column_stack([rows.y, -rows.y]))
    collected = df.toPandas()[NUMBERS]
    expected = inspection.partial_dependence(model, collected, ["a", "few"], kind="both")
    assert len(expected.average) == 2
    check(partial_dependence(model, df, ["a", "few"], kind="both"), expected)


def test_a_pipeline(rows, df):
    complete = df.where("b is not null and not isnan(b)").select(*NUMBERS, "w", "y", "kind")
    data = raydp_ml.set_roles(complete, label="y", sample_weight="w", ignore=["kind"])
    pipe = make_pipeline(StandardScaler(), XGBRegressor(n_estimators=10, num_workers=0)).fit(data)
    collected = complete.toPandas()
    X = collected[NUMBERS].astype(float)
    expected = inspection.partial_dependence(pipe, X, ["a"], sample_weight=collected.w, kind="both")
    check(partial_dependence(pipe, data, ["a"], kind="both"), expected)


def test_whole_numbers_are_read_as_doubles(rows, df):
    model = XGBRegressor(n_estimators=10).fit(rows[["a", "whole"]], rows.whole * rows.a)
    X = rows[["a", "whole"]].astype(float)
    expected = inspection.partial_dependence(model, X, ["whole"])
    check(partial_dependence(model, df, ["whole"]), expected)
    decimals = df.withColumn("whole", df.whole.cast("decimal(12,2)"))
    check(partial_dependence(model, decimals, ["whole"]), expected)


def test_in_memory_it_is_scikit_learns(rows, model):
    expected = inspection.partial_dependence(model, rows[FEATURES], ["a"], kind="both")
    check(partial_dependence(model, rows[FEATURES], ["a"], kind="both"), expected, atol=0)
    table = pa.Table.from_pandas(rows[FEATURES])
    check(partial_dependence(model, table, ["a"], kind="both"), expected, atol=0)
    genuine = linear_model.LinearRegression().fit(rows[["a", "few"]], rows.y)
    expected = inspection.partial_dependence(genuine, rows[["a", "few"]], [0])
    check(partial_dependence(genuine, rows[["a", "few"]], [0]), expected, atol=0)


@pytest.mark.parametrize(
    ("features", "options", "error", "text"),
    [
        (["c"], {}, SchemaError, "There is no column 'c', given as the features"),
        ([0], {}, SchemaError, "features of a Spark DataFrame are names"),
        (["a", "a"], {}, SchemaError, "must be different columns"),
        (["list"], {}, SchemaError, "cannot take the values of a grid"),
        (["a"], {"categorical_features": ["x"]}, SchemaError, "given as the categorical_features"),
        (["a"], {"sample_weight": "x"}, SchemaError, "no column 'x', given as the sample_weight"),
        (["a"], {"sample_weight": "kind"}, SchemaError, "is of type string, and weights"),
        (["a"], {"sample_weight": "b"}, SchemaError, "holds 6 missing or infinite of 300"),
        (["a"], {"sample_weight": "zero"}, SchemaError, "add up to zero"),
        (["kind"], {"grid_resolution": 2}, SchemaError, "Name it in categorical_features"),
        (["half"], {}, SchemaError, "holds nulls"),
        (["b"], {"percentiles": (0.1, 0.999)}, SchemaError, "lies among its missing values"),
        (["b"], {"percentiles": (0.5, 0.5)}, InvalidParameterError, "strictly less"),
        (["b"], {"percentiles": (0.5, 1.5)}, InvalidParameterError, r"two numbers in \[0, 1\]"),
        (["tied"], {"grid_resolution": 5}, SchemaError, "too close to each other"),
        (["a"], {"custom_values": {"b": [1.0]}}, SchemaError, "none of the features"),
        (["a"], {"custom_values": {"a": ["x"]}}, SchemaError, "Pass values of that type"),
        (["a"], {"custom_values": {"a": []}}, SchemaError, "must be a list of values"),
        (["a", "b", "whole"], {}, SchemaError, "1,000,000 points"),
        (["a"], {"method": "recursion"}, InvalidParameterError, "'method' parameter"),
        (["a"], {"feature_names": ["a"]}, InvalidParameterError, "'feature_names' parameter"),
        (["a"], {"kind": "all"}, InvalidParameterError, "'kind' parameter"),
        (["a"], {"grid_resolution": 1}, InvalidParameterError, "'grid_resolution' parameter"),
        (["a"], {"response_method": "decision_function"}, InvalidParameterError, "'response_meth"),
        (["a"], {"response_method": "predict_proba"}, InvalidParameterError, "for regressors"),
    ],
    ids=str,
)
def test_bad_input(df, model, features, options, error, text):
    changed = df.withColumns(
        {
            "list": sql.array("a"),
            "zero": sql.lit(0.0),
            "half": sql.when(sql.col("flag"), sql.col("kind")),
            "tied": sql.when(sql.col("a") > 1, sql.col("a")).otherwise(0.0),
        }
    )
    if features == ["b"] and options.get("percentiles") == (0.1, 0.999):
        options = {**options, "grid_resolution": 20}
    if features == ["tied"]:
        options = {**options, "percentiles": (0.1, 0.5)}
    with pytest.raises(error, match=text):
        partial_dependence(model, changed, features, **options)


def test_other_bad_input(rows, df, model, monkeypatch):
    with pytest.raises(NotFittedError):
        partial_dependence(XGBRegressor(), df, ["a"])
    with pytest.raises(SchemaError, match="no rows"):
        partial_dependence(model, df.limit(0), ["a"])
    genuine = linear_model.LinearRegression().fit(rows[["a", "few"]], rows.y)
    with pytest.raises(InvalidParameterError, match="does not predict Spark DataFrames"):
        partial_dependence(genuine, df, ["a"])
    monkeypatch.setattr(responses, "MOST_LINES", 1000)
    with pytest.raises(SchemaError, match="Individual lines of 300 rows at 10 points are 3,000"):
        partial_dependence(model, df, ["a"], kind="individual", grid_resolution=10)


def test_the_display_is_scikit_learns(rows, df, model):
    options = {"grid_resolution": 9, "categorical_features": ["kind"]}
    features = ["a", ("a", "b"), "kind"]
    expected = inspection.PartialDependenceDisplay.from_estimator(
        model, rows[FEATURES], features, **options, percentiles=(0.05, 0.9)
    )
    found = PartialDependenceDisplay.from_estimator(
        model, df, features, **options, percentiles=(0.05, 0.9)
    )
    assert isinstance(found, inspection.PartialDependenceDisplay)
    for ours, theirs in zip(found.pd_results, expected.pd_results, strict=True):
        check(ours, theirs)
    assert found.axes_.shape == expected.axes_.shape
    for place, name in enumerate(found.feature_names):
        deciles = expected.deciles.get(list(FEATURES).index(name))
        if deciles is not None:
            assert_allclose(found.deciles[place], deciles, rtol=1e-12)
    in_memory = PartialDependenceDisplay.from_estimator(
        model, rows[FEATURES], features, **options, percentiles=(0.05, 0.9)
    )
    check(in_memory.pd_results[0], expected.pd_results[0], atol=0)


def test_the_display_draws_lines_of_a_sample(df, model):
    drawn = {"kind": "both", "subsample": 20, "random_state": 0, "grid_resolution": 5}
    found = PartialDependenceDisplay.from_estimator(model, df, ["a", "few"], **drawn)
    assert found.lines_.shape == (1, 2, 21)
    collected = df.toPandas()[FEATURES]
    expected = inspection.partial_dependence(model, collected, ["a"], grid_resolution=5)
    assert_allclose(found.pd_results[0].average, expected.average, atol=1e-6)
    whole = partial_dependence(model, df, ["a"], grid_resolution=5, kind="individual")
    lines = {tuple(np.round(line, 9)) for line in whole.individual[0]}
    assert {tuple(np.round(line, 9)) for line in found.pd_results[0].individual[0]} <= lines
    share = PartialDependenceDisplay.from_estimator(
        model, df, ["few"], **{**drawn, "subsample": 0.1}
    )
    assert share.lines_.shape == (1, 1, 31)
    with pytest.raises(InvalidParameterError, match="subsample must be"):
        PartialDependenceDisplay.from_estimator(model, df, ["a"], **{**drawn, "subsample": 0})
    with pytest.raises(InvalidParameterError, match="not categorical"):
        PartialDependenceDisplay.from_estimator(model, df, [("a", "b")], **drawn)
    with pytest.raises(SchemaError, match="has no deciles"):
        PartialDependenceDisplay.from_estimator(model, df, ["kind"])
