"""How do ``from_spark`` and ``fit`` grow with the rows, the workers and the partitions?

Ours alone, one thing varied at a time. Through the medians of each goes a power law,
``seconds = a * size ** b``, whose exponent b is stated: 1 is linear growth, 0 none, and -1 what an
ideal machine makes of more workers. Since fixed costs flatten the curve at small sizes, the
exponent between the two greatest sizes stands beside that of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import raydp_ml
from benchmarks.fit import fit_ours
from benchmarks.growth import exponent, last_exponent
from benchmarks.harness import Contender, Measured, Table, Target, compare
from benchmarks.options import Options
from benchmarks.regression_data import FEATURES, LABEL, regression_frame
from benchmarks.spark import cached, garbage_collector, partitions, session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EXCHANGE, FIT = "from_spark", "fit"
ROWS, QUICK_ROWS = (10_000, 100_000, 1_000_000, 10_000_000), (1_000, 10_000)
WORKERS, QUICK_WORKERS = (1, 2, 3, 4), (1, 2)
PARTITIONS, QUICK_PARTITIONS = (1, 10, 100, 1000), (1, 10)
Point = tuple[int, list[Contender]]
"""A size, and what is measured at it."""


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Vary the rows, then the workers, then the partitions."""
    most = options.rows_or(ROWS[-1], QUICK_ROWS[-1])
    rows = [*(n for n in (QUICK_ROWS if options.quick else ROWS) if n < most), most]
    middle = min(1_000_000, most)
    workers = QUICK_WORKERS if options.quick else WORKERS
    counts = QUICK_PARTITIONS if options.quick else PARTITIONS
    (mode,) = options.modes or ("local",)
    # More workers than cores are worth a look too.
    with session(options, mode, cpus=max(*workers, options.workers)) as spark:
        held_out = regression_frame(spark, 20_000, 1000, partitions(spark)).toPandas()
        usual, settle = partitions(spark), garbage_collector(spark)

        def grown(axis: str, points: Iterable[Point], *held: str) -> Table:
            title = f"By {axis}: {', '.join(held)}"
            return _grown(axis, title, points, options, settle)

        def both(axis: Sequence[int], shape: Any) -> Iterator[Point]:
            for size in axis:
                with _cached(spark, *shape(size)) as df:
                    yield size, [_exchange(df), _fit(df, options.workers, held_out)]

        def each_worker() -> Iterator[Point]:
            with _cached(spark, middle, usual) as df:
                for count in workers:
                    yield count, [_fit(df, count, held_out)]

        width, gang = f"{len(FEATURES)} features", f"{options.workers} workers of 1 thread"
        tables = [
            grown("rows", both(rows, lambda n: (n, usual)), width, gang),
            grown("workers", each_worker(), f"{middle:,} rows", f"{os.cpu_count()} CPUs"),
            grown("partitions", both(counts, lambda n: (middle, n)), f"{middle:,} rows", gang),
        ]
    return tables, targets(tables[0])


@contextmanager
def _cached(spark: SparkSession, rows: int, count: int) -> Iterator[DataFrame]:
    df = cached(regression_frame(spark, rows, 0, count))
    try:
        yield df
    finally:
        df.unpersist()


def _exchange(df: DataFrame) -> Contender:
    return Contender(
        EXCHANGE,
        lambda: raydp_ml.from_spark(df),
        check=lambda blocks: {"blocks": len(blocks.refs), "rows exported": blocks.num_rows},
        release=lambda blocks: blocks.free(),
    )


def _fit(df: DataFrame, workers: int, held_out: Any) -> Contender:
    return Contender(
        FIT,
        lambda: fit_ours(df, workers),
        check=lambda model: {"held-out R²": model.score(held_out, LABEL)},
    )


def _grown(
    axis: str,
    title: str,
    points: Iterable[Point],
    options: Options,
    settle: Callable[[], Any],
) -> Table:
    """Measure at each size; the note states how the cost grows."""
    rows: list[Measured] = []
    for size, contenders in points:
        # Of the JVM's code, what is hot at one size is so at the next; more workers are new ones.
        rounds = 1 if rows and axis != "workers" else None
        about = f"{axis} {size:,}"
        table = compare(about, contenders, options, settle, rounds)
        for row in table.rows:
            row.facts = {axis: size} | row.facts
        rows += table.rows
    return Table(title, rows, growth_of(axis, rows), axis=axis)


def growth_of(axis: str, rows: Sequence[Measured]) -> str:
    """State the exponents of each contender."""
    said = []
    for name in dict.fromkeys(row.name for row in rows):
        points = _points(axis, rows, name)
        if len(points) > 1:
            sizes, costs = zip(*points, strict=True)
            whole, last = exponent(sizes, costs), last_exponent(sizes, costs)
            said.append(f"{name} grows as {axis}^{whole:.2f}, in the last step as ^{last:.2f}")
    return "; ".join(said)


def _points(axis: str, rows: Sequence[Measured], name: str) -> list[tuple[float, float]]:
    return [(row.facts[axis], row.median) for row in rows if row.name == name and row.seconds]


def targets(by_rows: Table) -> list[Target]:
    """At most linear growth with the rows."""
    found = []
    for name in (EXCHANGE, FIT):
        points = _points(by_rows.axis, by_rows.rows, name)
        value = last_exponent(*zip(*points, strict=True)) if len(points) > 1 else None
        text = f"{name}: exponent of its growth with {by_rows.axis}, last step"
        found.append(Target(text, value, 1.1))
    return found
