"""Searches that are interrupted, lose a worker or their session; and what they leave behind."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest
import ray
import xgboost
from sklearn.metrics import make_scorer, r2_score

from raydp_ml.model_selection import GridSearchCV, KFold, PredefinedSplit
from raydp_ml.xgboost import XGBRegressor
from tests.fresh_folder import run_python

SMALL = {"n_estimators": 5, "random_state": 0}


@pytest.fixture(scope="module")
def data(df):
    return df.select("a", "`b.c`", "z")


class Recorder:
    """A callback of scikit-learn's that hears of each trial."""

    def __init__(self, then=lambda: None):
        self.trials = 0
        self.then = then

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "candidate-split-evaluation":
            self.trials += 1
            self.then()
        return False


class WaitsFor(xgboost.callback.TrainingCallback):
    """Holds training until a file exists."""

    seconds = 300

    def __init__(self, path):
        self.path = path

    def after_iteration(self, model, epoch, evals_log):
        deadline = time.monotonic() + self.seconds
        while not os.path.exists(self.path) and time.monotonic() < deadline:
            time.sleep(0.05)
        return False


def test_callbacks_hear_of_each_trial(data):
    recorder = Recorder()
    search = GridSearchCV(XGBRegressor(**SMALL), {"max_depth": [1, 2]}, cv=3)
    search.set_callbacks(recorder).fit(data, "z")
    assert recorder.trials == 6


def test_ctrl_c_keeps_what_is_finished(data, tmp_path):
    once = data.selectExpr("*", "if(a < 0.5, -1, 0) AS fold")
    waits = WaitsFor(str(tmp_path / "never"))
    # The first candidate ends; the second waits for a file that never comes.
    recorder = Recorder(lambda: os.kill(os.getpid(), signal.SIGINT))
    search = GridSearchCV(
        XGBRegressor(n_estimators=1),
        {"callbacks": [None, [waits]]},
        cv=PredefinedSplit("fold"),
        n_jobs=1,
    )
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        search.set_callbacks(recorder).fit(once, "z")
    assert time.monotonic() - begun < WaitsFor.seconds  # the wait itself takes longer
    assert search.cv_results_["params"] == [{"callbacks": None}]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert not hasattr(search, "best_estimator_")
    # Nothing is left that would keep the next search from running.
    again = GridSearchCV(XGBRegressor(**SMALL), {"max_depth": [1]}, cv=2).fit(data, "z")
    assert np.isfinite(again.best_score_)


class KillsOnce(xgboost.callback.TrainingCallback):
    """Kills its own process, the first time."""

    def __init__(self, path):
        self.path = path

    def after_iteration(self, model, epoch, evals_log):
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_costs_its_trial_one_more_try(data, tmp_path):
    kills = [KillsOnce(str(tmp_path / "killed"))]
    search = GridSearchCV(
        XGBRegressor(callbacks=kills, **SMALL), {"max_depth": [1, 2]}, cv=2, refit=False
    ).fit(data, "z")
    assert (tmp_path / "killed").exists()
    plain = GridSearchCV(XGBRegressor(**SMALL), {"max_depth": [1, 2]}, cv=2).fit(data, "z")
    for key in ("split0_test_score", "split1_test_score"):
        assert search.cv_results_[key].tolist() == plain.cv_results_[key].tolist()


def held_bytes():
    """Bytes of the object store that are in use."""
    total, free = (
        of().get("object_store_memory", 0.0)
        for of in (ray.cluster_resources, ray.available_resources)
    )
    return total - free


def released(before, most):
    """Wait until the store holds at most so many bytes more than before; say whether it does."""
    deadline = time.monotonic() + 60
    while held_bytes() - before > most and time.monotonic() < deadline:
        time.sleep(0.2)
    return held_bytes() - before <= most


def held():
    """What this process holds: threads, files, and the processes below it."""
    me = psutil.Process()
    return me.num_threads(), me.num_fds(), len(me.children(recursive=True))


@pytest.mark.slow
def test_the_store_holds_the_rows_once_and_100_candidates_leave_nothing(spark):
    wide = spark.range(100_000).selectExpr("id AS y", *(f"rand({i}) AS x{i}" for i in range(20)))
    wide = wide.cache()
    size = wide.count() * 21 * 8
    idle = held_bytes() if ray.is_initialized() else 0.0
    GridSearchCV(XGBRegressor(n_estimators=1), {"max_depth": [1]}, cv=KFold(2)).fit(wide, "y")
    # Ray tells a moment later what was freed.
    assert released(idle, 0.05 * size)
    before, peaks, done = min(idle, held_bytes()), [], threading.Event()
    threads, files, processes = held()

    def watch():
        while not done.wait(0.02):
            peaks.append(held_bytes() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        grid = {"max_depth": range(1, 11), "reg_lambda": range(10)}
        search = GridSearchCV(XGBRegressor(n_estimators=1), grid, cv=KFold(2)).fit(wide, "y")
    finally:
        done.set()
        watcher.join()
    wide.unpersist()
    assert max(peaks) <= 1.2 * size
    assert max(peaks) >= 0.8 * size  # it was seen at all
    assert released(before, 0.05 * size)
    assert len(search.cv_results_["params"]) == 100
    # Far less than one for each candidate; Ray and Spark open one or the other when they like.
    now = held()
    assert now[0] <= threads + 10
    assert now[1] <= files + 10
    assert now[2] <= processes + 2


def test_a_function_of_the_users_own_scores(data):
    scorer = make_scorer(r2_score)
    search = GridSearchCV(
        XGBRegressor(**SMALL),
        {"max_depth": [2]},
        cv=2,
        scoring=own_score,
    ).fit(data, "z")
    same = GridSearchCV(XGBRegressor(**SMALL), {"max_depth": [2]}, cv=2, scoring=scorer)
    same.fit(data, "z")
    assert search.cv_results_["mean_test_score"] == same.cv_results_["mean_test_score"]


def own_score(estimator, X, y):
    return r2_score(y, estimator.predict(X))


STOPPED = """
import raydp_ml
from raydp_ml.exceptions import SessionError
from raydp_ml.model_selection import GridSearchCV
from raydp_ml.xgboost import XGBRegressor


class Stops:
    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "candidate-split-evaluation":
            raydp_ml.stop_spark()


spark = raydp_ml.init_spark("stopped")
df = spark.range(100).selectExpr("id AS x", "id AS y").cache()
search = GridSearchCV(XGBRegressor(n_estimators=2), {"max_depth": [1, 2]}, cv=2)
try:
    search.set_callbacks(Stops()).fit(df, "y")
except SessionError as error:
    print("SESSION", error)
try:
    GridSearchCV(XGBRegressor(), {"max_depth": [1]}, cv=2).fit(df, "y")
except SessionError as error:
    print("SESSION", error)
"""


@pytest.mark.slow
def test_a_stopped_session(tmp_path):
    done = run_python("-c", STOPPED, cwd=tmp_path)
    assert done.stdout.count("SESSION") == 2, done.stdout + done.stderr
