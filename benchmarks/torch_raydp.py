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
from benchmarks.torch_network import BATCH, FEATURES, LABEL, LEARNING_RATE, network


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
    from pyspark.sql import functions as sql
    from raydp.torch import TorchEstimator

    # Its executor, trainer and workers hold a CPU each, and Ray Data needs some to read.
    ray.init(num_cpus=4 + 2 * workers, include_dashboard=False)
    spark = raydp.init_spark("benchmark", num_executors=1, executor_cores=1, executor_memory="2g")
    ids = spark.range(rows, numPartitions=4 * workers)
    df = ids.select(*[sql.randn(i).cast("float").alias(n) for i, n in enumerate(FEATURES)])
    df = df.withColumn("y", (sql.expr(LABEL) + 0.1 * sql.randn(99)).cast("float")).cache()
    df.count()
    for _ in range(1 + repeat):
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
        record["runs"].append(usage.summary())
    # The first is the warm-up.
    del record["runs"][0]
    raydp.stop_spark()


if __name__ == "__main__":
    sys.exit(main())
