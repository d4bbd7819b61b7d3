"""Vectors and arrays in a Spark DataFrame are walked by the JVM as columns of numbers are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.errors import SparkRuntimeException
from pyspark.ml.linalg import Vectors

from raydp_ml.xgboost import XGBClassifier, XGBRegressor

ROWS, WIDTH = 300, 5


@pytest.fixture(scope="module")
def matrix():
    """What the columns n, v (of three) and m hold, one after another."""
    rng = np.random.default_rng(1)
    made = rng.normal(size=(ROWS, WIDTH)).round(2)
    made[::4, 1] = np.nan
    made[1::3, 2] = 0.0
    made[:6, 3] = [0.0, -0.0, 1e-46, 1e39, -1e39, 16777217.0]  # what floats do not tell apart
    return made


@pytest.fixture(scope="module")
def label(matrix):
    return np.nan_to_num(matrix[:, 1]) + matrix[:, 2] * matrix[:, 0] - matrix[:, 4]


@pytest.fixture(scope="module")
def frames(spark, matrix):
    """The same rows with v in several types, by their names."""
    plain = pd.DataFrame({"n": matrix[:, 0], "m": matrix[:, 4], "row": range(ROWS)})
    inner = [row.tolist() for row in matrix[:, 1:4]]
    arrays = spark.createDataFrame(plain.assign(v=inner)).select("row", "n", "v", "m")
    sparse = [
        Vectors.sparse(3, [(i, value) for i, value in enumerate(row) if value != 0])
        if place % 2
        else Vectors.dense(row)
        for place, row in enumerate(inner)
    ]
    rows = [(i, float(matrix[i, 0]), sparse[i], float(matrix[i, 4])) for i in range(ROWS)]
    vectors = spark.createDataFrame(rows, ["row", "n", "v", "m"])
    made = {"arrays": arrays, "vectors": vectors, "one partition": vectors.coalesce(1)}
    made["floats"] = arrays.withColumn("v", arrays.v.cast("array<float>"))
    yield {name: df.cache() for name, df in made.items()}
    for df in made.values():
        df.unpersist()


@pytest.fixture(scope="module")
def model(spark, matrix, label):
    return fitted(spark, matrix, label, XGBRegressor)


def fitted(spark, matrix, label, estimator, **params):
    """A model that was fitted on what XGBoost can learn from: nothing beyond its floats."""
    X = matrix.clip(-100, 100)
    frame = pd.DataFrame({"n": X[:, 0], "v": X[:, 1:4].tolist(), "m": X[:, 4], "y": label})
    return estimator(n_estimators=9, num_workers=0, **params).fit(spark.createDataFrame(frame), "y")


def computed(made):
    """The new column, of the rows in their order, by the JVM alone."""
    assert "Python" not in made._jdf.queryExecution().executedPlan().toString()
    return np.array([row[0] for row in made.sort("row").select(made.columns[-1]).collect()])


def by_xgboost(model, X, **asked):
    data = xgboost.DMatrix(X, missing=model.missing)
    return model.get_booster().predict(data, validate_features=False, **asked)


@pytest.mark.parametrize("kind", ["arrays", "vectors", "one partition", "floats"])
def test_numbers(model, frames, matrix, kind):
    X = matrix.clip(-3e38, 3e38)
    df = frames[kind]
    assert_array_equal(computed(model.predict(df)), by_xgboost(model, X))
    assert_array_equal(computed(model.apply(df)), by_xgboost(model, X, pred_leaf=True))
    expected = by_xgboost(model, X, pred_contribs=True)
    explained = computed(model.explain(df))
    assert_allclose(explained, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert_allclose(explained.sum(axis=1), by_xgboost(model, X), atol=1e-5)


@pytest.mark.parametrize("missing", [0.0, np.float32(0.25)])
def test_classes_and_a_number_that_stands_for_missing(spark, frames, matrix, label, missing):
    three = np.digitize(label, [-0.5, 0.5])
    model = fitted(spark, matrix, three, XGBClassifier, missing=missing, num_parallel_tree=2)
    X = matrix.clip(-3e38, 3e38)
    for df in frames.values():
        expected = by_xgboost(model, X)
        shares = computed(model.predict_proba(df))
        assert_allclose(shares, expected, rtol=3e-7, atol=1e-12)
        assert_array_equal(computed(model.predict(df)), expected.argmax(axis=1))
        assert_array_equal(computed(model.apply(df)), by_xgboost(model, X, pred_leaf=True))


@pytest.mark.parametrize("kind", ["arrays", "vectors"])
def test_null_rows_are_missing(model, frames, matrix, kind):
    df = frames[kind].selectExpr("row", "n", "if(row % 2 = 0, null, v) v", "m")
    X = matrix.clip(-3e38, 3e38)
    X[::2, 1:4] = np.nan
    assert_array_equal(computed(model.predict(df)), by_xgboost(model, X))
    assert_array_equal(computed(model.apply(df)), by_xgboost(model, X, pred_leaf=True))


def test_other_types_of_elements(model, frames):
    arrays = frames["arrays"].where("row > 5").selectExpr("row", "n", "v", "m")
    for kind in ("decimal(12,4)", "int", "bigint", "boolean"):
        df = arrays.selectExpr(
            "row", "n", f"transform(v, x -> cast(nullif(x, double('NaN')) as {kind})) v", "m"
        )
        as_doubles = df.withColumn("v", df.v.cast("array<double>"))
        rows = as_doubles.sort("row").toPandas()
        X = np.column_stack([rows.n, np.array(rows.v.tolist(), dtype=float), rows.m])
        assert_array_equal(computed(model.predict(df)), by_xgboost(model, X))


@pytest.mark.parametrize("kind", ["arrays", "vectors"])
@pytest.mark.parametrize("method", ["predict", "apply", "explain"])
def test_another_length(spark, model, kind, method):
    values = Vectors.dense([1.0, 2.0]) if kind == "vectors" else [1.0, 2.0]
    df = spark.createDataFrame([(1.0, values, 1.0)], ["n", "v", "m"])
    what = r"s of the column 'v' must have 3 elements, as in fit, and one has 2\. Pad or cut them"
    with pytest.raises(SparkRuntimeException, match=what):
        getattr(model, method)(df).collect()
