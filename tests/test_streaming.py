"""Structured Streaming: what is lazy takes a stream, and what needs all rows says so at once."""

from __future__ import annotations

import importlib
import inspect
import os
import threading
import uuid
import weakref
from pathlib import Path

import numpy as np
import pytest
import sklearn.preprocessing
import torch
import xgboost
from pyspark.errors import StreamingQueryException
from sklearn.model_selection import BaseCrossValidator
from sklearn.model_selection._split import BaseShuffleSplit

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange import jvm, sql_text
from raydp_ml.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from raydp_ml.metrics import ConfusionMatrixDisplay, report
from raydp_ml.metrics._metric import DEFINITIONS
from raydp_ml.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor
from tests.carriers import FEATURES, carrier_rows
from tests.test_public_api import MODULES

FILES = 3
WAIT = 120
SMALL = {"n_estimators": 4, "max_depth": 3}


@pytest.fixture(scope="module")
def rows():
    return carrier_rows()


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    """Files of equally many rows, which a stream reads in the order of their times."""
    made = tmp_path_factory.mktemp("stream")
    for number, part in enumerate(np.array_split(np.arange(len(rows)), FILES)):
        path = made / f"{number}.parquet"
        rows.iloc[part].to_parquet(path, index=False)
        os.utime(path, (1_700_000_000 + number,) * 2)
    return made


@pytest.fixture
def stream(spark, folder):
    """A streaming DataFrame of one file in each micro-batch."""
    schema = spark.read.parquet(str(folder)).schema
    reader = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1)
    return reader.parquet(str(folder))


@pytest.fixture(params=["jar", "python"])
def path(request, monkeypatch, recwarn):
    """With our Java part, and without it."""
    if request.param == "python":
        monkeypatch.setattr(jvm, "JAR", Path("/no/such.jar"))
        monkeypatch.setattr(sql_text, "_known", weakref.WeakKeyDictionary())
        monkeypatch.setattr(jvm, "_warn", lambda reason: None)
    return request.param


def finished(writer):
    """Run a query over all files that are there; return it."""
    query = writer.trigger(availableNow=True).start()
    try:
        assert query.awaitTermination(WAIT), "The query has not ended."
    finally:
        query.stop()
    return query


def streamed(df):
    """Rows that a stream has written to memory, in the order of their ids."""
    assert df.isStreaming
    name = f"sink_{uuid.uuid4().hex}"
    query = finished(df.writeStream.format("memory").queryName(name).outputMode("append"))
    assert query.lastProgress["batchId"] >= FILES - 1
    found = df.sparkSession.table(name).toPandas()
    df.sparkSession.catalog.dropTempView(name)
    return found.sort_values("id", ignore_index=True)


def matrix(column):
    return np.array(column.tolist())


def regressor(rows):
    return XGBRegressor(**SMALL).fit(rows[FEATURES], rows.y)


def classifier(rows):
    return XGBClassifier(**SMALL).fit(rows[FEATURES], rows.late)


def network(rows):
    model = TorchRegressor(max_epochs=2, random_state=0)
    return model.fit(rows[FEATURES].astype("float32"), rows.y.astype("float32"))


def of_xgboost(model, method, rows):
    return getattr(model.to_xgboost(), method)(rows[FEATURES])


def of_booster(model, rows):
    data = xgboost.DMatrix(rows[FEATURES])
    return model.get_booster().predict(data, pred_contribs=True)


def of_torch(model, rows):
    with torch.no_grad():
        return model.to_torch()(torch.tensor(rows[FEATURES].to_numpy("float32"))).numpy().ravel()


LAZY = {
    "numbers": (
        regressor,
        lambda model, df: model.predict(df),
        "prediction",
        lambda model, rows: of_xgboost(model, "predict", rows),
    ),
    "classes": (
        classifier,
        lambda model, df: model.predict(df),
        "prediction",
        lambda model, rows: of_xgboost(model, "predict", rows).astype(bool),
    ),
    "probabilities": (
        classifier,
        lambda model, df: model.predict_proba(df),
        "probability",
        lambda model, rows: of_xgboost(model, "predict_proba", rows),
    ),
    "leaves": (
        regressor,
        lambda model, df: model.apply(df),
        "leaves",
        lambda model, rows: of_xgboost(model, "apply", rows),
    ),
    "contributions": (
        regressor,
        lambda model, df: model.explain(df),
        "contributions",
        of_booster,
    ),
    "network": (network, lambda model, df: model.predict(df), "prediction", of_torch),
}


@pytest.mark.slow
@pytest.mark.modes("local", "connect")
@pytest.mark.parametrize("case", LAZY)
def test_streamed_predictions_are_those_in_memory(case, spark, stream, rows):
    fit, predict, column, expected = LAZY[case]
    model = fit(rows)
    found = streamed(predict(model, stream))
    assert found.id.tolist() == rows.id.tolist()
    np.testing.assert_allclose(matrix(found[column]), expected(model, rows), rtol=1e-5, atol=1e-6)


@pytest.mark.cluster
def test_a_streamed_pipeline_with_and_without_the_jar(spark, stream, rows, path):
    train = spark.createDataFrame(rows.drop(columns=["id", "late"]))
    encode = OneHotEncoder(sparse_output=False)
    steps = raydp_ml.compose.make_column_transformer(
        (StandardScaler(), FEATURES), (encode, ["carrier"])
    )
    model = make_pipeline(steps, XGBRegressor(**SMALL, num_workers=0)).fit(train, "y")
    scale = sklearn.preprocessing.StandardScaler().fit_transform(rows[FEATURES])
    one_hot = sklearn.preprocessing.OneHotEncoder(sparse_output=False)
    X = np.hstack([scale, one_hot.fit_transform(rows[["carrier"]])])
    expected = xgboost.XGBRegressor(**SMALL, tree_method="hist").fit(X, rows.y).predict(X)

    found = streamed(model.predict(stream.drop("late")))

    np.testing.assert_allclose(found.prediction, expected, rtol=1e-4, atol=1e-5)
    if path == "jar":  # (without which the columns that the Pipeline was given do not come back)
        assert list(found.columns) == ["x", "z", "carrier", "y", "id", "prediction"]


@pytest.mark.cluster
def test_a_stream_is_transformed_into_files_as_new_ones_come(spark, rows, tmp_path):
    source, sink = tmp_path / "in", str(tmp_path / "out")
    source.mkdir()
    scaler = MinMaxScaler().fit(rows[FEATURES])
    fields = "id long, x double, z double"
    read = spark.readStream.schema(fields).json(str(source))
    expected = sklearn.preprocessing.MinMaxScaler().fit_transform(rows[FEATURES])
    for start, until in ((0, 100), (100, 240)):
        rows.iloc[start:until][["id", *FEATURES]].to_json(
            source / f"{until}.json", orient="records", lines=True, double_precision=15
        )
        transformed = scaler.transform(raydp_ml.set_roles(read, ignore="id"))
        writer = transformed.writeStream.option("checkpointLocation", str(tmp_path / "state"))
        finished(writer.format("parquet").option("path", sink))
        found = spark.read.parquet(sink).toPandas().sort_values("id")
        assert found.id.tolist() == list(range(until))
        np.testing.assert_allclose(found[FEATURES], expected[:until], rtol=1e-9, atol=1e-9)


@pytest.mark.cluster
@pytest.mark.parametrize("num_workers", [0, 1])
def test_training_goes_on_with_each_micro_batch(num_workers, spark, stream, rows):
    model = XGBRegressor(**SMALL, num_workers=num_workers)
    seen, threads = [], set()

    def learn(batch, number):
        threads.add(threading.current_thread().name)
        seen.append(number)
        model.fit(batch.select(*FEATURES, "y"), "y", xgb_model=model if number else None)

    finished(stream.writeStream.foreachBatch(learn))

    alone = xgboost.XGBRegressor(**SMALL, tree_method="hist")
    parts = np.array_split(np.arange(len(rows)), FILES)
    for number, part in enumerate(parts):
        before = alone.get_booster() if number else None
        alone.fit(rows[FEATURES].iloc[part], rows.y.iloc[part], xgb_model=before)
    assert seen == list(range(FILES))
    assert threading.main_thread().name not in threads
    assert model.get_booster().num_boosted_rounds() == FILES * SMALL["n_estimators"]
    np.testing.assert_allclose(
        model.predict(rows[FEATURES]), alone.predict(rows[FEATURES]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.cluster
def test_what_is_learnt_by_parts_takes_micro_batches(spark, stream, rows):
    scaler = StandardScaler()

    def learn(batch, number):
        scaler.partial_fit(batch.select(*FEATURES).toPandas())

    finished(stream.writeStream.foreachBatch(learn))

    own = sklearn.preprocessing.StandardScaler().fit(rows[FEATURES])
    np.testing.assert_allclose(scaler.mean_, own.mean_, atol=1e-12)
    np.testing.assert_allclose(scaler.scale_, own.scale_, rtol=1e-12)


@pytest.mark.cluster
def test_what_a_micro_batch_is_refused_for_ends_the_query(spark, stream):
    def learn(batch, number):
        XGBRegressor(**SMALL, num_workers=0).fit(batch.select("carrier", "y"), "y")

    with pytest.raises(StreamingQueryException, match="carrier"):
        finished(stream.writeStream.foreachBatch(learn))


# ------------------------------------------------------------------------ what needs all rows

HELD = {
    "CalibratedClassifierCV": (XGBClassifier(num_workers=0),),
    "ColumnTransformer": ([("scale", StandardScaler(), ["x"])],),
    "FeatureUnion": ([("scale", StandardScaler())],),
    "FixedThresholdClassifier": (XGBClassifier(num_workers=0),),
    "GridSearchCV": (XGBClassifier(num_workers=0), {"max_depth": [1, 2]}),
    "HalvingGridSearchCV": (XGBClassifier(num_workers=0), {"max_depth": [1, 2]}),
    "HalvingRandomSearchCV": (XGBClassifier(num_workers=0), {"max_depth": [1, 2]}),
    "OptunaSearchCV": (XGBClassifier(num_workers=0), {}),
    "Pipeline": ([("scale", StandardScaler()), ("model", XGBClassifier(num_workers=0))],),
    "RandomizedSearchCV": (XGBClassifier(num_workers=0), {"max_depth": [1, 2]}),
    "SelectFromModel": (XGBRegressor(num_workers=0),),
    "TransformedTargetRegressor": (XGBRegressor(num_workers=0),),
    "TunedThresholdClassifierCV": (XGBClassifier(num_workers=0),),
}


def every_class(wanted):
    """Yield the public classes of a kind, by their names."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isclass(found) and wanted(found):
                yield name, found


ESTIMATORS = dict(every_class(lambda found: hasattr(found, "fit")))
SPLITTERS = dict(
    every_class(lambda found: issubclass(found, (BaseCrossValidator, BaseShuffleSplit)))
)


def refuses(call):
    with pytest.raises(SchemaError, match=r"Got a streaming one instead, which has no end\..*fore"):
        call()


@pytest.mark.cluster
def test_fit_of_every_estimator_refuses_a_stream(spark, stream):
    assert len(ESTIMATORS) > 45
    df = stream.select(*FEATURES, "late")
    for name, cls in ESTIMATORS.items():
        estimator = cls(*HELD.get(name, ()))
        options = {"group": "z"} if cls is XGBRanker else {}
        refuses(lambda e=estimator, o=options: e.fit(df, *(() if is_label(e) else ("late",)), **o))
        if hasattr(estimator, "fit_transform") and not is_label(estimator):
            refuses(lambda e=estimator: e.fit_transform(df, "late"))


def is_label(estimator):
    return type(estimator).__name__ == "LabelEncoder"


@pytest.mark.cluster
def test_every_metric_and_splitter_refuses_a_stream(spark, stream):
    df = stream.selectExpr("*", "late as label", "late as prediction", "x as probability")
    assert len(DEFINITIONS) > 40
    assert len(SPLITTERS) > 6
    for name in DEFINITIONS:
        refuses(lambda n=name: getattr(raydp_ml.metrics, n)(df))
    for name, cls in SPLITTERS.items():
        splitter = cls("z") if name == "PredefinedSplit" else cls()
        refuses(lambda s=splitter: s.split(df, "late", "carrier"))
        refuses(lambda s=splitter: s.fold_column(df, "late", "carrier"))
    refuses(lambda: train_test_split(df, random_state=0))
    refuses(lambda: report(df, ["r2"]))
    refuses(lambda: ConfusionMatrixDisplay.from_predictions(df))


@pytest.mark.cluster
def test_scores_exports_and_studies_refuse_a_stream(spark, stream, rows):
    numbers, classes = regressor(rows), classifier(rows)
    batch = spark.createDataFrame(rows)
    narrow = [*FEATURES, "y"]
    refuses(lambda: raydp_ml.from_spark(stream))
    refuses(lambda: numbers.score(stream, "y"))
    refuses(lambda: classes.score(stream, "late"))
    refuses(lambda: network(rows).score(stream, "y"))
    ranker = XGBRanker(**SMALL).fit(rows[FEATURES], rows.late.astype(int), qid=rows.id // 40)
    refuses(lambda: ranker.score(stream, "late", group="carrier"))
    refuses(
        lambda: XGBRegressor(num_workers=0).fit(
            batch.select(*narrow), "y", eval_set=[(stream.select(*narrow), "y")]
        )
    )
    search = GridSearchCV(XGBClassifier(**SMALL), {"max_depth": [1]}, cv=2)
    search.fit(rows[FEATURES], rows.late)
    refuses(lambda: search.score(stream, "late"))
    assert search.predict(stream).isStreaming
    study = XGBClassifier(num_workers=0), stream.select(*FEATURES, "late"), "late"
    refuses(lambda: cross_val_score(*study))
    refuses(lambda: learning_curve(*study, cv=StratifiedKFold(2)))
    refuses(lambda: permutation_importance(numbers, stream.select(*narrow), "y"))
    refuses(lambda: partial_dependence(numbers, stream, ["x"]))
    refuses(lambda: PartialDependenceDisplay.from_estimator(numbers, stream, ["x"]))
    refuses(lambda: SQLTransformer().fit(stream))
    from pyspark.ml.feature import Bucketizer

    buckets = Bucketizer(splits=[-9.0, 0.0, 9.0], inputCol="x", outputCol="b")
    step = raydp_ml.spark_transformer(buckets)
    refuses(lambda: step.fit(stream))
    assert step.transform(stream).isStreaming
