"""Saved estimators behind a real Ray Serve: real requests, beside their own predictions."""

from __future__ import annotations

import json
import socket
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import OneHotEncoder, StandardScaler
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

pytestmark = pytest.mark.cluster

FEW = {"n_estimators": 5, "n_jobs": 1, "num_workers": 0}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"distance": rng.random(200) * 10, "delay": rng.random(200)})
    made.loc[::9, "delay"] = np.nan
    made["city"] = rng.choice(["Köln", "Paris", "Rome"], 200)
    return made


@pytest.fixture(scope="module")
def models(frame):
    """One of each kind: names and words, an array, a network."""
    numbers = frame[["distance", "delay"]]
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["distance", "delay"]), ("city", OneHotEncoder(), ["city"])]
    )
    late = np.where(frame["distance"] > 5, "late", "on time")
    known = numbers.fillna(0.5)
    return {
        "words": make_pipeline(columns, XGBClassifier(**FEW)).fit(frame, late),
        "array": XGBRegressor(**FEW).fit(numbers.to_numpy(), frame["distance"]),
        "network": make_pipeline(
            StandardScaler().set_output(transform="pandas"),
            TorchRegressor(max_epochs=2, num_workers=0, random_state=0),
        ).fit(known, frame["distance"]),
    }


@pytest.fixture(scope="module")
def port(ray_cluster, models, tmp_path_factory):
    from ray import serve
    from ray.serve.schema import LoggingConfig

    folder = tmp_path_factory.mktemp("models")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = LoggingConfig(log_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
    for name, model in models.items():
        raydp_ml.save(model, folder / name)
        application = raydp_ml.serve.deployment(
            folder / name, batch_wait_timeout_s=0.05, ray_actor_options={"num_cpus": 0}
        )
        serve.run(application, name=name, route_prefix=f"/{name}")
    yield port
    serve.shutdown()
    left = [p for p in psutil.Process().children(recursive=True) if serves(p)]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive


def serves(process):
    """Is it an actor of Ray Serve? ``ray::BlockServer``, of a session before, is none."""
    try:
        return " ".join(process.cmdline()).startswith(("ray::Serve", "ray::Proxy"))
    except psutil.Error:  # it ends
        return False


def ask(port, name, body=None, method="POST"):
    """Status and answer of a request; a body that is no text is sent as JSON."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        connection.request(method, f"/{name}", text)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def records(frame):
    return json.loads(frame.to_json(orient="records"))


@pytest.mark.slow
def test_rows_of_names_and_words(port, models, frame):
    model, body = models["words"], json.loads(frame.to_json(orient="split", index=False))
    status, answer = ask(port, "words", body)
    # JSON holds what pandas rounds to 10 digits.
    rows = pd.DataFrame(body["data"], columns=body["columns"]).astype({"delay": float})
    assert status == 200
    assert answer["prediction"] == model.predict(rows).tolist()
    assert answer["probability"] == model.predict_proba(rows).tolist()
    assert answer["classes"] == ["late", "on time"]
    assert ask(port, "words", records(frame)) == (200, answer)


@pytest.mark.slow
def test_columns_in_another_order(port, frame):
    rows = frame.head(3)
    assert ask(port, "words", records(rows)) == ask(
        port, "words", records(rows[rows.columns[::-1]])
    )


def test_rows_without_names(port, models):
    data = [[1.5, 0.25], [2, None]]
    status, answer = ask(port, "array", {"data": data})
    assert status == 200
    assert answer == {"prediction": models["array"].predict(np.array(data, float)).tolist()}


def test_a_network(port, models):
    rows = [{"distance": 1.0, "delay": 2.0}, {"distance": 3, "delay": 0}]
    status, answer = ask(port, "network", rows)
    assert status == 200
    assert answer == {"prediction": models["network"].predict(pd.DataFrame(rows)).tolist()}


def test_many_requests_at_once_get_their_own_answers(port, models, frame):
    rows = [frame.iloc[place : place + 1 + place % 3] for place in range(60)]
    bad = {"distance": 1.0, "delay": 0.0, "city": "Atlantis"}  # an error of the encoder's
    bodies = [records(some) for some in rows]
    bodies[7] = [bad]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda body: ask(port, "words", body), bodies))
    assert answers[7][0] == 422
    assert "unknown categories ['Atlantis']" in answers[7][1]["error"]
    for place, (status, answer) in enumerate(answers):
        if place != 7:
            given = pd.DataFrame(bodies[place]).astype({"delay": float})
            assert status == 200
            assert answer["prediction"] == models["words"].predict(given).tolist()


def test_a_handle_takes_frames(port, models, frame):
    from ray import serve

    handle = serve.get_app_handle("words")
    found = handle.predict.remote(frame).result(timeout_s=120)
    np.testing.assert_array_equal(found, models["words"].predict(frame))
    found = handle.predict_proba.remote(frame).result(timeout_s=120)
    np.testing.assert_array_equal(found, models["words"].predict_proba(frame))


def test_what_rows_must_be(port):
    status, answer = ask(port, "words", method="GET")
    assert (status, answer["classes"]) == (200, ["late", "on time"])
    assert answer["features"] == [
        {"name": "distance", "type": "number"},
        {"name": "delay", "type": "number"},
        {"name": "city", "type": "string"},
    ]


ROW = {"distance": 1.0, "delay": 2.0, "city": "Rome"}


@pytest.mark.parametrize(
    ("name", "body", "status", "text"),
    [
        ("words", "{", 400, "The body is no JSON: Expecting"),
        ("words", {"rows": []}, 422, 'Send {"columns": [names], "data": [rows]}'),
        ("words", [], 422, "There are no rows"),
        ("words", [{**ROW, "citty": 1}], 422, "'citty' is no feature. Did you mean 'city'?"),
        ("words", [{"distance": 1.0}], 422, "The features ['delay', 'city'] are missing"),
        ("words", [ROW, {"distance": 1.0}], 422, "Record 1 has the columns ['distance']"),
        ("words", [{**ROW, "delay": "2"}], 422, "'delay' holds numbers, and row 0 has \"2\""),
        ("words", [{**ROW, "city": 5}], 422, "'city' holds strings, and row 0 has 5"),
        ("words", {"data": [[1, 2, "Rome"]]}, 422, "The rows have no names of columns"),
        ("words", {"columns": ["city"] * 2, "data": [["a", "b"]]}, 422, "is there twice"),
        ("words", {"columns": ["city"], "data": [["a", "b"]]}, 422, "Row 0 is no list of 1 values"),
        ("array", {"data": [[1.0]]}, 422, "Row 0 is no list of 2 values: [1.0]"),
        ("array", {"data": [[1.0, "a"]]}, 422, "holds numbers, and row 0 has \"a\""),
        ("array", {"columns": ["a", "b"], "data": [[1.0, 2.0]]}, 422, "was fitted on data without"),
        ("array", [{}], 422, "was fitted on data without"),
        ("array", {"data": [[10**400, 1.0]]}, 422, "a number that is too large"),
        ("network", [{"distance": 1.0, "delay": None}], 422, "of 1 rows: 'delay' (1)"),
    ],
)  # fmt: skip
def test_bad_requests_say_what_was_wrong(port, name, body, status, text):
    found, answer = ask(port, name, body)
    assert found == status
    assert text in answer["error"]


def test_other_methods(port):
    assert ask(port, "words", method="PUT")[0] == 405


def test_what_cannot_be_served(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        raydp_ml.serve.deployment(tmp_path / "nothing")
    raydp_ml.save(StandardScaler().fit([[1.0], [2.0]]), tmp_path / "scaler")
    with pytest.raises(TypeError, match=r"The StandardScaler in .* does not predict"):
        raydp_ml.serve.deployment(tmp_path / "scaler")
    query = SQLTransformer("select *, a * 2 as twice from __THIS__")
    model = XGBRegressor(n_estimators=1).fit(pd.DataFrame({"a": [1.0, 2.0]}), [0.0, 1.0])
    pipeline = Pipeline([("query", query), ("model", FrozenEstimator(model))])
    raydp_ml.save(pipeline, tmp_path / "query")
    with pytest.raises(TypeError, match="holds an SQLTransformer, which Spark alone runs"):
        raydp_ml.serve.deployment(tmp_path / "query")


def test_a_replica_does_not_warn_of_the_array_between_two_steps(frame, tmp_path):
    rows = frame[["distance", "delay"]]
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), XGBRegressor(**FEW))
    model.fit(rows, frame["distance"])  # with names for both steps, as on Spark
    model[0].set_output(transform="default")
    raydp_ml.save(model, tmp_path / "model")
    replica = raydp_ml.serve._Server(str(tmp_path / "model"), None, 8, 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = replica._predicted(rows)
    np.testing.assert_array_equal(made["prediction"], model.predict(rows))
