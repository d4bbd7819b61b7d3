"""The Spark session of a run, and frames to measure with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import ray

import raydp_ml
from benchmarks.options import Options

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class _Keeper:
    """Keeps the session of one case for the next that wants the same one."""

    def __init__(self) -> None:
        self._wanted: tuple[Any, ...] = ()
        self._open = ExitStack()
        self._spark: Any = None

    def get(
        self, wanted: tuple[Any, ...], start: Callable[[], AbstractContextManager[SparkSession]]
    ) -> SparkSession:
        """Return the session that is open, or start another in its place."""
        if wanted != self._wanted:
            self.close()
            self._spark = self._open.enter_context(start())
            self._wanted = wanted
        return self._spark

    def close(self) -> None:
        """Stop the session, if one is open."""
        self._wanted = ()
        self._open.close()


_keeper: _Keeper | None = None


@contextmanager
def kept_sessions() -> Iterator[None]:
    """Within the block, cases share sessions: for a test, whose time the starts would take."""
    global _keeper
    _keeper = _Keeper()
    try:
        yield
    finally:
        _keeper.close()
        _keeper = None


@contextmanager
def session(
    options: Options, mode: str, *, cpus: int = 0, store: int = 0, fresh: bool = False
) -> Iterator[SparkSession]:
    """Give Spark in a mode, as the options say, for the time of a ``with`` block.

    Parameters
    ----------
    options : Options
    mode : str
    cpus : int
        How many CPUs Ray is told of, if more than the machine has.
    store : int
        Bytes of Ray's object store, if not its own choice.
    fresh : bool
        Whether it must be a new one.
    """
    cpus = max(cpus, os.cpu_count() or 1)
    if _keeper is None:
        with _started(options, mode, cpus, store) as spark:
            yield spark
        return
    if fresh:
        _keeper.close()
    wanted = (mode, options.workers, cpus, store)
    spark = _keeper.get(wanted, lambda: _started(options, mode, cpus, store))
    yield spark
    spark.catalog.clearCache()


@contextmanager
def _started(options: Options, mode: str, cpus: int, store: int) -> Iterator[SparkSession]:
    with ExitStack() as stack:
        if store or cpus > (os.cpu_count() or 1):
            ray.init(
                "local",
                num_cpus=cpus,
                object_store_memory=store or None,
                include_dashboard=False,
                log_to_driver=False,
            )
            stack.callback(ray.shutdown)
        yield stack.enter_context(new_session(options, mode))


@contextmanager
def ray_alone(cpus: int) -> Iterator[None]:
    """Give Ray for several sessions, one after the other, for the time of a ``with`` block."""
    if _keeper is not None:
        _keeper.close()
    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def new_session(
    options: Options, mode: str, more: dict[str, str] | None = None
) -> Iterator[SparkSession]:
    """Start Spark in the Ray that is there, and stop it at the end of the ``with`` block."""
    configs = {
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.driver.maxResultSize": "0",
        "spark.ui.showConsoleProgress": "false",
        **(more or {}),
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
