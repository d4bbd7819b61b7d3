"""The Spark session of a run, and frames to measure with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import raydp_ml
from benchmarks.options import Options

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@contextmanager
def session(options: Options, mode: str) -> Iterator[SparkSession]:
    """Start Spark in a mode, as the options say, for the time of a ``with`` block."""
    configs = {
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.driver.maxResultSize": "0",
        "spark.ui.showConsoleProgress": "false",
    }
    with raydp_ml.spark_session(
        "benchmarks",
        mode=mode,
        num_executors=options.workers,
        executor_memory="2g",
        driver_memory="4g",
        configs=configs,
    ) as spark:
        spark.sparkContext.setLogLevel("ERROR")
        yield spark


def garbage_collector(spark: SparkSession) -> Callable[[], Any]:
    """Return the call that collects the driver JVM's garbage."""
    return spark._jvm.System.gc  # type: ignore[union-attr]


def cached(df: DataFrame) -> DataFrame:
    """Cache a DataFrame and compute it."""
    df = df.cache()
    df.count()
    return df


def partitions(spark: SparkSession) -> int:
    """Partitions of the data: a few for each core, as in practice."""
    return 4 * spark.sparkContext.defaultParallelism
