"""Labels that are arrays, on Spark: several targets."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBRegressor

TREES = {"n_estimators": 6, "n_jobs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def df(spark):
    made = spark.range(90).selectExpr(
        "id", "double(id % 7) as a", "double(id % 5) as b", "float(id % 3) as w"
    )
    made = made.selectExpr(
        "*",
        "array(a + b, a - b, a * b) as doubles",
        "array(int(a), int(b)) as ints",
        "array(cast(a as decimal(5,2)), cast(b as decimal(5,2)) / 2) as decimals",
        "array(a) as one",
    )
    return made.withColumn("vectors", array_to_vector("doubles")).coalesce(1).cache()


@pytest.fixture(scope="module")
def frame(df):
    return df.toPandas()


def matrix(column):
    return np.array([[float(value) for value in row] for row in column])


@pytest.mark.parametrize("label", ["doubles", "ints", "decimals", "vectors", "one"])
@pytest.mark.parametrize(
    "workers",
    [0, pytest.param(1, marks=pytest.mark.grid), pytest.param(2, marks=pytest.mark.grid)],
)
def test_fit_predict_and_score(df, frame, label, workers, tmp_path):
    data = df.select("a", "b", label)
    X, y = frame[["a", "b"]], matrix(frame[label])
    plain = xgboost.XGBRegressor(**TREES).fit(X, y)
    want = plain.predict(X).reshape(y.shape)
    model = XGBRegressor(num_workers=workers, **TREES).fit(data, label, eval_set=data)
    model.save(tmp_path / "model")
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if workers < 2 else {"atol": 0.5}
    for same in (model, raydp_ml.load(tmp_path / "model")):
        made = same.predict(data)
        assert dict(made.dtypes)["prediction"] == "array<double>"
        assert_allclose(matrix(made.toPandas()["prediction"]), want, **tolerance)
    assert_allclose(np.reshape(model.predict(X), y.shape), want, **tolerance)
    assert model.score(data, label) == pytest.approx(
        plain.score(X, y), abs=1e-5 if workers < 2 else 0.1
    )


def test_fitted_in_memory(df, frame):
    X = frame[["a", "b"]]
    for strategy in (None, "multi_output_tree"):
        model = XGBRegressor(multi_strategy=strategy, **TREES).fit(X, matrix(frame["doubles"]))
        got = matrix(model.predict(df).toPandas()["prediction"])
        assert_allclose(got, model.predict(X), rtol=1e-6)
        want = model.score(X, matrix(frame["doubles"]))
        assert model.score(df, "doubles") == pytest.approx(want)
    column = XGBRegressor(**TREES).fit(X, frame[["a"]].to_numpy())
    assert column.score(df, "a") == pytest.approx(column.score(X, frame["a"]))


@pytest.mark.slow
def test_weights_and_torch(df, frame):
    data = df.select("a", "b", "w", "vectors")
    X, y, w = frame[["a", "b"]], matrix(frame["vectors"]), frame["w"]
    plain = xgboost.XGBRegressor(**TREES).fit(X[w > 0], y[w > 0], sample_weight=w[w > 0])
    model = XGBRegressor(num_workers=0, **TREES).fit(data, "vectors", sample_weight="w")
    assert_allclose(
        matrix(model.predict(data).toPandas()["prediction"]), plain.predict(X), atol=1e-4
    )
    want = plain.score(X, y, sample_weight=w)
    assert model.score(data, "vectors", "w") == pytest.approx(want, abs=1e-4)
    net = TorchRegressor(num_workers=0, max_epochs=2, random_state=0)
    net.fit(df.select("a", "b", "vectors"), "vectors", eval_set=df.select("a", "b", "vectors"))
    got = matrix(net.predict(df).toPandas()["prediction"])
    assert_allclose(got, net.predict(X), rtol=1e-5)
    assert net.score(df, "vectors") == pytest.approx(net.score(X, y), abs=1e-6)


def test_labels_that_do_not_fit(df):
    model = XGBRegressor(num_workers=0, **TREES)
    ragged = df.selectExpr("a", "b", "if(id = 3, array(a), ints) as y")
    with pytest.raises(
        SchemaError, match=r"must all be equally long, and have the lengths \[1, 2\]"
    ):
        model.fit(ragged, "y")
    with pytest.raises(SchemaError, match="holds 1 null"):
        model.fit(df.selectExpr("a", "if(id = 3, null, ints) as y"), "y")
    with pytest.raises(SchemaError, match="holds 1 null"):
        model.fit(df.selectExpr("a", "if(id = 3, array(a, null), doubles) as y").limit(5), "y")
    with pytest.raises(SchemaError, match=r"evaluation set 0 has lists of 3 numbers, and that of"):
        model.fit(df.selectExpr("a", "ints as y"), "y", eval_set=df.selectExpr("a", "doubles as y"))
    with pytest.raises(SchemaError, match=r"evaluation set 0 has single values"):
        model.fit(df.selectExpr("a", "ints as y"), "y", eval_set=df.selectExpr("a", "b as y"))
    model.fit(df.select("a", "ints"), "ints")
    short = df.select("a", functions.expr("if(id = 3, array(1), ints)").alias("ints"))
    with pytest.raises(SchemaError, match="'ints' holds 1 null of 90 values"):
        model.score(short, "ints")
