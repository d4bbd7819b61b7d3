"""How many tasks at a time, and their CPUs; no cluster."""

from __future__ import annotations

import pytest

from raydp_ml.torch import TorchRegressor
from raydp_ml.training.gang.room import room_for_tasks
from raydp_ml.xgboost import XGBRegressor

TWO = {"one": {"CPU": 2.0}}
CLUSTER = {"one": {"CPU": 8.0, "GPU": 2.0}, "two": {"CPU": 4.0}}


@pytest.mark.parametrize(
    ("estimator", "n_jobs", "n_tasks", "nodes", "expected"),
    [
        (XGBRegressor(), None, 72, TWO, (2, 1)),
        (XGBRegressor(), 1, 72, TWO, (1, 2)),
        (XGBRegressor(), None, 1, TWO, (1, 2)),
        (XGBRegressor(n_jobs=2), None, 72, TWO, (1, 2)),
        (XGBRegressor(cpus_per_worker=1), 5, 72, TWO, (2, 1)),
        (XGBRegressor(), None, 72, CLUSTER, (12, 1)),
        (XGBRegressor(), 3, 72, CLUSTER, (3, 4)),
        (XGBRegressor(), -1, 72, CLUSTER, (12, 1)),
        (XGBRegressor(), -2, 72, CLUSTER, (11, 1)),
        (XGBRegressor(gpus_per_worker=1), None, 72, CLUSTER, (2, 4)),
        (TorchRegressor(cpus_per_worker=3), None, 72, CLUSTER, (3, 3)),
    ],
)
def test_tasks_at_a_time(estimator, n_jobs, n_tasks, nodes, expected):
    found = room_for_tasks(estimator, n_jobs, n_tasks, nodes, nbytes=1000, memory=1e9)
    assert (found.count, found.cpus) == expected


def test_memory_bounds_the_tasks():
    found = room_for_tasks(XGBRegressor(), None, 72, CLUSTER, nbytes=10**9, memory=8e9)
    assert (found.count, found.cpus) == (3, 4)


def test_data_that_is_too_large_for_a_worker():
    assert room_for_tasks(XGBRegressor(), None, 72, TWO, 10**10, memory=8e9).count == 0
