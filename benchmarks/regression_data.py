"""The regression frame that several cases share: ten uniform features, and a bent label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEATURES = [f"x{i}" for i in range(10)]
LABEL = "y"
NOISE = 0.5
PARAMS: dict[str, Any] = {
    "n_estimators": 50,
    "max_depth": 6,
    "learning_rate": 0.3,
    "tree_method": "hist",
}


def regression_frame(spark: SparkSession, rows: int, seed: int, partitions: int) -> DataFrame:
    """Uniform features, and a label of bends, steps and products of them with noise."""
    from pyspark.sql import functions as sql

    ids = spark.range(rows, numPartitions=partitions)
    df = ids.select(*[sql.rand(seed + i).alias(name) for i, name in enumerate(FEATURES)])
    signal = (
        "10 * sin(3.14159 * x0 * x1) + 20 * pow(x2 - 0.5, 2) + 10 * x3 + 5 * x4"
        " + IF(x5 > 0.7, 3 * x6, 0)"
    )
    return df.withColumn(LABEL, sql.expr(signal) + NOISE * sql.randn(seed + 99))
