"""Scores over several workers beside XGBoost's on all rows of the same model in one process."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from numpy.testing import assert_allclose

from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.layout import Layout, feature_of
from raydp_ml.training.xgboost.fit import communicator
from raydp_ml.training.xgboost.loop import build_matrix, train_worker
from raydp_ml.training.xgboost.scores import needs_all_rows
from raydp_ml.training.xgboost.spec import TrainSpec


@pytest.fixture(scope="module")
def workers(ray_cluster):
    class Worker:
        def train(self, *arguments):
            return train_worker(*arguments)

    made = [ray_cluster.remote(num_cpus=0)(Worker).remote() for _ in range(4)]
    yield made
    for worker in made:
        ray_cluster.kill(worker)


def rows(count, label, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 3))
    z = X[:, 0] + 0.5 * X[:, 1] + rng.normal(size=count)
    groups = np.arange(count) // 5
    labels = {
        "two": z > 0,
        "three": np.digitize(z, [-0.7, 0.7]),
        "positive": np.exp(z / 2),
        "real": z,
        "events": np.exp(z) * np.where(rng.random(count) < 0.3, -1, 1),
    }
    columns = dict(zip("abc", X.T, strict=True))
    columns |= {"y": labels[label].astype(float), "w": 1.0 + groups % 3, "g": groups}
    return pa.table(columns)


def cut(table, size, how):
    """Cut rows into shards; of groups of five."""
    if how == "sorted":  # a shard with one class only
        table = table.sort_by("y")
    ends = {
        "empty": [len(table)] * (size - 1),
        "empty first": [0] * (size - 1),
    }.get(how, [len(table) * share // 100 * 5 // 5 for share in (20, 50)][: size - 1])
    starts = [0, *ends]
    return [table.slice(a, b - a) for a, b in zip(starts, [*ends, len(table)], strict=True)]


def layout_of(table, spec, weighted):
    parts = {"label": "y", "weight": "w" if weighted else None}
    parts["group"] = "g" if spec.task == "ranking" else None
    features = tuple(feature_of(name, pa.float64()) for name in "abc")
    return Layout(features, **parts)


def trained(workers, train, evals, spec, weighted):
    layout = layout_of(train[0], spec, weighted)
    import ray

    with communicator(len(train), "127.0.0.1") as arguments:
        done = [
            worker.train.remote(
                rank,
                [Part(layout, part.schema, table=part) for part in (train[rank], evals[rank])],
                spec,
                arguments,
                None,
            )
            for rank, worker in enumerate(workers[: len(train)])
        ]
        return ray.get(done, timeout=60)[0]


def in_one_process(outcome, table, spec, weighted):
    """Score the model after each of its rounds on all rows."""
    layout = layout_of(table, spec, weighted)
    matrix = build_matrix(table, layout, replace(spec, quantile=False), "no training")
    params = dict(spec.params)
    metrics = params.pop("eval_metric")
    found = {}
    for index in range(outcome.rounds):
        booster = xgboost.Booster(model_file=bytearray(outcome.model))[: index + 1]
        booster.set_param([*params.items(), *(("eval_metric", name) for name in metrics)])
        for part in booster.eval(matrix, "v").split("\t")[1:]:
            name, value = part.rsplit(":", 1)
            found.setdefault(name.removeprefix("v-"), []).append(float(value))
    return found


CASES = [
    ("two", "binary:logistic", "logloss error error@0.3 auc aucpr rmse mae"),
    ("three", "multi:softprob", "mlogloss merror auc aucpr"),
    ("real", "reg:squarederror", "rmse mae mape mphe"),
    ("positive", "reg:squarederror", "rmsle"),
    ("positive", "reg:gamma", "gamma-nloglik gamma-deviance"),
    ("positive", "reg:tweedie", "tweedie-nloglik@1.5 poisson-nloglik"),
    ("positive", "reg:quantileerror", "quantile"),
    ("three", "rank:ndcg", "ndcg ndcg@2 ndcg@2-"),
    ("two", "rank:map", "map map@2 pre@3 auc aucpr"),
]


def check(workers, case, size, how, weighted):
    label, objective, metrics = case
    params = {"objective": objective, "eval_metric": metrics.split(), "max_depth": 2}
    params |= {"nthread": 1, "n_jobs": 1, "verbosity": 0}
    params |= {"num_class": 3} if objective == "multi:softprob" else {}
    params |= {"quantile_alpha": 0.3} if objective == "reg:quantileerror" else {}
    task = "ranking" if objective.startswith("rank:") else "regression"
    spec = TrainSpec(task, params, 2, {"nthread": 1})
    train, table = rows(300, label, 0), rows(150, label, 1)
    if how == "sorted":
        table = table.sort_by("y")
    outcome = trained(workers, cut(train, size, "uneven"), cut(table, size, how), spec, weighted)
    history = outcome.history["validation_0"]
    wanted = in_one_process(outcome, table, spec, weighted)
    assert list(history) == list(wanted) == metrics.split()
    for name, values in wanted.items():
        assert_allclose(history[name], values, rtol=1e-5, err_msg=f"{case} {size} {how} {name}")


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[-1]], ids=lambda case: case[1])
def test_scores_over_three_workers(workers, case):
    how = "sorted" if not case[1].startswith("rank") else "empty first"
    check(workers, case, 3, how, weighted=True)


@pytest.mark.grid
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
def test_all_scores(workers, case, weighted):
    for size in (1, 2, 3):
        for how in ("uneven", "empty", "empty first", "sorted"):
            if not (how == "sorted" and case[1].startswith("rank:")) and (size, how) != (
                1,
                "empty",
            ):
                check(workers, case, size, how, weighted)


STOPPED = [
    ("two", "binary:logistic", "auc"),
    ("two", "binary:logistic", "aucpr"),
    ("three", "rank:ndcg", "ndcg@3"),
    ("two", "rank:map", "map@2"),
]


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case[2])
def test_training_stops_at_the_same_round_over_any_workers(workers, case, order):
    label, objective, metric = case
    params = {"objective": objective, "eval_metric": [metric], "max_depth": 3, "eta": 0.5}
    params |= {"nthread": 1, "n_jobs": 1, "lambdarank_pair_method": "topk"}
    task = "ranking" if objective.startswith("rank:") else "regression"
    spec = TrainSpec(task, params, 60, {"nthread": 1}, early_stopping_rounds=4)

    def made(count, seed):
        table = rows(count, label, seed)
        # So few values that each of them is a bin, however the rows are cut.
        steps = {name: np.round(table[name].to_numpy() * 4) / 4 for name in "abc"}
        for name, values in steps.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        if order == "shuffled":
            groups = np.random.default_rng(2).permutation(count // 5)
            return table.take((groups[:, None] * 5 + np.arange(5)).ravel())
        # (Labels of groups in an order that tears no group apart.)
        return table.sort_by("y") if task == "regression" else table

    train, held = made(800, 0), made(400, 1)

    def even(table, size):
        ends = [len(table) * share // size // 5 * 5 for share in range(size)] + [len(table)]
        return [table.slice(a, b - a) for a, b in pairwise(ends)]

    found = {
        size: trained(workers, even(train, size), even(held, size), spec, False)
        for size in (1, 2, 4)
    }
    scores = found[1].history["validation_0"][metric]
    best = xgboost.Booster(model_file=bytearray(found[1].model)).best_iteration
    assert best < found[1].rounds - 1 < 59  # it was stopped, and not at once
    for size in (2, 4):
        assert_allclose(found[size].history["validation_0"][metric], scores, rtol=0, atol=1e-6)
        stopped = xgboost.Booster(model_file=bytearray(found[size].model))
        assert stopped.best_iteration == best


def test_a_function_sees_all_rows(workers):
    # (Ray's workers do not find this module; a function within a function travels whole.)
    def median_error(y_true, y_pred, sample_weight=None):
        return float(np.median(np.abs(y_true - y_pred)))

    params = {"objective": "reg:squarederror", "eval_metric": ["rmse"], "nthread": 1}
    params["n_jobs"] = 1
    spec = TrainSpec("regression", params, 3, {"nthread": 1}, metric=median_error)
    train, table = rows(300, "real", 0), rows(151, "real", 1)
    outcome = trained(workers, cut(train, 3, "uneven"), cut(table, 3, "sorted"), spec, True)
    matrix = xgboost.DMatrix(np.column_stack([table[name] for name in "abc"]))
    for index, score in enumerate(outcome.history["validation_0"]["median_error"]):
        booster = xgboost.Booster(model_file=bytearray(outcome.model))[: index + 1]
        wanted = median_error(
            table["y"].to_numpy(), booster.predict(matrix, validate_features=False)
        )
        assert score == pytest.approx(wanted, abs=1e-6)  # XGBoost writes six digits


def test_what_can_be_added_up():
    assert not needs_all_rows(None, None, "classification")
    assert not needs_all_rows(["logloss", "error@0.2"], None, "classification")
    assert needs_all_rows(["auc", "logloss"], None, "classification")
    assert needs_all_rows("ndcg@3-", None, "classification")
    assert not needs_all_rows("ndcg@3-", max, "ranking")
    assert needs_all_rows("of-next-year", None, "regression")
    assert needs_all_rows(None, max, "regression")


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:quantileerror", "quantile_alpha": 0.3},
        {"booster": "dart", "rate_drop": 0.5, "subsample": 0.5},
    ],
)
def test_models_that_part_where_a_worker_has_no_rows_may_have_none_to_evaluate_on(workers, params):
    spec = TrainSpec("regression", {**params, "n_jobs": 1}, 2, {"nthread": 1})
    train, table = rows(100, "real", 0), rows(50, "real", 1)
    outcome = trained(workers, cut(train, 2, "uneven"), cut(table, 2, "empty"), spec, False)
    assert outcome.rounds == 2
