"""PyTorch on Spark DataFrames: the numbers equal a training by hand, and those in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.errors import SparkRuntimeException
from pyspark.sql import functions
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from torch import nn

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchClassifier, TorchRegressor
from tests.torch.networks import Recording, TwoTowers, recorded

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = {"max_epochs": 3, "random_state": 0, "lr": 0.02, "batch_size": 64}
NAMES = ["a", "with.dot", "with space"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(601, 3)), columns=NAMES)
    made["y"] = 2 * made["a"] + made["with.dot"] ** 2
    made["name"] = np.where(made["y"] > 2, "high", np.where(made["y"] > 0, "mid", "low"))
    made["w"] = rng.uniform(0.5, 2, 601)
    made["id"] = np.arange(601)
    return made


@pytest.fixture(scope="module")
def df(spark, frame):
    made = spark.createDataFrame(frame).repartition(3).cache()
    made.count()
    yield made
    made.unpersist()


def features(df, *others):
    return df.select(*(f"`{name}`" for name in NAMES), *others)


def weights(model):
    return torch.cat([item.flatten() for item in model.module_.state_dict().values()]).numpy()


@pytest.mark.modes("local", "native", "own")
def test_one_worker_equals_a_loop_written_by_hand(df, frame, tmp_path):
    first = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    network = Recording(tmp_path, 3)
    network.layers.load_state_dict(first.state_dict())
    model = TorchRegressor(network, optimizer="sgd", num_workers=1, **PARAMS)
    model.fit(features(df, "y"), "y")
    target = {np.float32(row.a): np.float32(row.y) for row in frame.itertuples()}
    optimizer = torch.optim.SGD(first.parameters(), lr=0.02)
    batches = recorded(tmp_path)
    assert [len(batch) for batch in batches] == ([64] * 9 + [25]) * 3
    for batch in batches:
        wanted = torch.tensor([target[value] for value in batch[:, 0]])
        optimizer.zero_grad()
        nn.functional.mse_loss(first(torch.from_numpy(batch))[:, 0], wanted).backward()
        optimizer.step()
    for name, item in first.state_dict().items():
        assert_allclose(model.module_.layers.state_dict()[name], item, atol=1e-6, rtol=0)
    with torch.no_grad():
        X = torch.from_numpy(frame[NAMES].to_numpy(np.float32))
        want = first(X)[:, 0].numpy()
    got = model.predict(df).toPandas().sort_values("id")
    assert_allclose(got["prediction"], want, atol=1e-5)
    assert model.score(df, "y") == pytest.approx(r2_score(frame["y"], want), abs=1e-5)
    assert_array_equal(model.feature_names_in_, NAMES)


def test_partitions_and_workers_do_not_change_the_model(df, frame):
    data = features(df, "y", "w")
    fits = [
        TorchRegressor(num_workers=workers, **PARAMS).fit(rows, "y", sample_weight="w")
        for workers, rows in (
            (0, data),
            (1, data.repartition(7)),
            (2, data.coalesce(1)),
            (2, data.orderBy("w").repartition(5)),
        )
    ]
    alone = TorchRegressor(num_workers=0, **PARAMS)
    alone.fit(frame[NAMES], frame["y"], sample_weight=frame["w"])
    for model in fits:
        assert_allclose(weights(model), weights(alone), atol=1e-5)
    other = TorchRegressor(**{**PARAMS, "random_state": 1}).fit(data, "y", sample_weight="w")
    assert abs(weights(other) - weights(alone)).max() > 1e-2


@pytest.mark.slow
def test_prediction_is_lazy_and_keeps_rows_and_columns(spark, df):
    model = TorchRegressor(num_workers=0, **PARAMS).fit(features(df, "y"), "y")
    made = model.predict(df)
    assert made.columns == [*df.columns, "prediction"]
    assert made.drop("prediction").collect() == df.collect()
    assert_allclose(made.toPandas()["prediction"], model.predict(df.toPandas()[NAMES]), atol=1e-6)
    for empty in (df.limit(0), df.where("id < 0"), df.where("id = 3").repartition(4)):
        assert len(model.predict(empty).collect()) == empty.count()
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 7)
    try:
        small = model.predict(df).toPandas()["prediction"]
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert_allclose(small, made.toPandas()["prediction"], atol=1e-6)
    holes = df.withColumn("a", functions.when(functions.col("id") > 3, functions.col("a")))
    text = r"Null, NaN.*'a' \(\d+\).*SimpleImputer"
    with pytest.raises(SparkRuntimeException, match=text) as caught:
        model.predict(holes).collect()
    # The text alone, without the stack of a Python task.
    assert str(caught.value).count("\n") == 0
    with pytest.raises(SchemaError, match=text):
        model.score(holes, "y")
    with pytest.raises(SchemaError, match=text):
        raydp_ml.from_spark(model.predict(holes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "spark_type", "classes"),
    [
        ("name", "string", ["high", "low", "mid"]),
        ("y > 0", "boolean", [False, True]),
        ("cast(if(y > 0, 3, -2) as tinyint)", "tinyint", [-2, 3]),
    ],
)
def test_classes_keep_the_labels_type(df, expression, spark_type, classes):
    data = features(df.withColumn("label", functions.expr(expression)), "label")
    model = TorchClassifier(num_workers=2, **{**PARAMS, "max_epochs": 20}).fit(data, "label")
    assert_array_equal(model.classes_, classes)
    made = model.predict_proba(model.predict(data))
    assert dict(made.dtypes)["prediction"] == spark_type
    assert dict(made.dtypes)["probability"] == "array<double>"
    rows = made.toPandas()
    shares = np.stack(rows["probability"])
    with torch.no_grad():
        scores = model.to_torch()(torch.from_numpy(rows[NAMES].to_numpy(np.float32)))
    assert_allclose(shares, torch.softmax(scores, dim=1), atol=1e-6)
    assert_array_equal(rows["prediction"], model.classes_[shares.argmax(axis=1)])
    assert_allclose(shares, model.predict_proba(rows[NAMES]), atol=1e-6)
    right = (rows["label"].astype(model.classes_.dtype) == rows["prediction"]).mean()
    assert model.score(data, "label") == pytest.approx(right)
    assert right > 0.9


def test_pipeline_with_roles_and_early_stopping(df, frame):
    marked = raydp_ml.set_roles(
        df.withColumn("held", functions.expr("id % 5 = 0")).drop("name"),
        label="y",
        sample_weight="w",
        validation="held",
        ignore=["id"],
    )
    network = TorchRegressor(
        max_epochs=300, lr=0.02, early_stopping=True, patience=5, num_workers=2, random_state=0
    )
    pipe = make_pipeline(StandardScaler(), network).fit(marked)
    assert len(network.history_) < 300
    assert network.best_score_ == min(r["validation_0_loss"] for r in network.history_)
    assert_array_equal(network.feature_names_in_, NAMES)
    rows = pipe.predict(marked).toPandas()
    want = r2_score(rows["y"], rows["prediction"], sample_weight=rows["w"])
    assert pipe.score(marked) == pytest.approx(want, abs=1e-6)
    assert want > 0.95
    held = rows[rows["held"]]
    best = np.average((held["y"] - held["prediction"]) ** 2, weights=held["w"])
    assert network.best_score_ == pytest.approx(best, rel=1e-4)


def test_rows_of_weight_zero_are_as_if_absent(df):
    data = features(df, "y").withColumn("w", functions.expr("if(y > 0, 1, 0)"))
    kept = features(df.where("y > 0"), "y")
    left = TorchRegressor(num_workers=2, **PARAMS).fit(data, "y", sample_weight="w")
    right = TorchRegressor(num_workers=2, **PARAMS).fit(kept, "y")
    assert_allclose(weights(left), weights(right), atol=1e-5)


@pytest.mark.slow
def test_arrays_and_vectors_are_features_and_arrays_are_labels(spark, df, frame):
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql.functions import array, col

    plain = df.select(col("a"), col("`with.dot`").alias("b"), col("`with space`").alias("c"), "y")
    vectors = VectorAssembler(inputCols=["b", "c"], outputCol="v").transform(plain)
    data = vectors.select("a", "v", array("y", -col("y"), col("a")).alias("y"))
    model = TorchRegressor(num_workers=2, **{**PARAMS, "max_epochs": 60}).fit(data, "y")
    assert_array_equal(model.feature_names_in_, ["a", "v_0", "v_1"])
    both = np.column_stack([frame["y"], -frame["y"], frame["a"]])
    alone = TorchRegressor(num_workers=0, **{**PARAMS, "max_epochs": 60})
    alone.fit(frame[NAMES].to_numpy(), both)
    assert_allclose(weights(model), weights(alone), atol=1e-3)
    rows = model.predict(data).toPandas()
    assert dict(model.predict(data).dtypes)["prediction"] == "array<double>"
    want = r2_score(np.stack(rows["y"]), np.stack(rows["prediction"]))
    assert model.score(data, "y") == pytest.approx(want, abs=1e-6)
    assert want > 0.95
    lists = plain.select(array("a", "b", "c").alias("x"), "y")
    one = TorchRegressor(num_workers=1, **PARAMS).fit(lists, "y")
    many = TorchRegressor(num_workers=1, **PARAMS).fit(plain, "y")
    assert_allclose(weights(one), weights(many), atol=1e-6)


@pytest.mark.slow
def test_categories_have_embeddings(spark):
    values = {"p": 1.0, "q": 5.0, "r": -3.0, "s": 8.0}
    rows = [(name, float(i % 5), value) for name, value in values.items() for i in range(60)]
    data = spark.createDataFrame(rows, ["c", "x", "y"]).coalesce(1)
    params = {**PARAMS, "enable_categorical": True, "max_epochs": 80, "lr": 0.03}
    model = TorchRegressor(num_workers=2, **params).fit(data, "y")
    got = model.predict(data).toPandas()
    assert_allclose(got["prediction"], got["y"], atol=0.5)
    table = model.module_.embeddings[0]
    assert tuple(table.weight.shape) == (5, 3)
    assert_allclose(table.weight[0].detach(), 0)
    # The embedding of an unknown category is that of none.
    with torch.no_grad():
        want = model.module_(torch.tensor([[1.0]]), torch.tensor([[0]])).item()
    new = data.where("x = 1").limit(1)
    for value in (functions.lit("new"), functions.lit(None).cast("string")):
        row = model.predict(new.withColumn("c", value)).first()
        assert row["prediction"] == pytest.approx(want, abs=1e-5)
    # Numbers alone, and categories alone.
    only = TorchRegressor(num_workers=1, **params).fit(data.drop("x"), "y")
    assert only.score(data, "y") > 0.99


def test_named_inputs(spark):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(400, 4))
    shops = rng.integers(0, 6, 400)
    rows = [
        (p.tolist(), int(s), float(p[0] - p[3] + s)) for p, s in zip(pixels, shops, strict=True)
    ]
    data = spark.createDataFrame(rows, "pixels array<double>, shop_id int, y double")
    model = TorchRegressor(
        TwoTowers,
        module__pixels=4,
        module__ids=6,
        inputs={"image": "pixels", "shop": (["shop_id"], "int64")},
        num_workers=2,
        **{**PARAMS, "max_epochs": 80},
    ).fit(data, "y")
    assert model.score(data, "y") > 0.95
    rows = model.predict(data).toPandas()
    with torch.no_grad():
        want = model.to_torch()(
            image=torch.tensor(np.stack(rows["pixels"]), dtype=torch.float32),
            shop=torch.tensor(rows["shop_id"].to_numpy(np.int64))[:, None],
        )[:, 0]
    assert_allclose(rows["prediction"], want, atol=1e-5)
    in_memory = model.predict(rows[["pixels", "shop_id"]])
    assert_allclose(in_memory, rows["prediction"], atol=1e-6)


def test_blocks_and_datasets(df):
    data = features(df, "y")
    want = weights(TorchRegressor(num_workers=2, **PARAMS).fit(data, "y"))
    with raydp_ml.from_spark(data) as blocks:
        for X in (blocks, blocks.to_dataset(), blocks.to_arrow()):
            model = TorchRegressor(num_workers=2, **PARAMS).fit(X, "y")
            assert_allclose(weights(model), want, atol=1e-5)
            assert model.predict(blocks).shape == (601,)


@pytest.mark.modes("local")
def test_evaluation_sets_have_weights_of_their_own(spark):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 2)).astype(np.float32), columns=["a", "b"])
    rows = rows.assign(y=rows.a - rows.b**2, w=rng.integers(0, 4, 300).astype(float))
    train, valid = rows[:200].drop(columns="w"), rows[200:]
    for make in (lambda frame: frame, spark.createDataFrame):
        model = TorchRegressor(max_epochs=2, num_workers=1, random_state=0)
        model.fit(make(train), "y", eval_set=[(make(valid), "y")], sample_weight_eval_set=["w"])
        errors = (model.predict(valid[["a", "b"]]) - valid.y) ** 2
        weighted = np.average(errors, weights=valid.w)
        assert model.history_[-1]["validation_0_loss"] == pytest.approx(weighted, rel=1e-5)
        assert weighted != pytest.approx(errors.mean(), rel=1e-3)
