"""What a worker holds beside the blocks, which are the object store's."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.testing import assert_array_equal

from raydp_ml.fit_data.memory_data import LABEL, array_set
from raydp_ml.torch import TorchRegressor
from raydp_ml.training.torch.rows import inputs_of
from raydp_ml.training.torch.spec import TorchSpec
from raydp_ml.training.torch.tensors import rows_of
from tests.torch.networks import Overwrites

ROOT = Path(__file__).parent.parent.parent.parent

PROGRAM = """
import sys, threading, time
from pathlib import Path
import numpy as np, pyarrow as pa
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.layout import Layout, feature_of
from raydp_ml.training.torch.loop import train_worker
from raydp_ml.training.torch.rows import inputs_of
from raydp_ml.training.torch.spec import TorchSpec
import torch

rows, width = 1_000_000, 30
path = Path(sys.argv[1]) / "rows.arrow"
names = [f"x{i}" for i in range(width)]
rng = np.random.default_rng(0)
schema = pa.schema([(name, pa.float32()) for name in [*names, "y"]])
with pa.ipc.new_file(path, schema) as writer:
    for _ in range(10):
        values = rng.normal(size=(width + 1, rows // 10)).astype(np.float32)
        writer.write_table(pa.table(list(values), schema=schema))
del values
table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()

def spec_and_part(table):
    layout = Layout(tuple(feature_of(name, pa.float32()) for name in names), label="y")
    spec = TorchSpec("regression", torch.nn.Linear(width, 1), inputs_of(layout, None),
                     torch.nn.MSELoss(reduction="none"), (torch.optim.Adam, {"lr": 1e-3}), None,
                     max_epochs=2, batch_size=4096, seed=0, threads=1)
    return Part(layout, schema, table=table), spec

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

def train(table):
    part, spec = spec_and_part(table)
    train_worker(0, [part], spec, None, None)

train(table.slice(0, 20_000))  # libraries take their own memory
before, peak, done = anonymous(), [0], threading.Event()

def watch():
    while not done.is_set():
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.001)

watcher = threading.Thread(target=watch)
watcher.start()
train(table)
done.set()
watcher.join()
print((peak[0] - before) / (rows * (width + 1) * 4))
"""


def test_an_array_of_float32_is_not_copied():
    X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    y = X[:, 0]
    before = X.copy()
    data = array_set(X, {LABEL: y})
    spec = TorchSpec(
        "regression",
        torch.nn.Linear(3, 1),
        inputs_of(data.layout, None),
        torch.nn.MSELoss(reduction="none"),
        (torch.optim.SGD, {"lr": 0.1}),
        None,
        max_epochs=1,
        batch_size=10,
        seed=0,
    )
    rows = rows_of(data.table, data.layout, spec)
    assert np.shares_memory(rows.inputs[0], X)
    # A module that writes to what it is given gets copies.
    model = TorchRegressor(Overwrites, num_workers=0, max_epochs=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, eval_set=[(X, y)]).predict(X)
    assert_array_equal(X, before)


def test_a_worker_holds_at_most_1_3_times_its_shard(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    share = float(done.stdout)
    assert 0.9 < share <= 1.3, share
