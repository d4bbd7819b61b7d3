"""Ray's memory monitor ends a worker: a loss like any other."""

from __future__ import annotations

import pytest

from tests.fresh_folder import run_python

PROGRAM = '''
import os
import pathlib
import time

import numpy as np
import ray
import xgboost
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

used, total = get_used_memory(), get_system_memory()
os.environ["RAY_memory_usage_threshold"] = str((used + 2.5e9) / total)
os.environ["RAY_memory_monitor_refresh_ms"] = "100"
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)

from raydp_ml.training.xgboost import fit as fit_module
from raydp_ml.xgboost import XGBRegressor

fit_module.CHECKPOINT_SECONDS = 0.0
mark = pathlib.Path("out/mark").absolute()
mark.parent.mkdir()


class Eats(xgboost.callback.TrainingCallback):
    """Takes memory until it is ended, once."""

    def after_iteration(self, model, epoch, evals_log):
        if epoch == 5 and xgboost.collective.get_rank() == 1 and not mark.exists():
            mark.touch()
            time.sleep(1.0)  # the driver hears of round 5
            held = []
            for _ in range(20):
                held.append(np.ones(60_000_000))  # half a gigabyte
                time.sleep(0.3)
            mark.write_text("nobody has ended it")
        return False


rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = X[:, 0] + X[:, 1] ** 2
params = {"n_estimators": 10, "max_depth": 3, "num_workers": 2}
model = XGBRegressor(callbacks=[Eats()], **params).fit(X, y)
assert mark.exists() and not mark.read_text(), mark.read_text()
plain = XGBRegressor(**params).fit(X, y)
np.testing.assert_allclose(model.predict(X), plain.predict(X), atol=1e-5)
print("the same model")
ray.shutdown()
'''


@pytest.mark.slow
def test_a_worker_that_takes_too_much_memory_is_lost_and_replaced(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run_python("program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("the same model\n")
