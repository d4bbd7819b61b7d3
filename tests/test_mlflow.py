"""MLflow's runs and models of our estimators, in a real store, beside the estimators themselves."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.model_selection import GridSearchCV
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import OneHotEncoder, StandardScaler
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from tests.fresh_folder import without

mlflow = pytest.importorskip("mlflow", reason="needs the extra [mlflow]")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning"),
]

FEW = {"n_estimators": 6, "n_jobs": 1, "num_workers": 0}
NAMES = ["a", "b", "city"]


@pytest.fixture(autouse=True)
def store(tmp_path_factory, monkeypatch):
    """A store of its own for each test."""
    folder = tmp_path_factory.mktemp("store")
    monkeypatch.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs.db")
    yield folder
    raydp_ml.mlflow.autolog(disable=True)
    mlflow.sklearn.autolog(disable=True)
    assert mlflow.active_run() is None


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"a": rng.random(200), "b": rng.random(200)})
    made["city"] = rng.choice(["Köln", "Rome"], 200)
    made["y"] = 2 * made["a"] + (made["city"] == "Rome")
    return made


def pipeline():
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["a", "b"]), ("c", OneHotEncoder(), ["city"])]
    )
    return make_pipeline(columns, XGBRegressor(**FEW))


def runs():
    return mlflow.search_runs(output_format="list", search_all_experiments=True)


def metric(run, name):
    return [item.value for item in mlflow.MlflowClient().get_metric_history(run.info.run_id, name)]


LOAD = """
import mlflow, numpy, pandas
rows = pandas.read_pickle("rows.pickle")
numpy.save("found.npy", mlflow.pyfunc.load_model(sys.argv[1]).predict(rows))
"""


@pytest.mark.slow
def test_a_logged_model_loads_without_spark(frame, store):
    pipe = pipeline().fit(frame[NAMES], frame["y"])
    with mlflow.start_run():
        info = raydp_ml.mlflow.log_model(pipe, input_example=frame[NAMES].head(3))
    assert [(item.name, item.type.name) for item in info.signature.inputs] == [
        ("a", "double"), ("b", "double"), ("city", "string")
    ]  # fmt: skip
    folder = mlflow.artifacts.download_artifacts(info.model_uri)
    with open(f"{folder}/requirements.txt") as file:
        assert f"raydp_ml=={raydp_ml.__version__}" in file.read().replace("-", "_")
    frame[NAMES].to_pickle(store / "rows.pickle")
    program = without("pyspark", "py4j") + LOAD
    subprocess.run([sys.executable, "-c", program, folder], cwd=store, check=True, timeout=300)
    np.testing.assert_array_equal(np.load(store / "found.npy"), pipe.predict(frame[NAMES]))
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        mlflow.pyfunc.load_model(info.model_uri).predict(frame[["a"]])


def test_autolog_of_a_model_of_trees(frame):
    raydp_ml.mlflow.autolog()
    X, y = frame[["a", "b"]], frame["y"]
    model = XGBRegressor(early_stopping_rounds=2, eval_metric=["rmse", "mae"], **FEW)
    model.fit(X[:150], y[:150], eval_set=[(X[150:], y[150:])])
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["n_estimators"] == "6"
    assert run.data.tags["estimator_name"] == "XGBRegressor"
    scores = model.evals_result()["validation_0"]
    for name, values in scores.items():
        assert metric(run, f"validation_0-{name}") == values
    assert metric(run, "best_iteration") == [model.best_iteration]
    (logged,) = mlflow.search_logged_models(output_format="list")
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.metadata.signature is not None


@pytest.mark.usefixtures("one_thread")
def test_autolog_of_a_network(frame):
    raydp_ml.mlflow.autolog(log_models=False)
    model = TorchRegressor(max_epochs=3, num_workers=0, random_state=0)
    model.fit(frame[["a", "b"]], frame["y"])
    (run,) = runs()
    for name in set(model.history_[0]) - {"epoch"}:
        assert metric(run, name) == [epoch[name] for epoch in model.history_]
    assert not mlflow.search_logged_models(output_format="list")


def test_a_pipeline_and_a_search_are_one_run_each(frame):
    raydp_ml.mlflow.autolog()
    with mlflow.start_run() as own:
        pipe = pipeline().fit(frame[NAMES], frame["y"])
    (run,) = runs()
    assert run.info.run_id == own.info.run_id
    assert run.data.params["xgbregressor__n_estimators"] == "6"
    (logged,) = mlflow.search_logged_models(output_format="list")
    found = mlflow.pyfunc.load_model(logged.model_uri).predict(frame[NAMES])
    np.testing.assert_array_equal(found, pipe.predict(frame[NAMES]))

    search = GridSearchCV(XGBRegressor(**FEW), {"max_depth": [1, 3]}, cv=2)
    search.fit(frame[["a", "b"]], frame["y"])
    run = runs()[0]
    assert len(runs()) == 2
    assert run.data.params["best_max_depth"] == str(search.best_params_["max_depth"])
    assert metric(run, "best_cv_score") == [search.best_score_]


def test_a_fit_that_fails_fails_its_run_only(frame):
    raydp_ml.mlflow.autolog()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        XGBRegressor(**FEW).fit(frame[["a", "b"]], frame["y"][:5])
    (run,) = runs()
    assert run.info.status == "FAILED"


def test_disabled_nothing_is_logged(frame):
    raydp_ml.mlflow.autolog()
    raydp_ml.mlflow.autolog(disable=True)
    XGBRegressor(**FEW).fit(frame[["a", "b"]], frame["y"])
    assert not runs()
    assert "safe_patch" not in repr(XGBRegressor.fit)


@pytest.mark.slow
def test_mlflows_own_sklearn_flavour(frame):
    mlflow.sklearn.autolog(log_input_examples=True)
    pipe = pipeline()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.fit(frame[NAMES], frame["y"])
    (run,) = runs()
    assert run.data.metrics["training_r2_score"] == pytest.approx(
        pipe.score(frame[NAMES], frame["y"])
    )
    (logged,) = mlflow.search_logged_models(output_format="list")
    found = mlflow.pyfunc.load_model(logged.model_uri).predict(frame[NAMES])
    np.testing.assert_array_equal(found, pipe.predict(frame[NAMES]))


@pytest.mark.slow
def test_on_spark(spark, frame):
    df = spark.createDataFrame(frame).cache()
    raydp_ml.mlflow.autolog()
    pipe = pipeline().fit(df, "y")
    raydp_ml.mlflow.autolog(disable=True)
    (run,) = runs()
    assert run.info.status == "FINISHED"
    (logged,) = mlflow.search_logged_models(output_format="list")
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    rows = df.toPandas()[NAMES]
    np.testing.assert_array_equal(loaded.predict(rows), pipe.predict(rows))

    udf = mlflow.pyfunc.spark_udf(spark, logged.model_uri, env_manager="local")
    found = df.withColumn("found", udf(*NAMES))
    assert found.schema["found"].dataType.simpleString() == "double"
    made = found.toPandas()
    wanted = pipe.predict(df).toPandas()["prediction"]
    np.testing.assert_allclose(made["found"], wanted, rtol=1e-6)


def test_mlflows_sklearn_autologging_leaves_a_fit_on_spark_alone(spark, frame):
    df = spark.createDataFrame(frame).cache()
    plain = pipeline().fit(df, "y")
    mlflow.sklearn.autolog()
    for estimator in (pipeline(), clone(plain[-1])):
        data = df if hasattr(estimator, "steps") else df.drop("city")
        estimator.fit(data, "y")
        if data is df:
            first, second = (item.predict(df).toPandas() for item in (estimator, plain))
            pd.testing.assert_frame_equal(first, second)


def test_classes_are_logged_by_their_names(frame):
    model = XGBClassifier(**FEW).fit(frame[["a", "b"]], frame["city"])
    with mlflow.start_run():
        info = raydp_ml.mlflow.log_model(model, input_example=frame[["a", "b"]].head(2))
    found = mlflow.pyfunc.load_model(info.model_uri).predict(frame[["a", "b"]])
    np.testing.assert_array_equal(found, model.predict(frame[["a", "b"]]))
