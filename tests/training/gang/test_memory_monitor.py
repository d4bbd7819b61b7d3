"""Ray's memory monitor ends a worker: a loss like any other, of a fit and of a search."""

from __future__ import annotations

import pytest

from tests.fresh_folder import run_python

PROGRAM = '''
import os
import pathlib
import time

import numpy as np
import pandas as pd
import ray
import torch
import xgboost
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

used, total = get_used_memory(), get_system_memory()
os.environ["RAY_memory_usage_threshold"] = str((used + 4e9) / total)
os.environ["RAY_memory_monitor_refresh_ms"] = "100"
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)

import raydp_ml
from raydp_ml.model_selection import GridSearchCV
from raydp_ml.torch import TorchRegressor
from raydp_ml.training.xgboost import fit as fit_module
from raydp_ml.xgboost import XGBRegressor

fit_module.CHECKPOINT_SECONDS = 0.0


def eat(mark):
    """Take memory until this process is ended, once."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    time.sleep(1.0)  # the driver hears of what was done so far
    held = []
    for _ in range(20):
        held.append(np.ones(60_000_000))  # half a gigabyte
        time.sleep(0.3)
    mark.write_text("nobody has ended it")


class Eats(xgboost.callback.TrainingCallback):
    def __init__(self, mark, rank):
        self.mark, self.rank = mark, rank

    def after_iteration(self, model, epoch, evals_log):
        if epoch == 5 and xgboost.collective.get_rank() == self.rank:
            eat(self.mark)
        return False


class Network(torch.nn.Module):
    def __init__(self, mark=None, in_features=3, out_features=1):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)
        self.mark = mark
        self.steps = 0

    def forward(self, X):
        self.steps += 1
        if self.mark is not None and self.steps == 5 and torch.distributed.get_rank() == 1:
            eat(self.mark)
        return self.linear(X)


marks = [pathlib.Path("out").absolute() / name for name in ("trees", "network", "trials")]
trees, network, trials = marks
trees.parent.mkdir()
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = X[:, 0] + X[:, 1] ** 2

# Ray ends the youngest of several actors first: the block server is older than the workers.
spark = raydp_ml.init_spark("memory")
df = spark.createDataFrame(pd.DataFrame(X).add_prefix("x").assign(y=y))
scores = [
    GridSearchCV(model, {"max_depth": [1, 2]}, cv=3, refit=False).fit(df, "y").cv_results_
    for model in (
        XGBRegressor(n_estimators=10),
        XGBRegressor(n_estimators=10, callbacks=[Eats(trials, 0)]),
    )
]
for name in ("mean_test_score", "std_test_score"):
    np.testing.assert_array_equal(scores[0][name], scores[1][name])
raydp_ml.stop_spark()

params = {"n_estimators": 10, "max_depth": 3, "num_workers": 2}
model = XGBRegressor(callbacks=[Eats(trees, 1)], **params).fit(X, y)
plain = XGBRegressor(**params).fit(X, y)
np.testing.assert_array_equal(model.predict(X), plain.predict(X))

X, y = X.astype(np.float32), y.astype(np.float32)
params = {"max_epochs": 4, "batch_size": 64, "num_workers": 2, "random_state": 0}
model = TorchRegressor(Network, module__mark=network, **params).fit(X, y)
plain = TorchRegressor(Network, **params).fit(X, y)
np.testing.assert_array_equal(model.predict(X), plain.predict(X))

for mark in marks:
    assert mark.exists() and not mark.read_text(), mark.read_text()
print("the same models")
ray.shutdown()
'''


@pytest.mark.slow
def test_a_worker_that_takes_too_much_memory_is_lost_and_replaced(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run_python("program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("the same models\n")
