"""What do ``from_spark`` and ``fit`` take of each process's memory as the data grow eightfold?

The rows come from a generator inside Spark's tasks, so that what grows is what the call itself
needs, not a cache. A figure is the peak while the call runs, above nothing: of the driver, the JVM,
Spark's Python workers and Ray's workers their private memory, and of the object store the bytes of
its objects, in which the processes share. A JVM keeps what it took once and collects its garbage
late: its peak follows its heap's limit more than the data.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil

import raydp_ml
from benchmarks.fit import fit_ours
from benchmarks.growth import exponent
from benchmarks.harness import Contender, Measured, Table, Target, turns
from benchmarks.options import Options
from benchmarks.processes import Usage, processes_of_run, role
from benchmarks.regression_data import FEATURES, LABEL, regression_frame
from benchmarks.spark import garbage_collector, partitions, session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TIMES = (1, 2, 4, 8)
EXCHANGE, BACK, FIT = "from_spark", "from_spark and to_spark", "fit"
STORE, ALL = "object store", "all"
LARGEST = "largest worker MB"
LIMIT = "store's limit MB"
LEAST_STORE = 80 << 20
"""Bytes; Ray takes no less."""
ROLES = ("driver", "jvm", "spark python", "ray workers", STORE, ALL)
_SAMPLE_SECONDS = 0.05
_REST_SECONDS = 20


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Watch both calls at each size."""
    base = options.rows_or(500_000, 5_000)
    (mode,) = options.modes or ("local",)
    tables = []
    with session(options, mode) as spark:
        held_out = regression_frame(spark, 20_000, 1000, partitions(spark)).toPandas()
        settle = garbage_collector(spark)
        for name in (EXCHANGE, FIT):
            rows = []
            for times in TIMES[:2] if options.quick else TIMES:
                df = regression_frame(spark, times * base, 0, partitions(spark))
                contender = _contender(name, df, held_out, options)
                row = watched(contender, options, settle)
                mb = times * base * (len(FEATURES) + 1) * 8 / 1e6
                row.facts = {"rows": times * base, "data MB": mb} | row.facts
                rows.append(row)
            title = f"{name}: {base:,} rows x {len(FEATURES) + 1} doubles, and multiples"
            drawn = tuple(f"{each} MB" for each in ROLES)
            tables.append(Table(title, rows, growth_of(rows), axis="rows", drawn=drawn))
    found = targets(*tables)
    tables.append(_quarter(options, mode, TIMES[1 if options.quick else -1] * base))
    return tables, found + quarter_targets(tables[-1])


def _quarter(options: Options, mode: str, rows: int) -> Table:
    """Watch the calls where the object store has room for a quarter of the rows."""
    size = rows * (len(FEATURES) + 1) * 8
    store = max(size // 4, LEAST_STORE)
    found = []
    with session(options, mode, store=store) as spark:
        held_out = regression_frame(spark, 20_000, 1000, partitions(spark)).toPandas()
        settle = garbage_collector(spark)
        df = regression_frame(spark, rows, 0, partitions(spark))
        for name in (EXCHANGE, BACK, FIT):
            row = watched(_contender(name, df, held_out, options), options, settle)
            row.facts |= {"data MB": size / 1e6, LIMIT: store / 1e6}
            found.append(row)
    title = f"A store of {store / 1e6:,.0f} MB: {rows:,} rows, {size / 1e6:,.0f} MB"
    return Table(title, found, "What the store has no room for goes through the disk.")


def _contender(name: str, df: DataFrame, held_out: Any, options: Options) -> Contender:
    if name == EXCHANGE:
        return Contender(
            name,
            lambda: raydp_ml.from_spark(df),
            check=lambda blocks: {"blocks MB": blocks.nbytes / 1e6},
            release=lambda blocks: blocks.free(),
        )
    if name == BACK:
        return Contender(name, lambda: _there_and_back(df), check=lambda sums: {"sums": sums})
    return Contender(
        name,
        lambda: fit_ours(df, options.workers),
        # In memory: Spark's Python workers would stay, and be counted.
        check=lambda model: {"held-out R²": model.score(held_out, LABEL)},
    )


def _there_and_back(df: DataFrame) -> list[float]:
    """Rows, and the sums of a feature and of the label, of what came back."""
    blocks = raydp_ml.from_spark(df)
    back = raydp_ml.to_spark(blocks, df.sparkSession)
    (row,) = back.selectExpr("count(*)", f"sum({FEATURES[0]})", f"sum({LABEL})").collect()
    blocks.free()
    return [round(value, 3) for value in row]


def watched(contender: Contender, options: Options, settle: Callable[[], Any]) -> Measured:
    """Run a contender several times under the eyes of a sampler; peaks become facts."""
    row, peaks, largest = Measured(contender.name), [], 0
    store = store_reader()
    at_rest = store()
    with Usage() as usage:
        result = contender.run()
    row.warm_up_s.append(usage.seconds)
    row.facts.update(contender.check(result))
    contender.release(result)
    for _ in turns((contender,), options.repeat, f"peak memory of {contender.name}"):
        settle()
        gc.collect()
        come_to_rest(store, at_rest)  # the last run's objects are not this one's
        with Sampler(store) as sampler, Usage() as usage:
            result = contender.run()
        row.add(**usage.summary())
        peaks.append(sampler.peaks)
        largest = max(largest, sampler.largest)
        contender.release(result)
    for each in ROLES:
        seen = [peak[each] / 1e6 for peak in peaks]
        row.facts[f"{each} MB"] = round(statistics.median(seen), 1)
    row.facts[LARGEST] = round(largest / 1e6, 1)
    totals = [peak[ALL] / 1e6 for peak in peaks]
    row.facts["all, least..most MB"] = f"{min(totals):.0f}..{max(totals):.0f}"
    return row


class Sampler:
    """Peaks of the private memory by role, and of the object store, during a ``with`` block.

    Attributes
    ----------
    peaks : dict of str to int
        Bytes by role.
    largest : int
        Bytes of the largest process of Ray's.
    """

    def __init__(self, store: Callable[[], int]) -> None:
        self.peaks = dict.fromkeys(ROLES, 0)
        self.largest = 0
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            self._look()
            self._stop.wait(max(_SAMPLE_SECONDS, time.monotonic() - begin))

    def _look(self) -> None:
        now = dict.fromkeys(ROLES, 0)
        now[STORE] = self._store()
        for process in processes_of_run():
            try:
                name, memory = role(process), process.memory_info()
            except psutil.Error:  # it has ended meanwhile
                continue
            if name in now:
                # Without the object store, which is mapped by many.
                private = memory.rss - getattr(memory, "shared", 0)
                now[name] += private
                if name == "ray workers":
                    self.largest = max(self.largest, private)
        now[ALL] = sum(now.values())
        for name, size in now.items():
            self.peaks[name] = max(self.peaks[name], size)


def come_to_rest(store: Callable[[], int], level: int) -> None:
    """Wait until the store is down to a level: Ray frees objects a while after it was told to."""
    deadline = time.monotonic() + _REST_SECONDS
    while store() > level and time.monotonic() < deadline:
        time.sleep(_SAMPLE_SECONDS)


def store_reader() -> Callable[[], int]:
    """Return what asks Ray for the bytes of the objects in its store."""
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    return lambda: get_memory_info_reply(state).store_stats.object_store_bytes_used


def growth_of(rows: list[Measured]) -> str:
    """State how each role's peak grows with the rows."""
    sizes = [row.facts["rows"] for row in rows]
    said = []
    for each in ROLES:
        peaks = [row.facts[f"{each} MB"] for row in rows]
        if min(peaks) > 0 and len(set(sizes)) > 1:
            said.append(f"{each} rows^{exponent(sizes, peaks):.2f}")
    return "Peaks grow as " + ", ".join(said) + "."


def targets(*tables: Table) -> list[Target]:
    """The driver never holds the data, and the object store holds them once."""
    found = []
    for table in tables:
        first, last = table.rows[0].facts, table.rows[-1].facts
        more = last["data MB"] - first["data MB"]
        name = table.rows[0].name
        for who, limit in (("driver", 0.1), (STORE, 1.1)):
            grown = (last[f"{who} MB"] - first[f"{who} MB"]) / more
            found.append(Target(f"{name}: the {who} grows, of the data's growth, by", grown, limit))
    return found


def quarter_targets(table: Table) -> list[Target]:
    """The store keeps to its limit."""
    return [
        Target(
            f"{row.name}: the store's peak, of its limit",
            row.facts[f"{STORE} MB"] / row.facts[LIMIT],
            1,
        )
        for row in table.rows
    ]
