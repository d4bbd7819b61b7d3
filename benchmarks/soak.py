"""Does anything grow in a process that trains and exchanges for long, in one session and in many?

Two threads work at a time: one trains, trees and networks in turn, the other exports rows and
brings them back; each result is compared with the first of its kind. What is counted is what is
left when both have come to rest: in one session after each tenth of its work, and after the end of
each of many sessions. Ray goes on throughout, so that an actor left behind would be seen beside
the idle workers, which wait for the next fit, and the block server. (Ray itself keeps the
connection of an actor that has ended for some minutes: a file more after each session.)
"""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pandas as pd
import psutil

import raydp_ml
from benchmarks.fit import fit_ours
from benchmarks.harness import Measured, Table, Target
from benchmarks.memory import come_to_rest, store_reader
from benchmarks.options import Options
from benchmarks.processes import Usage, processes_of_run
from benchmarks.regression_data import FEATURES, LABEL, regression_frame
from benchmarks.spark import garbage_collector, new_session, partitions, ray_alone

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DRIVER, HEAP, STORE = "driver MB", "JVM heap MB", "object store MB"
COUNTS = ("files", "sockets", "threads", "temporary files", "actors")
WRONG = "wrong results"
_ROWS = 5_000
_GROWTH = 1.05
# What Spark remembers of ended jobs grows to 1,000 of each.
_SHORT_HISTORY = {
    f"spark.{name}": "10"
    for name in (
        "ui.retainedJobs",
        "ui.retainedStages",
        "ui.retainedTasks",
        "sql.ui.retainedExecutions",
    )
}


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Work in one session for long, then in many."""
    steps, step, sessions, each = (
        (2, (2, 1), 2, (2, 1)) if options.quick else (10, (11, 4), 19, (10, 3))
    )
    (mode,) = options.modes or ("local",)
    one, many = [], []
    with _temporary_folder() as folder, ray_alone(max(options.workers + 1, os.cpu_count() or 1)):
        work, looks = _Work(options), _Looks(folder)
        with new_session(options, mode, _SHORT_HISTORY) as spark:
            df = work.frame(spark)
            for number in range(1, steps + 1):
                row = work.run(
                    f"after {number * step[0]} fits, {number * step[1]} exchanges", df, *step
                )
                row.facts |= {WRONG: work.wrong, HEAP: _heap(spark), **looks.at_rest()}
                one.append(row)
        for number in range(1, sessions + 1):
            with new_session(options, mode, _SHORT_HISTORY) as spark:
                row = work.run(f"after {number} sessions", work.frame(spark), *each)
            row.facts |= {WRONG: work.wrong, **looks.at_rest()}
            many.append(row)
    tables = [
        Table(f"One session: {steps * step[0]} fits and {steps * step[1]} exchanges", one),
        Table(
            f"{sessions} sessions of {each[0]} fits and {each[1]} exchanges, each after its end",
            many,
        ),
    ]
    return tables, targets(*tables)


class _Work:
    """Fits and exchanges of the same rows, and how many did not give the first one's result."""

    def __init__(self, options: Options) -> None:
        self.wrong = 0
        self._workers = options.workers
        self._first: dict[str, Any] = {}
        self._kinds = itertools.cycle([self._trees, self._network])
        values = np.random.default_rng(0).random((100, len(FEATURES)))
        self._held_out = pd.DataFrame(values, columns=FEATURES)

    def frame(self, spark: SparkSession) -> DataFrame:
        """The rows that all work is done on."""
        return regression_frame(spark, _ROWS, 0, partitions(spark))

    def run(self, name: str, df: DataFrame, fits: int, exchanges: int) -> Measured:
        """Do so much of both at a time."""
        row = Measured(name)
        with Usage() as usage, ThreadPoolExecutor(2) as pool:
            trained = pool.submit(lambda: [next(self._kinds)(df) for _ in range(fits)])
            exchanged = pool.submit(lambda: [*map(self._exchange, [df] * exchanges)])
            trained.result()
            exchanged.result()
        row.add(**usage.summary())
        return row

    def _trees(self, df: DataFrame) -> None:
        self._compare("trees", fit_ours(df, self._workers).predict(self._held_out))

    def _network(self, df: DataFrame) -> None:
        from raydp_ml.torch import TorchRegressor

        model = TorchRegressor(max_epochs=1, random_state=0, num_workers=self._workers).fit(
            df, LABEL
        )
        self._compare("network", model.predict(self._held_out.astype(np.float32)))

    def _exchange(self, df: DataFrame) -> None:
        blocks = raydp_ml.from_spark(df)
        back: Any = raydp_ml.to_spark(blocks, df.sparkSession).toPandas()
        blocks.free()
        self._compare("exchange", back.to_numpy())

    def _compare(self, kind: str, found: Any) -> None:
        first = self._first.setdefault(kind, found)
        self.wrong += not np.allclose(found, first, rtol=1e-5)


class _Looks:
    """Counts what this process and those below it hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: Callable[[], int] = store_reader()

    def at_rest(self) -> dict[str, float]:
        """Each figure, once Ray has freed what nobody holds (it takes a while)."""
        gc.collect()
        come_to_rest(self._store, 0)
        me = psutil.Process()
        return {
            DRIVER: me.memory_info().rss / 1e6,
            STORE: self._store() / 1e6,
            "files": me.num_fds(),
            "sockets": len(me.net_connections("all")),
            "threads": me.num_threads(),
            "temporary files": len(_files(self._folder)) + len(os.listdir("/dev/shm")),
            "actors": sum(map(_is_actor, processes_of_run())),
        }


def _files(folder: Path) -> list[Path]:
    """All files below a folder, without what Ray writes there, and torch's cache of code.

    Folders are not counted: Spark makes up to 64 for its blocks, one after the other.
    """
    theirs = ("ray", "torchinductor_")
    files = (path for path in folder.rglob("*") if not path.is_dir())
    return [path for path in files if not path.relative_to(folder).parts[0].startswith(theirs)]


def _is_actor(process: psutil.Process) -> bool:
    try:
        title = (process.cmdline() or [""])[0]
    except psutil.Error:  # it has ended meanwhile
        return False
    return title.startswith("ray::") and not title.startswith("ray::IDLE")


def _heap(spark: SparkSession) -> float:
    garbage_collector(spark)()
    runtime = spark._jvm.java.lang.Runtime.getRuntime()  # type: ignore[union-attr]
    return float(runtime.totalMemory() - runtime.freeMemory()) / 1e6


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Have this process and all that it starts use a temporary folder of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="soak") as name,
        mock.patch.dict(os.environ, TMPDIR=name),
        mock.patch.object(tempfile, "tempdir", name),
    ):
        yield Path(name)


def growth(rows: list[Measured], figure: str) -> tuple[float, float]:
    """What a figure is early (the first row warms up) and at the end: medians of three."""
    early = rows[1:4]
    late = rows[-len(early) :]
    first, last = (statistics.median(row.facts[figure] for row in some) for some in (early, late))
    return first, last


def targets(one: Table, many: Table) -> list[Target]:
    """Nothing grows, and nothing is wrong."""
    found = []
    for name, table in (("in one session", one), ("over sessions", many)):
        for figure in (DRIVER, HEAP):
            if figure in table.rows[0].facts:
                first, last = growth(table.rows, figure)
                found.append(Target(f"{name}: {figure} grow by the factor", last / first, _GROWTH))
        for figure in (STORE, *COUNTS):
            first, last = growth(table.rows, figure)
            found.append(Target(f"{name}: {figure} more at the end", last - first, 0))
        found.append(Target(f"{name}: {WRONG}", table.rows[-1].facts[WRONG], 0))
    return found
