"""Vectors and arrays as features: other lengths, null ones, arrays of booleans."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from numpy.testing import assert_allclose
from pyspark.errors import SparkRuntimeException
from pyspark.ml.linalg import Vectors

from raydp_ml.exceptions import SchemaError
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBRegressor

TREES = {"n_estimators": 6, "n_jobs": 1, "random_state": 0}
NETWORK = {"max_epochs": 2, "random_state": 0, "num_workers": 0}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def df(spark):
    rows = []
    for i in range(60):
        values = [float(i % 5), 0.0, float(i % 3)]
        thin = Vectors.sparse(3, {0: values[0], 2: values[2]})
        rows.append((thin if i % 2 else Vectors.dense(values), values, values[0] - values[2]))
    return spark.createDataFrame(rows, ["v", "l", "y"]).coalesce(1).cache()


@pytest.fixture(scope="module")
def models(df):
    return {
        (cls.__name__, column): cls(**params).fit(df.select(column, "y"), "y")
        for cls, params in ((XGBRegressor, {"num_workers": 0, **TREES}), (TorchRegressor, NETWORK))
        for column in ("v", "l")
    }


def first_line(model, df):
    with pytest.raises(SparkRuntimeException) as error:
        model.predict(df).collect()
    return str(error.value).splitlines()[0]


@pytest.mark.parametrize("name", ["XGBRegressor", "TorchRegressor"])
def test_other_lengths_at_predict(spark, models, name):
    odd = spark.createDataFrame([(Vectors.dense(1.0, 2.0), [1.0] * 5)], ["v", "l"]).coalesce(1)
    for column, what, count in (("v", "vectors", 2), ("l", "arrays", 5)):
        line = first_line(models[name, column], odd)
        assert f"The {what} of the column '{column}' must have 3 elements" in line
        assert f"and one has {count}. Pad or cut them" in line
        with pytest.raises(
            SchemaError, match=f"'{column}' must all have 3 elements, and some have"
        ):
            models[name, column].predict(odd.select(column).toPandas())


def test_null_vectors_are_missing_to_trees_and_refused_by_networks(df, models):
    some = df.selectExpr("if(y > 2, v, null) as v", "if(y > 2, l, null) as l", "y")
    rows = some.toPandas()
    X = np.array([[np.nan] * 3 if row is None else row.toArray() for row in rows["v"]])
    want = xgboost.XGBRegressor(**TREES).fit(X, rows["y"]).predict(X)
    for column in ("v", "l"):
        model = XGBRegressor(num_workers=0, **TREES).fit(some.select(column, "y"), "y")
        assert_allclose(model.predict(some).toPandas()["prediction"], want, rtol=1e-6)
        assert_allclose(model.predict(rows[[column]]), want, rtol=1e-6)
        what = {"v": "vectors", "l": "arrays"}[column]
        line = first_line(models["TorchRegressor", column], some)
        assert f"The {what} of the column '{column}' must not be null" in line
        assert "df.na.drop()" in line
        with pytest.raises(SchemaError, match=f"cannot use, of 60 rows: '{column}'"):
            TorchRegressor(**NETWORK).fit(some.select(column, "y"), "y")


def test_other_lengths_at_fit(spark, df):
    short = spark.createDataFrame([(Vectors.dense(1.0), [1.0], 2.0)], ["v", "l", "y"])
    for cls, params in ((XGBRegressor, {"num_workers": 0, **TREES}), (TorchRegressor, NETWORK)):
        for column in ("v", "l"):
            with pytest.raises(
                SchemaError, match=f"'{column}'.* differ in length|must all be equa"
            ):
                cls(**params).fit(df.union(short).select(column, "y"), "y")
            with pytest.raises(
                SchemaError, match=rf"'{column}' in the evaluation set 0 have \[1\]"
            ):
                cls(**params).fit(df.select(column, "y"), "y", eval_set=short.select(column, "y"))


def test_arrays_of_booleans(spark, df):
    data = spark.range(60).selectExpr(
        "array(id % 2 = 0, id % 3 = 0, if(id % 4 = 0, null, true)) as b",
        "double(id % 5) as x",
        "double(id % 2 * 2 + id % 3) as y",
    )
    data = data.coalesce(1).cache()
    rows = data.toPandas()
    bits = np.array([[np.nan if bit is None else float(bit) for bit in row] for row in rows["b"]])
    X = np.column_stack([bits, rows["x"]])
    want = xgboost.XGBRegressor(**TREES).fit(X, rows["y"]).predict(X)
    model = XGBRegressor(num_workers=0, **TREES).fit(data, "y")
    assert model.feature_names_in_.tolist() == ["b_0", "b_1", "b_2", "x"]
    frame = rows[["b", "x"]]
    for got in (
        model.predict(data).toPandas()["prediction"],
        model.predict(frame),
        model.predict(pa.Table.from_pandas(frame)),
        XGBRegressor(**TREES).fit(frame, rows["y"]).predict(frame),
    ):
        assert_allclose(got, want, rtol=1e-6)
    whole = data.selectExpr("slice(b, 1, 2) as b", "x", "y")
    net = TorchRegressor(**NETWORK).fit(whole, "y")
    got = net.predict(whole).toPandas()
    assert_allclose(got["prediction"], net.predict(got[["b", "x"]]), rtol=1e-5)


def test_the_same_numbers_in_memory_and_on_spark(spark):
    """Every kind of feature at once, with nulls."""
    data = spark.range(80).selectExpr(
        "tinyint(id % 3) as i8",
        "if(id % 9 = 0, null, 1700000000000000000 + id % 4) as i64",
        "float(id % 7) / 3 as f",
        "if(id % 5 = 0, null, cast(id as decimal(38,10)) / 7) as m",
        "cast(id % 4 + 1700000000000000000 as decimal(38,0)) as wide",
        "id % 2 = 0 as t",
        "array(cast(id % 3 as decimal(5,2)), null) as md",
        "array(id % 2 = 1, null) as b",
        "array(float(id % 4), float('nan')) as fl",
        "double(id % 7 - id % 3) as y",
    )
    data = data.coalesce(1).cache()
    model = XGBRegressor(num_workers=0, **TREES).fit(data, "y")
    rows = data.toPandas().drop(columns="y")
    on_spark = model.predict(data).toPandas()["prediction"]
    # (pandas itself makes doubles of integers with nulls.)
    arrow = data.drop("y").toArrow()
    assert_allclose(model.predict(arrow), on_spark, rtol=1e-6)
    assert_allclose(model.predict(rows), on_spark, rtol=1e-6)
    again = XGBRegressor(**TREES).fit(arrow, data.toPandas()["y"])
    assert_allclose(again.predict(data).toPandas()["prediction"], on_spark, rtol=1e-6)
