"""Encoders of categories: parity with scikit-learn, cross-fitting, unknown categories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.errors import PySparkException
from sklearn import preprocessing as plain
from sklearn.metrics import roc_auc_score

from raydp_ml import preprocessing, set_roles
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder, TargetEncoder
from tests.parity import as_keys, assert_parity, assert_same, collected, packaged_flights

SCHEMA = "s string, i int, f double, b boolean, maybe boolean, m decimal(5,2), y3 string, "
SCHEMA += "y2 boolean, y double"
FEATURES = ["s", "i", "f", "b", "maybe", "m"]
ONE_HOT = [
    {},
    {"sparse_output": False},
    {"sparse_output": False, "drop": "first"},
    {"sparse_output": False, "drop": "if_binary"},
    {"sparse_output": False, "min_frequency": 0.25, "handle_unknown": "infrequent_if_exist"},
    {"sparse_output": False, "max_categories": 2, "drop": "first", "handle_unknown": "ignore"},
    {"min_frequency": 30, "handle_unknown": "warn"},
]
ORDINAL = [
    {},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -5},
    {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "min_frequency": 30},
]


@pytest.fixture(scope="module")
def df(spark):
    from decimal import Decimal

    rng = np.random.default_rng(0)
    rows = [
        (
            str(rng.choice(["a", "b'\\", "ü$x{y}", "日本"], p=[0.4, 0.2, 0.2, 0.2]))
            if rng.random() > 0.1
            else None,
            int(rng.integers(-1, 3)),
            float(rng.choice([0.5, -1.5])) if rng.random() > 0.2 else float("nan"),
            bool(rng.random() < 0.3),
            bool(rng.random() < 0.3) if rng.random() > 0.2 else None,
            Decimal(str(rng.choice(["1.25", "2.50"]))),
            str(rng.choice(["u", "v", "w"])),
            bool(rng.random() < 0.4),
            float(rng.normal() * 3 + 50),
        )
        for _ in range(150)
    ]
    return spark.createDataFrame(rows, SCHEMA).repartition(3).cache()


@pytest.mark.parametrize("params", ONE_HOT)
def test_one_hot(df, params):
    data = df.select(FEATURES)
    ours = OneHotEncoder(**params)
    made = assert_parity(ours, plain.OneHotEncoder(**params), data, collect=as_keys)
    if not params.get("sparse_output", True):
        assert_same_rows(ours, made, data)


@pytest.mark.parametrize("params", ORDINAL)
def test_ordinal(df, params):
    data = df.select(FEATURES)
    ours = OrdinalEncoder(**params)
    made = assert_parity(ours, plain.OrdinalEncoder(**params), data, collect=as_keys)
    if "unknown_value" not in params:
        assert_same_rows(ours, made, data)


def assert_same_rows(ours, made, data):
    back = ours.inverse_transform(made).toPandas()
    want = ours.inverse_transform(np.asarray(made.toPandas(), dtype=float))
    for column, values in zip(back.columns, want.T, strict=True):
        for left, right in zip(back[column], values, strict=True):
            gone = [value is None or value != value for value in (left, right)]
            assert gone[0] == gone[1]
            assert gone[0] or left == right or str(left) == str(right)


def test_given_categories(df):
    params = {"categories": [["a", "zz"], [-1, 0]], "handle_unknown": "ignore"}
    data = df.select("s", "i")
    assert_parity(OneHotEncoder(**params), plain.OneHotEncoder(**params), data, collect=as_keys)
    with pytest.raises(ValueError, match=r"Found unknown categories .* in column 0 during fit"):
        OneHotEncoder(categories=[["a"], [0]]).fit(data)


def test_many_categories_are_one_vector_column(spark):
    df = spark.range(3000).selectExpr("concat('c', id * 7 % 2500) AS c", "id % 2000 AS n", "id")
    df = set_roles(df, ignore="id").cache()
    encoder = OneHotEncoder().fit(df)
    made = encoder.transform(df)
    assert made.columns == ["onehotencoder", "id"]
    frame = df.toPandas()
    want = plain.OneHotEncoder().fit(frame[["c", "n"]]).transform(frame[["c", "n"]]).tocsr()
    rows = made.toPandas()["onehotencoder"]
    assert rows[0].size == want.shape[1] == 4500
    assert_array_equal(np.concatenate([row.indices for row in rows]), want.indices)
    ordinal = OrdinalEncoder().fit(df).transform(df).toPandas()[["c", "n"]]
    assert_array_equal(ordinal, plain.OrdinalEncoder().fit_transform(frame[["c", "n"]]))


@pytest.mark.parametrize("encoder", [OneHotEncoder(sparse_output=False), OrdinalEncoder()])
def test_an_unknown_category_fails_the_query(spark, encoder):
    seen = spark.createDataFrame([("a",), ("b",)], ["s"])
    made = encoder.fit(seen).transform(spark.createDataFrame([("c",)], ["s"]))
    with pytest.raises(
        PySparkException, match=r"Found unknown categories \[c\] in column 0 during transform"
    ):
        made.collect()
    with pytest.raises(SchemaError, match=r"held strings when .* was fitted"):
        encoder.transform(spark.createDataFrame([(1.0,)], ["s"]))
    with pytest.raises(SchemaError, match="has no rows"):
        encoder.fit(seen.where("s = 'z'"))


@pytest.mark.parametrize("smooth", ["auto", 5.0])
@pytest.mark.parametrize("label", ["y3", "y2", "y"])
def test_target(df, label, smooth):
    data = df.select(*FEATURES, label)
    ours = TargetEncoder(smooth=smooth)
    theirs = plain.TargetEncoder(smooth=smooth)
    assert_parity(ours, theirs, data, label=label, collect=as_keys)


@pytest.mark.parametrize("label", ["y3", "y2", "y"])
def test_cross_fitting_never_sees_a_row_of_the_same_fold(df, label):
    data = df.select(*FEATURES, label)
    ours = TargetEncoder(cv=3)
    got = ours.fit_transform(data, label).drop(label).toPandas().to_numpy(dtype=float)
    folds = data.selectExpr(ours._fold_sql(3)).toPandas()
    folds = folds.iloc[:, 0].to_numpy()
    assert set(folds) == {0, 1, 2}
    frame = as_keys(data)
    whole = plain.TargetEncoder().fit(frame[FEATURES], frame[label])
    want = np.empty_like(got)
    for fold in range(3):
        out, inside = folds != fold, folds == fold
        one = plain.TargetEncoder(categories=whole.categories_, target_type=whole.target_type_)
        one.fit(frame[FEATURES][out], frame[label][out])
        want[inside] = one.transform(frame[FEATURES][inside])
    assert_allclose(got, want, rtol=1e-9)
    assert_same(ours.encodings_, whole.encodings_, "encodings_")


def test_cross_fitting_does_not_leak_the_label(spark):
    """Of rows that are alike, which share feature and label, each fold has its part."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 3, 2000)
    y = (rng.random(2000) < np.array([0.2, 0.5, 0.8])[place]).astype(int)
    frame = pd.DataFrame({"place": np.array(["a", "b", "c"])[place], "y": y})
    df = spark.createDataFrame(frame).repartition(3).cache()
    made = TargetEncoder().fit_transform(df, "y").toPandas()
    theirs = plain.TargetEncoder(random_state=0).fit_transform(frame[["place"]], frame.y)
    want = roc_auc_score(frame.y, theirs[:, 0])
    assert roc_auc_score(made.y, made.place) == pytest.approx(want, abs=0.02)
    same = TargetEncoder().fit_transform(
        spark.createDataFrame([("a", 1.5)] * 3, "s string, y double"), "y"
    )
    assert {row.s for row in same.collect()} == {1.5}


def test_numbers_beyond_the_whole_ones_of_doubles(spark):
    X = np.array([0.5, 1e17, 0.5, 3.25, 1e300])
    df = spark.createDataFrame(pd.DataFrame({"a": X}))
    assert_parity(OneHotEncoder(sparse_output=False), plain.OneHotEncoder(sparse_output=False), df)
    assert_parity(OrdinalEncoder(), plain.OrdinalEncoder(), df)
    labels = [2**53, 2**53 + 1, 2**53 + 2, 5]
    df = spark.createDataFrame([(value,) for value in labels], "y bigint")
    encoder = LabelEncoder().fit(df)
    made = encoder.transform(df)
    assert [row.y for row in made.collect()] == [1, 2, 3, 0]
    assert [row.y for row in encoder.inverse_transform(made).collect()] == labels


def test_only_missing_strings_in_fit(spark):
    seen = spark.createDataFrame([(None,)], "s string")
    new = spark.createDataFrame([(None,), ("abc",), ("NaN",)], "s string")
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(seen)
    assert [row[0] for row in encoder.transform(new).collect()] == [1.0, 0.0, 0.0]


def test_flights(spark):
    frame = packaged_flights()[["carrier", "origin", "dest", "month", "arr_delay"]].dropna()
    frame["late"] = frame.pop("arr_delay") > 15
    df = spark.createDataFrame(frame).repartition(3).cache()
    assert_parity(TargetEncoder(), plain.TargetEncoder(), df, label="late")
    params = {"min_frequency": 50, "handle_unknown": "infrequent_if_exist"}
    assert_parity(OneHotEncoder(**params), plain.OneHotEncoder(**params), df.drop("late"))


def test_a_label_is_needed(df):
    with pytest.raises(SchemaError, match="requires y to be passed, but the target y is None"):
        TargetEncoder().fit(df.select(FEATURES))
    with pytest.raises(SchemaError, match=r"label 'maybe' holds .* null or NaN"):
        TargetEncoder().fit(df.select("s", "maybe"), "maybe")


@pytest.mark.parametrize("label", ["y3", "y2", "i", "y"])
def test_labels(df, label):
    data = set_roles(df.select("s", label), label=label)
    ours, theirs = LabelEncoder().fit(data), plain.LabelEncoder().fit(collected(data)[label])
    assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.classes_.dtype == theirs.classes_.dtype
    made = ours.transform(data)
    assert made.schema[label].metadata == data.schema[label].metadata
    rows = collected(data)[label]
    assert_array_equal(made.toPandas()[label], theirs.transform(rows))
    assert_array_equal(ours.inverse_transform(made).toPandas()[label], rows)
    with pytest.raises(SchemaError, match="not clear which of the columns"):
        LabelEncoder().fit(df)


@pytest.mark.slow
def test_numbers_of_no_label(spark):
    """As in memory, where they raise a ValueError; a missing number is a missing label."""
    encoders = [
        LabelEncoder().fit(spark.createDataFrame([(v,) for v in values], ["y"]))
        for values in (["b", "a"], [3, 5, 9], [0.5, 1.5])
    ]
    for encoder in encoders:
        for place in (-2, 0.5, 7, float("nan")):
            with pytest.raises(ValueError, match="previously unseen labels"):
                encoder.inverse_transform([place])
            made = encoder.inverse_transform(spark.createDataFrame([(place,)], ["y"]))
            with pytest.raises(
                PySparkException, match=f"unseen labels: {place}".replace("nan", "NaN")
            ):
                made.collect()
        places = spark.createDataFrame([(1,), (None,)], ["y"])
        found = [row["y"] for row in encoder.inverse_transform(places).collect()]
        assert found == [encoder.classes_[1], None]
    with pytest.raises(SchemaError, match="of type bigint, and LabelEncoder was fitted on strings"):
        encoders[0].transform(places)
    with pytest.raises(SchemaError, match="holds strings, and inverse_transform takes the numbers"):
        encoders[1].inverse_transform(spark.createDataFrame([("a",)], ["y"]))


def test_functions(spark):
    df = spark.createDataFrame([(1.0, 4), (2.5, 9)], ["a", "b"])
    frame = df.toPandas()
    for function in (np.log1p, np.sqrt, np.square, np.abs, np.tanh, np.floor):
        made = preprocessing.FunctionTransformer(function).fit_transform(df).toPandas()
        assert_allclose(made, function(frame), rtol=1e-12)
    twice = preprocessing.FunctionTransformer(lambda X: X.selectExpr("a * 2 AS a2"))
    assert twice.fit_transform(df).toPandas()["a2"].tolist() == [2.0, 5.0]
    assert preprocessing.FunctionTransformer().fit_transform(df).columns == ["a", "b"]
    with pytest.raises(TypeError, match=r"must return one. Got int instead"):
        preprocessing.FunctionTransformer(lambda X: 1).fit_transform(df)
    others = (np.isnan, np.spacing, np.clip, abs, len, lambda X: np.logaddexp(X, 1), lambda X: X.T)
    for function in others:
        with pytest.raises(TypeError, match=r"a Spark DataFrame.* Write it with pyspark\.sql\.fu"):
            preprocessing.FunctionTransformer(function).fit_transform(df)
