"""A lost worker for which there is no room any more: training goes on with those that are left."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import ray
import xgboost
from numpy.testing import assert_allclose

from raydp_ml.exceptions import ResourceError
from raydp_ml.training.gang import actors, reservation
from raydp_ml.training.xgboost import fit as fit_module
from raydp_ml.xgboost import XGBRegressor

pytestmark = pytest.mark.modes("none")  # executors of Spark would hold CPUs

PARAMS = {"n_estimators": 10, "max_depth": 3, "n_jobs": 1}
HOG = "holds the CPU of the worker that was lost"


def dies_once(marks):
    """Return a callback that ends rank 1 after it has asked Ray for its CPU, for another."""

    class DiesOnce(xgboost.callback.TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            rank = xgboost.collective.get_rank()
            marks.open("a").write(f"{rank}:{epoch} ")
            if epoch == 5 and rank == 1:

                class Hog:
                    def hold(self):
                        return True

                # It waits: all CPUs are those of the fit.
                options = {"num_cpus": 1, "name": HOG, "lifetime": "detached"}
                ray.remote(**options)(Hog).remote()
                time.sleep(1.0)  # the driver hears of round 5 (rank 0)
                os._exit(1)
            return False

    return DiesOnce()


@pytest.fixture
def no_room(ray_cluster, spark, monkeypatch):
    """Let a fit that starts again find that another program has one of its two CPUs."""
    plain = actors.live_nodes
    hogs = []

    def live_nodes():
        try:
            hogs.append(ray.get_actor(HOG))
        except ValueError:  # nobody has died so far
            return plain()
        ray.get(hogs[-1].hold.remote(), timeout=60)
        return plain()

    monkeypatch.setattr(actors, "live_nodes", live_nodes)
    monkeypatch.setattr(reservation, "TIMEOUT", 3.0)
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    yield
    for hog in hogs[:1]:
        ray.kill(hog)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    # So few values that each of them is a bin, however the rows are cut.
    X = np.round(rng.normal(size=(400, 3)) * 4) / 4
    return X, X[:, 0] + X[:, 1] ** 2


@pytest.mark.slow
def test_training_goes_on_with_the_worker_that_is_left(no_room, data, tmp_path):
    X, y = data
    marks = tmp_path / "marks"
    model = XGBRegressor(num_workers=2, callbacks=[dies_once(marks)], **PARAMS)
    with pytest.warns(UserWarning, match="Training goes on with 1 of 2 workers"):
        model.fit(X, y)
    # Not from the first round on.
    rounds = [int(mark.split(":")[1]) for mark in marks.read_text().split()]
    after = rounds[rounds.index(5) :]
    assert 0 not in after
    assert after[-1] == 9
    plain = XGBRegressor(num_workers=0, **PARAMS).fit(X, y)
    assert model.get_booster().num_boosted_rounds() == 10
    assert_allclose(model.predict(X), plain.predict(X), atol=1e-4)


@pytest.mark.slow
def test_it_fails_where_that_is_not_wanted(no_room, data, tmp_path):
    X, y = data
    callbacks = [dies_once(tmp_path / "marks")]
    model = XGBRegressor(num_workers=2, elastic=False, callbacks=callbacks, **PARAMS)
    with pytest.raises(ResourceError, match="Training needs 2 CPUs, and after 3 s only 1"):
        model.fit(X, y)
    assert not hasattr(model, "n_features_in_")
