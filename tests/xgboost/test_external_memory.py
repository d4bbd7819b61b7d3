"""Rows that are read block by block train the model that rows in memory do."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import psutil
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows import data_sets
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

SMALL = {"n_estimators": 8, "max_depth": 4, "random_state": 0, "n_jobs": 1}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    # So few values that each of them is a bin, however the rows are cut.
    made = pd.DataFrame(np.round(rng.normal(size=(3000, 3)) * 10) / 10, columns=["a", "b", "c"])
    made.loc[::7, "b"] = np.nan
    made["kind"] = pd.Categorical(rng.choice(["x", "y", "z"], 3000))
    made["y"] = made.a + (made.kind == "x") + 0.1 * rng.normal(size=3000)
    made["label"] = np.where(made.y > 1, "high", np.where(made.y > 0, "mid", "low"))
    made["w"] = rng.integers(0, 4, size=3000) / 2
    made["m"] = rng.normal(size=3000)
    return made


@pytest.fixture
def small_slices(monkeypatch):
    """Some forty slices, where one would do."""
    monkeypatch.setattr(data_sets, "SLICE_BYTES", 4000)


def fits(frame, **params):
    for external in (True, False):
        X = frame[["a", "b", "c", "kind"]]
        sets = {"eval_set": [(X[:500], frame.y[:500])], "base_margin_eval_set": [frame.m[:500]]}
        yield XGBRegressor(
            **SMALL, enable_categorical=True, external_memory=external, num_workers=0, **params
        ).fit(X, frame.y, sample_weight=frame.w, base_margin=frame.m, **sets)


def test_in_memory(frame, small_slices):
    external, plain = fits(frame)
    assert_allclose(
        external.evals_result_["validation_0"]["rmse"],
        plain.evals_result_["validation_0"]["rmse"],
        rtol=1e-5,
    )
    X = frame[["a", "b", "c", "kind"]]
    assert_allclose(external.predict(X), plain.predict(X), atol=1e-4)
    external, plain = fits(frame, early_stopping_rounds=2, feature_weights=[1, 1, 0.5, 1])
    assert external.best_iteration == plain.best_iteration


def test_classes_and_arrays(frame, small_slices):
    X = frame[["a", "b", "c"]].to_numpy()
    external, plain = (
        XGBClassifier(**SMALL, external_memory=how).fit(X, frame.label) for how in (True, False)
    )
    assert external.classes_.tolist() == ["high", "low", "mid"]
    assert_allclose(external.predict_proba(X), plain.predict_proba(X), atol=1e-4)


@pytest.fixture(scope="module")
def queries(frame):
    """Groups of 1 to 400 rows: some longer than a slice, some that a slice would cut."""
    sizes = np.random.default_rng(1).permutation(
        [400, 300, 300, *[20] * 60, *[1] * 200, *[3] * 200]
    )
    rows = frame[["a", "b", "c"]].round(1).copy()
    rows["relevance"] = frame.y.rank(pct=True).mul(5).astype(int).clip(0, 4)
    rows["query"] = np.repeat(np.arange(len(sizes)), sizes)
    rows["w"] = 1.0 + rows["query"] % 3
    return rows


def test_groups_in_memory(queries, small_slices):
    X, y = queries[["a", "b", "c"]], queries.relevance
    of = {"qid": queries["query"], "eval_set": [(X, y)], "eval_qid": [queries["query"]]}
    external, plain = (
        XGBRanker(**SMALL, external_memory=how, eval_metric=["ndcg@3", "ndcg@8-"]).fit(
            X, y, sample_weight=queries.w, **of
        )
        for how in (True, False)
    )
    assert_allclose(external.predict(X), plain.predict(X), atol=1e-4)
    for name, scores in plain.evals_result_["validation_0"].items():
        assert_allclose(external.evals_result_["validation_0"][name], scores, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_groups_on_spark(spark, queries, workers):
    df = spark.createDataFrame(queries.sample(frac=1.0, random_state=0)).repartition(5)
    df = df.sortWithinPartitions("a", "b", "c")
    few = df.filter("query = 0")  # a worker without rows
    for rows in (df, few):
        external, plain = (
            XGBRanker(**SMALL, external_memory=how, num_workers=workers).fit(
                raydp_ml.set_roles(rows, group="query", sample_weight="w"), "relevance"
            )
            for how in (True, False)
        )
        X = queries[["a", "b", "c"]]
        assert_allclose(external.predict(X), plain.predict(X), atol=1e-3)


def test_bad_input(frame, small_slices):
    X = frame[["a", "b", "c"]]
    for params in ({"tree_method": "approx"}, {"booster": "gblinear"}):
        with pytest.raises(InvalidParameterError, match="block by block for tree_method='hist'"):
            XGBRegressor(external_memory=True, **params).fit(X, frame.y)
    wrong = X.assign(c=np.where(X.index == 2000, np.inf, X.c))
    with pytest.raises(SchemaError, match=r"features \['c'\] hold infinite values"):
        XGBRegressor(**SMALL, external_memory=True).fit(wrong, frame.y)
    holes = X.assign(y=np.where(X.index == 2000, np.nan, frame.y))
    with pytest.raises(SchemaError, match="1 null of 3000"):
        XGBRegressor(**SMALL, external_memory=True).fit(holes, "y")


@pytest.mark.parametrize("workers", [1, 2])
def test_on_spark(spark, frame, workers):
    df = spark.createDataFrame(frame.assign(kind=frame.kind.astype(str), place=range(3000)))
    df = df.selectExpr("* except (w, m, label)", "place % 5 = 0 AS held").repartition(7)
    df = raydp_ml.set_roles(df, ignore=["place"], validation="held")
    models = [
        XGBRegressor(
            **SMALL, enable_categorical=True, external_memory=how, num_workers=workers
        ).fit(df, "y")
        for how in (True, False)
    ]
    external, plain = models
    assert_allclose(
        external.evals_result_["validation_0"]["rmse"],
        plain.evals_result_["validation_0"]["rmse"],
        rtol=1e-5,
    )
    X = frame[["a", "b", "c", "kind"]]
    assert_allclose(external.predict(X), plain.predict(X), atol=1e-3)
    # A worker without rows (with categories XGBoost refuses such, in memory too).
    one = df.filter("place = 3").select("a", "b", "c", "y")
    alone = [
        XGBRegressor(**SMALL, external_memory=how, num_workers=workers).fit(one, "y")
        for how in (True, False)
    ]
    X = X[["a", "b", "c"]]
    assert_array_equal(alone[0].predict(X), alone[1].predict(X))


def test_no_file_is_left(frame, small_slices, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = psutil.Process().num_fds()
    list(fits(frame))
    assert os.listdir(tmp_path) == []
    assert psutil.Process().num_fds() <= files + 2
