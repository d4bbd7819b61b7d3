"""Callbacks of scikit-learn and of XGBoost; lost workers."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.pipeline import make_pipeline

from raydp_ml.exceptions import TrainingError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.training.xgboost import fit as fit_module
from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from tests.log_lines import facts

PARAMS = {"n_estimators": 10, "max_depth": 3, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    return X, X[:, 0] + X[:, 1] ** 2


class Recorder:
    """Notes every task; asks to stop after a round."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.rounds = []
        self.models = []
        self.torn_down = False

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if context.task_name == "boosting-round":
            self.rounds.append(context.task_id)
            self.models.append(fitted_estimator)
            return len(self.rounds) == self.stop_after
        return False


@pytest.mark.parametrize("workers", [0, 2])
def test_each_round_is_told(ray_cluster, data, workers):
    X, y = data
    recorder = Recorder()
    model = XGBRegressor(num_workers=workers, **PARAMS).set_callbacks(recorder).fit(X, y)
    assert recorder.rounds == list(range(10))
    assert recorder.torn_down
    for count, fitted in enumerate(recorder.models, 1):
        assert fitted.get_booster().num_boosted_rounds() == count
    assert_allclose(recorder.models[-1].predict(X), model.predict(X))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_request_ends_training_after_that_round(ray_cluster, data, workers):
    X, y = data
    recorder = Recorder(stop_after=4)
    model = XGBRegressor(num_workers=workers, **PARAMS).set_callbacks(recorder)
    model.fit(X, y, eval_set=[(X, y)])
    assert len(recorder.rounds) == 4
    assert model.get_booster().num_boosted_rounds() == 4
    assert len(model.evals_result_["validation_0"]["rmse"]) == 4
    short = XGBRegressor(num_workers=workers, **{**PARAMS, "n_estimators": 4}).fit(X, y)
    assert_allclose(model.predict(X), short.predict(X), atol=1e-6)


class WaitsUntilTold(xgboost.callback.TrainingCallback):
    """Holds the sixth round until the driver has heard of the first."""

    def __init__(self, told):
        self.told = told

    def after_iteration(self, model, epoch, evals_log):
        deadline = time.monotonic() + 60
        while epoch == 5 and not self.told.exists():
            assert time.monotonic() < deadline, "no round was told while training went on"
            time.sleep(0.05)
        return False


def test_rounds_are_told_while_workers_train(ray_cluster, data, tmp_path):
    X, y = data
    told = tmp_path / "told"

    class Tells(Recorder):
        def on_fit_task_end(self, estimator, context, **about):
            told.touch()
            return super().on_fit_task_end(estimator, context, **about)

    recorder = Tells()
    model = XGBRegressor(num_workers=2, callbacks=[WaitsUntilTold(told)], **PARAMS)
    model.set_callbacks(recorder).fit(X, y)
    assert recorder.rounds == list(range(10))


def test_progress_bar_and_scoring_monitor(spark, data, capsys):
    X, y = data
    monitor = ScoringMonitor(scoring="r2")
    XGBRegressor(**PARAMS).set_callbacks(monitor).fit(X, y)
    scores = [row["r2"] for row in monitor.get_logs().data if row["task_name"] == "boosting-round"]
    assert len(scores) == 10
    assert scores == sorted(scores)
    df = spark.createDataFrame(
        [(*map(float, row), float(label)) for row, label in zip(X, y, strict=True)],
        ["a", "b", "c", "y"],
    )
    pipe = make_pipeline(StandardScaler(), XGBRegressor(num_workers=2, **PARAMS))
    pipe.set_callbacks(ProgressBar())
    pipe.fit(df, "y")
    shown = capsys.readouterr().out
    assert "XGBRegressor - fit" in shown
    assert "100%" in shown
    own = ScoringMonitor(scoring={"own": lambda model, X, y: model.score(X, y)})
    XGBRegressor(num_workers=1, **{**PARAMS, "n_estimators": 2}).set_callbacks(own).fit(df, "y")
    assert len([row for row in own.get_logs().data if row["task_name"] == "boosting-round"]) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_callbacks_of_xgboost(ray_cluster, data, workers):
    X, y = data
    callbacks = [xgboost.callback.LearningRateScheduler([0.3, 0.2] * 5)]
    model = XGBRegressor(num_workers=workers, callbacks=callbacks, **PARAMS).fit(X, y)
    plain = xgboost.XGBRegressor(callbacks=callbacks, **PARAMS).fit(X, y)
    assert_allclose(model.predict(X), plain.predict(X), atol=1e-6)
    keep_best = [xgboost.callback.EarlyStopping(rounds=2, save_best=True)]
    model = XGBRegressor(num_workers=workers, callbacks=keep_best, **PARAMS)
    model.fit(X, y, eval_set=[(X[:20], -y[:20])])
    assert model.get_booster().num_boosted_rounds() == model.best_iteration + 1


class StopsOnRankOne(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        return xgboost.collective.get_rank() == 1 and epoch == 2


class StopsOnRankZero(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        return xgboost.collective.get_rank() == 0 and epoch == 2


def test_rank_zero_decides_for_all(ray_cluster, data):
    X, y = data
    for callback, rounds in ((StopsOnRankOne(), 10), (StopsOnRankZero(), 3)):
        model = XGBRegressor(num_workers=2, callbacks=[callback], **PARAMS).fit(X, y)
        assert model.get_booster().num_boosted_rounds() == rounds


class DiesOnce(xgboost.callback.TrainingCallback):
    """Ends the process of rank 1 at a round, once (or each time)."""

    def __init__(self, marks, always=False):
        self.marks, self.always = marks, always

    def after_iteration(self, model, epoch, evals_log):
        if epoch != 6:
            return False
        # The driver hears of round 5 while the scores of round 6 are noted already, but no more.
        rank = xgboost.collective.get_rank()
        time.sleep(0.5 if rank == 1 else 1.5)
        if rank == 1:
            first = not self.marks.exists()
            self.marks.open("a").write("x")
            if first or self.always:
                os._exit(1)
        return False


@pytest.mark.slow
def test_a_lost_worker_goes_on_from_the_checkpoint(
    ray_cluster, data, tmp_path, monkeypatch, caplog
):
    X, y = data
    caplog.set_level("INFO", logger="raydp_ml")
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    valid = [(X[:50], y[:50])]
    recorder = Recorder()
    params = {**PARAMS, "early_stopping_rounds": 8, "subsample": 1.0}
    model = XGBRegressor(num_workers=2, callbacks=[DiesOnce(tmp_path / "marks")], **params)
    model.set_callbacks(recorder).fit(X, y, eval_set=valid)
    undisturbed = XGBRegressor(num_workers=2, **params).fit(X, y, eval_set=valid)
    assert [fit["retries"] for fit in facts(caplog, "fit")] == ["1", "0"]
    assert (tmp_path / "marks").read_text() in ("x", "xx")
    assert_allclose(model.predict(X), undisturbed.predict(X), atol=1e-5)
    assert_allclose(
        model.evals_result_["validation_0"]["rmse"],
        undisturbed.evals_result_["validation_0"]["rmse"],
        rtol=1e-5,
    )
    assert recorder.rounds == list(range(10))


class Counts(xgboost.callback.TrainingCallback):
    """Ends the training after so many rounds, by its own count."""

    def __init__(self, rounds):
        self.rounds, self.seen = rounds, 0

    def after_iteration(self, model, epoch, evals_log):
        self.seen += 1
        return self.seen == self.rounds


@pytest.mark.slow
@pytest.mark.parametrize("how", ["counts", "stops early"])
def test_callbacks_go_on_from_the_checkpoint_too(ray_cluster, data, tmp_path, monkeypatch, how):
    X, y = data
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)

    def callback():
        return Counts(9) if how == "counts" else xgboost.callback.EarlyStopping(rounds=8)

    # Scores that get worse from the first round on.
    sets = {"eval_set": [(X[:50], -y[:50])]}
    dies = DiesOnce(tmp_path / "marks")
    disturbed = XGBRegressor(num_workers=2, callbacks=[callback(), dies], **PARAMS).fit(
        X, y, **sets
    )
    plain = XGBRegressor(num_workers=2, callbacks=[callback()], **PARAMS).fit(X, y, **sets)
    assert (tmp_path / "marks").read_text() in ("x", "xx")
    rounds = plain.get_booster().num_boosted_rounds()
    assert rounds == 9
    assert disturbed.get_booster().num_boosted_rounds() == rounds
    if how != "counts":
        assert disturbed.best_iteration == plain.best_iteration == 0


@pytest.mark.slow
def test_retries_end(ray_cluster, data, tmp_path):
    X, y = data
    model = XGBRegressor(
        num_workers=2,
        max_retries=1,
        callbacks=[DiesOnce(tmp_path / "marks", always=True)],
        **PARAMS,
    )
    with pytest.raises(TrainingError, match="lost 2 times, and max_retries=1 allows no further"):
        model.fit(X, y)
    assert (tmp_path / "marks").read_text() == "xx"


def test_classifiers_tell_their_rounds_too(data):
    X, y = data
    recorder = Recorder()
    labels = np.where(y > 1, "b", "a")
    XGBClassifier(**PARAMS).set_callbacks(recorder).fit(X, labels)
    assert set(recorder.models[0].predict(X)) <= {"a", "b"}
