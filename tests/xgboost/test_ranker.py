"""Ranking: groups by name or role, never cut between two workers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose
from pyspark.sql import functions
from sklearn.metrics import ndcg_score
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.spark_jobs.scores import ndcg
from raydp_ml.xgboost import XGBRanker

PARAMS = {"n_estimators": 15, "max_depth": 3, "random_state": 0}
NAMES = ["a", "b"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 12, 60)
    made = pd.DataFrame({"q": np.repeat(np.arange(60), sizes)})
    made["a"], made["b"] = rng.normal(size=(2, len(made)))
    made["y"] = np.clip(np.round(made["a"] + rng.normal(size=len(made)) / 3 + 2), 0, 4)
    made["w"] = 1.0 + made["q"] % 3
    return made


@pytest.fixture(scope="module")
def plain(frame):
    return xgboost.XGBRanker(**PARAMS).fit(frame[NAMES], frame["y"], qid=frame["q"])


def test_memory_equals_plain_xgboost(frame, plain):
    want = plain.predict(frame[NAMES])
    sizes = frame.groupby("q").size().to_numpy()
    for groups in ({"qid": frame["q"]}, {"group": sizes}):
        model = XGBRanker(**PARAMS).fit(frame[NAMES], frame["y"], **groups)
        assert_allclose(model.predict(frame[NAMES]), want, atol=1e-6)
    by_name = XGBRanker(**PARAMS).fit(frame.drop(columns="w"), "y", qid="q")
    assert_allclose(by_name.predict(frame.drop(columns="w")), want, atol=1e-6)
    # Rows of a group that are apart are brought together, in their order.
    order = np.argsort(np.arange(len(frame)) % 2, kind="stable")
    shuffled = frame.iloc[order]
    sorted_back = shuffled.sort_values("q", kind="stable")
    again = XGBRanker(**PARAMS).fit(shuffled[NAMES], shuffled["y"], qid=shuffled["q"])
    other = xgboost.XGBRanker(**PARAMS).fit(
        sorted_back[NAMES], sorted_back["y"], qid=sorted_back["q"]
    )
    assert_allclose(again.predict(frame[NAMES]), other.predict(frame[NAMES]), atol=1e-6)
    assert type(by_name.to_xgboost()) is xgboost.XGBRanker


def test_weights_of_groups(frame):
    per_group = frame.groupby("q")["w"].first().to_numpy()
    plain = xgboost.XGBRanker(**PARAMS)
    plain.fit(frame[NAMES], frame["y"], qid=frame["q"], sample_weight=per_group)
    for weights in (per_group, frame["w"]):
        model = XGBRanker(**PARAMS)
        model.fit(frame[NAMES], frame["y"], qid=frame["q"], sample_weight=weights)
        assert_allclose(model.predict(frame[NAMES]), plain.predict(frame[NAMES]), atol=1e-6)
    with pytest.raises(SchemaError, match="rows of a group must all have the same weight"):
        model.fit(frame[NAMES], frame["y"], qid=frame["q"], sample_weight=np.arange(len(frame)))


@pytest.mark.parametrize(
    ("params", "external"),
    [
        ({}, False),
        ({}, True),
        ({"objective": "rank:pairwise", "lambdarank_normalization": False}, False),
        ({"tree_method": "approx", "lambdarank_num_pair_per_sample": 4}, False),
    ],
    ids=str,
)
def test_weights_of_groups_do_not_depend_on_the_workers(spark, frame, params, external):
    """XGBoost divides them by the mean of the worker's own groups, far from that of all here."""
    rows = frame.assign(
        # So few values that workers find the same split points.
        **{name: frame[name].round(1) for name in NAMES},
        w=np.where(frame["q"] < 25, 30.0, 0.5) + frame["q"] % 3,
        # No two rows of a group are tied, so that their order has no say.
        m=np.random.default_rng(1).permutation(len(frame)) / len(frame),
    )
    held_out = rows[rows["q"] % 4 == 0]
    per_group, held_out_weights = (of.groupby("q")["w"].first() for of in (rows, held_out))
    params = {**PARAMS, **params}
    plain = xgboost.XGBRanker(**params, eval_metric=["ndcg@3", "map@2"]).fit(
        rows[NAMES],
        rows["y"] > 2,
        qid=rows["q"],
        sample_weight=per_group,
        base_margin=rows["m"],
        eval_set=[(held_out[NAMES], held_out["y"] > 2)],
        eval_qid=[held_out["q"]],
        sample_weight_eval_set=[held_out_weights],
        base_margin_eval_set=[held_out["m"]],
    )
    data = spark.createDataFrame(rows.assign(y=rows["y"] > 2).astype({"y": int})).repartition(3)
    for workers in (1, 2):
        model = XGBRanker(
            **params, eval_metric=["ndcg@3", "map@2"], num_workers=workers, external_memory=external
        ).fit(
            data,
            "y",
            group="q",
            sample_weight="w",
            base_margin="m",
            eval_set=data.where("q % 4 = 0"),
        )
        assert_allclose(model.predict(rows[NAMES]), plain.predict(rows[NAMES]), atol=1e-5)
        for metric, scores in plain.evals_result()["validation_0"].items():
            assert_allclose(model.evals_result_["validation_0"][metric], scores, rtol=1e-5)


def test_a_weighted_group_for_two_workers(spark, frame):
    """One of them has no row, and so no weight."""
    rows = frame[frame["q"] == 0].assign(m=np.arange((frame["q"] == 0).sum()) / 100)
    plain = xgboost.XGBRanker(**PARAMS).fit(
        rows[NAMES], rows["y"], qid=rows["q"], sample_weight=[3.0], base_margin=rows["m"]
    )
    model = XGBRanker(**PARAMS, num_workers=2)
    data = spark.createDataFrame(rows.assign(w=3.0))
    model.fit(data, "y", group="q", sample_weight="w", base_margin="m")
    assert_allclose(model.predict(rows[NAMES]), plain.predict(rows[NAMES]), atol=1e-5)


def test_weights_of_rank_map_are_for_one_worker(spark, frame):
    """Groups without rows, by which several workers weigh alike, end its process."""
    data = spark.createDataFrame(frame.assign(y=frame["y"] > 2).astype({"y": int}))
    ranker = XGBRanker(**PARAMS, objective="rank:map", num_workers=2)
    for X, more in (
        (data, {"sample_weight": "w"}),
        (raydp_ml.set_roles(data, sample_weight="w"), {}),
    ):
        with pytest.raises(
            InvalidParameterError, match=r"'rank:map' with sample weights.*one work"
        ):
            ranker.fit(X, "y", group="q", **more)
    assert ranker.fit(data.drop("w"), "y", group="q").n_features_in_ == 2


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_spark(spark, frame, plain, workers):
    shuffled = frame.sample(frac=1, random_state=0).drop(columns="w")
    # Cached: the order of tied rows, which the score sees, is then the same in each job.
    data = spark.createDataFrame(shuffled).repartition(3).cache()
    model = XGBRanker(num_workers=workers, **PARAMS).fit(data, "y", group="q")
    assert list(model.feature_names_in_) == NAMES
    got = model.predict(data).toPandas()
    quality = ndcg(frame["y"], plain.predict(frame[NAMES]), frame["q"])
    assert ndcg(got["y"], got["prediction"], got["q"]) == pytest.approx(quality, abs=0.02)
    want = ndcg(got["y"], got["prediction"], got["q"])
    assert model.score(data, "y", group="q") == pytest.approx(want)
    marked = raydp_ml.set_roles(data, label="y", group="q")
    by_role = XGBRanker(num_workers=workers, **PARAMS).fit(marked)
    assert by_role.score(marked) == pytest.approx(want, abs=0.02)
    with pytest.raises(SchemaError, match="The label 'y' must hold whole numbers from 0 to 31"):
        by_role.fit(data.withColumn("y", functions.expr("if(q = 59, -1, y)")), "y", group="q")


def test_evaluation_sets(spark, frame):
    params = {**PARAMS, "n_estimators": 100, "early_stopping_rounds": 3}
    first, second = frame[frame["q"] < 40], frame[frame["q"] >= 40]
    plain = xgboost.XGBRanker(**params).fit(
        first[NAMES],
        first["y"],
        qid=first["q"],
        eval_set=[(second[NAMES], second["y"])],
        eval_qid=[second["q"]],
    )
    ours = XGBRanker(**params).fit(
        first[NAMES],
        first["y"],
        qid=first["q"],
        eval_set=[(second[NAMES], second["y"])],
        eval_qid=[second["q"]],
    )
    assert ours.best_iteration == plain.best_iteration
    assert ours.evals_result_ == plain.evals_result()
    data = spark.createDataFrame(frame.drop(columns="w")).coalesce(1)
    marked = raydp_ml.set_roles(
        data.withColumn("v", functions.expr("q >= 40")), label="y", group="q", validation="v"
    )
    model = XGBRanker(num_workers=2, **params).fit(marked)
    assert model.best_score == pytest.approx(plain.best_score, abs=0.05)
    train, valid = data.where("q < 40"), data.where("q >= 40")
    other = XGBRanker(num_workers=1, **params).fit(train, "y", qid="q", eval_set=valid)
    assert other.best_score == pytest.approx(plain.best_score, abs=0.05)


def test_errors(spark, frame):
    with pytest.raises(ValueError, match=r"which rows are ranked together. Pass qid"):
        XGBRanker().fit(frame[NAMES], frame["y"])
    with pytest.raises(ValueError, match="group and qid say the same thing twice"):
        XGBRanker().fit(frame[NAMES], frame["y"], qid=frame["q"], group=[1])
    with pytest.raises(ValueError, match="Evaluation sets need groups too"):
        XGBRanker().fit(
            frame[NAMES], frame["y"], qid=frame["q"], eval_set=[(frame[NAMES], frame["y"])]
        )
    data = spark.createDataFrame(frame)
    with pytest.raises(
        ValueError, match=r'ranked together. Pass the name of a column.*group="query"'
    ):
        XGBRanker().fit(data, "y")
    with pytest.raises(SchemaError, match="no column 'queri', given as the group"):
        XGBRanker().fit(data, "y", group="queri")
    holes = data.withColumn("q", functions.expr("if(q > 3, q, null)"))
    with pytest.raises(SchemaError, match="group column 'q' holds"):
        XGBRanker(num_workers=1).fit(holes, "y", group="q")
    with pytest.raises(ValueError, match="score needs the groups"):
        XGBRanker(n_estimators=1).fit(frame[NAMES], frame["y"], qid=frame["q"]).score(data, "y")


RELEVANCE = {"negative": "y - 2", "fractional": "y + 0.5", "above 31": "y * 20", "whole": "y"}


@pytest.mark.parametrize("how", RELEVANCE)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ndcg_exp_gain": False},
        {"objective": "rank:pairwise"},
        {"objective": "rank:pairwise", "eval_metric": "ndcg"},
        {"objective": "rank:map"},
        {"ndcg_exp_gain": False, "eval_metric": "pre"},
    ],
    ids=str,
)
def test_relevance_that_xgboost_refuses(frame, how, params):
    """What plain xgboost refuses, and no more, is told with the column's name."""
    rows = frame.drop(columns="w").eval(f"y = {RELEVANCE[how]}")
    params = {**PARAMS, "n_estimators": 1, **params}
    X, y, q = rows[NAMES], rows["y"], rows["q"]
    sets = {"eval_set": [(X, y)], "eval_qid": [q]} if "eval_metric" in params else {}
    refused = None
    try:
        plain = xgboost.XGBRanker(**params).fit(X, y, qid=q, **sets)
    except xgboost.core.XGBoostError as error:
        refused = str(error)
    model = XGBRanker(**params)
    named = {**sets, "eval_set": [(rows, "y")], "eval_qid": ["q"]} if sets else {}
    if refused is None:
        model.fit(rows, "y", qid="q", **named)
        assert_allclose(model.predict(X), plain.predict(X), atol=1e-6)
        return
    text = "0 and 1 only for" if "binary" in refused else "whole numbers from 0 to 31"
    with pytest.raises(SchemaError, match=f"The label 'y' must hold {text}"):
        model.fit(rows, "y", qid="q", **named)
    with pytest.raises(SchemaError, match=f"The label must hold {text}"):
        model.fit(X, y, qid=q, **sets)


def test_ndcg_equals_scikit_learns():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 5, 40), rng.normal(size=40)
    groups = np.repeat([0, 1], [15, 25])
    want = [ndcg_score([2.0 ** y[groups == g] - 1], [scores[groups == g]]) for g in (0, 1)]
    assert ndcg(y, scores, groups) == pytest.approx(np.mean(want))
    assert ndcg(np.zeros(3), np.arange(3.0), None) == 1.0
