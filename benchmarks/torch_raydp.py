"""RayDP's TorchEstimator: ``python -m benchmarks.torch_raydp ROWS EPOCHS WORKERS REPEAT FILE``.

It runs in RayDP's own environment. FILE gets a JSON object: the runs, or the error.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from benchmarks.processes import Usage
from benchmarks.torch_network import BATCH, FEATURES, LEARNING_RATE, network, signal


class Joined(nn.Module):
    """Takes the columns one by one, as RayDP passes them, or side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, *columns: torch.Tensor) -> torch.Tensor:
        return self.network(torch.cat(columns, dim=1))


def main() -> int:
    """Measure fits and write what was seen."""
    *numbers, file = sys.argv[1:]
    record: dict[str, Any] = {"runs": []}
    try:
        _measure(*map(int, numbers), record)
    except Exception as error:
        traceback.print_exc()
        record["error"] = f"{type(error).__name__}: {error}"
    Path(file).write_text(json.dumps(record))
    return 0


def _measure(rows: int, epochs: int, workers: int, repeat: int, record: dict[str, Any]) -> None:
    import ray
    import raydp
    from raydp.torch import TorchEstimator

    # Its executor, trainer and workers hold a CPU each, and Ray Data needs some to read.
    ray.init(num_cpus=4 + 2 * workers, include_dashboard=False)
    cores = {"num_executors": 1, "executor_cores": workers, "executor_memory": "4g"}
    spark = raydp.init_spark("benchmark", **cores)
    df = signal(spark, rows, 0, 4 * workers).cache()
    df.count()
    held_out = signal(spark, max(1000, rows // 20), 1000, 4 * workers).toPandas()
    for repetition in range(1 + repeat):
        module = Joined()
        estimator = TorchEstimator(
            num_workers=workers,
            model=module,
            optimizer=torch.optim.Adam(module.parameters(), lr=LEARNING_RATE),
            loss=torch.nn.MSELoss(),
            feature_columns=FEATURES,
            feature_types=torch.float32,
            label_column="y",
            label_type=torch.float32,
            batch_size=BATCH // workers,
            num_epochs=epochs,
        )
        # By way of Parquet: on its way through the object store its AppMaster dies.
        with TemporaryDirectory() as folder, Usage() as usage:
            estimator.fit_on_spark(df, fs_directory=folder)
        if repetition > 0:  # The first is the warm-up.
            record["runs"].append(usage.summary())
    weights = Path(estimator._trained_results.checkpoint.to_directory(), "model.pt")
    module.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad():
        found = module(torch.from_numpy(held_out[FEATURES].to_numpy()))[:, 0].numpy()
    residual = held_out["y"] - found
    record["facts"] = {"held-out R²": float(1 - residual.var() / held_out["y"].var())}
    raydp.stop_spark()


if __name__ == "__main__":
    sys.exit(main())
