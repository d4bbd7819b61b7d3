"""Saving to folders of open formats; loading runs no code."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline

import raydp_ml
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.saving import json_values
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    return made.assign(c=pd.Categorical(np.where(made["a"] > 0, "up", "down")))


def same_state(left, right):
    assert type(left) is type(right)
    assert repr(left.get_params()) == repr(right.get_params())
    assert set(vars(left)) == set(vars(right))
    for name, value in vars(left).items():
        if isinstance(value, np.ndarray):
            assert_array_equal(getattr(right, name), value)
            assert getattr(right, name).dtype == value.dtype


def test_estimators_come_back_whole(frame, tmp_path):
    X, y = frame[["a", "b"]], frame["a"] - frame["b"]
    models = [
        XGBRegressor(n_estimators=5, max_depth=2, early_stopping_rounds=1, base_score=0.5).fit(
            X, y, eval_set=[(X, y)]
        ),
        XGBRegressor(n_estimators=5, enable_categorical=True).fit(frame, y),
        XGBRegressor(n_estimators=5, missing=-1.0, monotone_constraints={"a": 1}).fit(X, y),
        XGBClassifier(n_estimators=5).fit(X, np.where(y > 0, "yes", "no")),
        XGBClassifier(n_estimators=5, interaction_constraints=[["a"], ["b"]]).fit(
            X, np.digitize(y, [0, 1])
        ),
        XGBClassifier(n_estimators=5, feature_weights=np.array([1.0, 2.0])).fit(
            X.to_numpy(), y > 0
        ),
        XGBRanker(n_estimators=5, monotone_constraints=(1, 0)).fit(
            X, np.digitize(y, [0, 1]), qid=np.arange(200) // 10
        ),
        # What it learns of positions is in the objective, as arrays.
        XGBRanker(n_estimators=3, lambdarank_unbiased=True, lambdarank_pair_method="topk").fit(
            X, np.digitize(y, [0, 1]), qid=np.arange(200) // 10
        ),
        StandardScaler(with_std=False).fit(X),
        StandardScaler().fit(X.assign(a=np.where(X["b"] > 0, X["a"], np.nan))),
    ]
    for index, model in enumerate(models):
        path = tmp_path / f"model{index}"
        model.save(path)
        again = raydp_ml.load(path)
        same_state(model, again)
        data = frame if hasattr(model, "_layout") and model.enable_categorical else X
        call = "transform" if isinstance(model, StandardScaler) else "predict"
        assert_array_equal(getattr(again, call)(data), getattr(model, call)(data))
        if isinstance(model, XGBClassifier):
            assert_array_equal(again.predict_proba(data), model.predict_proba(data))
    assert raydp_ml.load(tmp_path / "model0").best_iteration == models[0].best_iteration


def test_the_files_are_open_formats(frame, tmp_path):
    model = XGBRegressor(n_estimators=3).fit(frame[["a", "b"]], frame["a"])
    model.save(tmp_path / "deep" / "model")
    folder = tmp_path / "deep" / "model"
    files = ["estimator.json", "model.ubj", "model_config.json"]
    assert sorted(item.name for item in folder.iterdir()) == files
    assert json.loads((folder / "estimator.json").read_text())["class"] == "XGBRegressor"
    booster = xgboost.Booster(model_file=folder / "model.ubj")
    assert booster.num_boosted_rounds() == 3
    assert list((tmp_path / "deep").iterdir()) == [folder]


def test_pipelines(spark, frame, tmp_path):
    df = spark.createDataFrame(frame[["a", "b"]].assign(y=(frame["a"] > 0).astype(int)))
    pipe = make_pipeline(StandardScaler(), "passthrough", XGBClassifier(n_estimators=5))
    pipe.fit(df, "y")
    raydp_ml.save(pipe, tmp_path / "pipe")
    again = raydp_ml.load(tmp_path / "pipe")
    assert isinstance(again, Pipeline)
    assert [name for name, _ in again.steps] == [name for name, _ in pipe.steps]
    want = pipe.predict(df).toPandas()
    assert_array_equal(again.predict(df).toPandas()["prediction"], want["prediction"])
    assert_allclose(again.predict_proba(frame[["a", "b"]]), pipe.predict_proba(frame[["a", "b"]]))


def test_a_saved_model_is_replaced_whole_and_nothing_else_is(frame, tmp_path):
    X, y = frame[["a", "b"]], frame["a"]
    path = tmp_path / "model"
    XGBRegressor(n_estimators=2).fit(X, y).save(path)
    StandardScaler().fit(X).save(path)
    assert isinstance(raydp_ml.load(path), StandardScaler)
    assert [item.name for item in path.iterdir()] == ["estimator.json"]
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("cat")
    with pytest.raises(FileExistsError, match="not a folder that raydp_ml saved, so it is left"):
        StandardScaler().fit(X).save(other)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(FileExistsError, match="Choose another path"):
        StandardScaler().fit(X).save(file)
    assert (other / "cat.jpg").read_text() == "cat"
    with pytest.raises(ValueError, match="Cannot save"):
        XGBRegressor(objective=lambda t, p: (p - t, t * 0 + 1), n_estimators=1).fit(X, y).save(path)
    assert isinstance(raydp_ml.load(path), StandardScaler)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "model", "photos"]


def test_what_cannot_be_saved(frame, tmp_path):
    X, y = frame[["a", "b"]], frame["a"]
    with pytest.raises(NotFittedError):
        XGBRegressor().save(tmp_path / "model")
    with pytest.raises(ValueError, match="parameter 'random_state' of XGBRegressor: a RandomState"):
        XGBRegressor(n_estimators=1, random_state=np.random.RandomState(0)).fit(X, y).save(
            tmp_path / "m"
        )
    callbacks = [xgboost.callback.TrainingCallback()]
    with pytest.raises(ValueError, match="parameter 'callbacks' of XGBRegressor"):
        XGBRegressor(n_estimators=1, callbacks=callbacks).fit(X, y).save(tmp_path / "m")
    with pytest.raises(
        ValueError, match=r"LinearRegression cannot be saved. These can: \['Binarizer'"
    ):
        raydp_ml.save(make_pipeline(StandardScaler(), LinearRegression()).fit(X, y), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_loaded(frame, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        raydp_ml.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a folder that raydp_ml saved"):
        raydp_ml.load(tmp_path)
    path = tmp_path / "model"
    StandardScaler().fit(frame[["a", "b"]]).save(path)
    good = json.loads((path / "estimator.json").read_text())
    for change, text in (
        ({"class": "os.system"}, "holds a 'os.system', which is not one of"),
        ({"version": 99}, "format version 99, and this raydp_ml reads up to 1. Upgrade"),
        ({"params": {"nonsense": 1}}, "is damaged: TypeError"),
        ({"attributes": {"mean_": {"$code": "1"}}}, "is damaged: KeyError"),
    ):
        (path / "estimator.json").write_text(json.dumps({**good, **change}))
        with pytest.raises(ValueError, match=text):
            raydp_ml.load(path)
    (path / "estimator.json").write_text("{")
    with pytest.raises(ValueError, match="is not a folder that raydp_ml saved"):
        raydp_ml.load(path)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        -0.0,
        float("inf"),
        "text",
        [1, [2.5, None]],
        (1, "x"),
        {"a": (1, 2), 3: [4]},
        np.float32(0.1),
        np.int64(3),
        np.array([0.1, np.nan]),
        np.array(["a", "bc"]),
        np.array(["a", "b"], dtype=object),
        np.zeros((0, 2)),
        np.array([True, False]),
    ],
)
def test_values_come_back_as_they_were(value):
    text = json.dumps(json_values.encode(value, "it"), allow_nan=False)
    got = json_values.decode(json.loads(text))
    assert type(got) is type(value)
    if isinstance(value, np.ndarray):
        assert got.dtype == value.dtype
        assert got.shape == value.shape
    assert_array_equal(got, value) if isinstance(value, np.ndarray) else None
    if not isinstance(value, np.ndarray):
        assert got == value
