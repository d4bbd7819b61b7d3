"""The network and the rows of the case ``torch``; it runs in the peer's environment too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEATURES = [f"x{i}" for i in range(30)]
LABEL = "sin(2 * x0) + x1 * x2 + 0.5 * x3 + abs(x4)"
BATCH = 4096
LEARNING_RATE = 0.003


def network() -> nn.Module:
    """Make a perceptron of three linear layers."""
    return nn.Sequential(
        nn.Linear(len(FEATURES), 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 1),
    )


def signal(spark: SparkSession, rows: int, seed: int, partitions: int) -> DataFrame:
    """Normal features, and a label of bends and products of them with noise."""
    from pyspark.sql import functions as sql

    ids = spark.range(rows, numPartitions=partitions)
    df = ids.select(*[sql.randn(seed + i).cast("float").alias(n) for i, n in enumerate(FEATURES)])
    return df.withColumn("y", (sql.expr(LABEL) + 0.1 * sql.randn(seed + 99)).cast("float"))
