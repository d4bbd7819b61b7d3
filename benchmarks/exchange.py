"""How fast does a Spark DataFrame become Arrow data in Ray, and come back?

Every contender of the first table ends with the whole data readable in the driver: as blocks in
Ray's object store that it maps, or as a table or frame of its own. The floors end with nothing:
they are the conversion to Arrow inside the JVM, without which none can do. In the second table the
data starts as an Arrow table in the driver and ends when Spark has read every row. With several
modes, the rivals run in the first of them, and two more tables compare the modes with each other on
the same rows in as many partitions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Contender, Measured, Table, Target, compare, turns
from benchmarks.options import MODES, Options
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.exchange import jvm, to_spark
from raydp_ml.exchange.spark_to_blocks import export

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = [f"x{i}" for i in range(10)]
OURS, OURS_ROWS, OURS_PYTHON = "from_spark", "from_spark, by rows", "from_spark, without the jar"
TO_SPARK, CREATED = "to_spark", "spark.createDataFrame"
_VISITS = 2
# Times the usual warm-up: of several JVMs, each does a part of what would make one of them warm.
_WARM_UPS = 4
TO_ARROW, FLOOR_ROWS, FLOOR = "df.toArrow()", "floor: rows", "floor: columns"
NOOP = "a noop job"
PARTITIONS = (8, 200, 1000, 5000)


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run both directions: beside their rivals in the first mode, then in each mode."""
    modes = options.modes or MODES
    out, back = _rivals(options, modes[0])
    tables, targets = [out, back], _targets(out, back)
    by_partitions = _by_partitions(options, modes[0])
    tables += by_partitions.values()
    targets += partition_targets(by_partitions)
    if len(modes) > 1:
        by_mode = _by_mode(options, modes)
        tables += by_mode
        targets += mode_targets(by_mode)
    return tables, targets


def _rivals(options: Options, mode: str) -> tuple[Table, Table]:
    rows = options.rows_or(4_000_000, 50_000)
    with session(options, mode) as spark, _memory_folder() as folder:
        df = cached(_random(spark, rows, partitions(spark)))
        settle = garbage_collector(spark)
        title = f"Spark to Arrow: {rows:,} rows x {len(COLUMNS)} doubles, cached"
        out = compare(title, _to_arrow(df, folder), options, settle)
        table = df.toArrow().combine_chunks()
        df.unpersist()
        title = f"Arrow to Spark: the same, read by Spark ({spark.sparkContext.master})"
        back = compare(title, _to_spark(table, spark, folder), options, settle)
    for row in (*out.rows, *back.rows):
        row.facts = {"mode": mode} | row.facts
    return out, back


def _by_partitions(options: Options, mode: str) -> dict[int, Table]:
    """Export the same rows in as many partitions as Spark makes by default, and more."""
    rows = options.rows_or(1_000_000, 50_000)
    tables = {}
    with session(options, mode) as spark:
        settle = garbage_collector(spark)
        for count in (8, 200) if options.quick else PARTITIONS:
            df = cached(_random(spark, rows, count))
            contenders = [
                _exported(OURS, df),
                Contender(TO_ARROW, df.toArrow, facts_of),
                Contender(NOOP, partial(_read, df), lambda _: {}),
            ]
            title = f"Spark to Arrow: {rows:,} rows in {count:,} partitions, cached"
            tables[count] = compare(title, contenders, options, settle)
            df.unpersist()
    return tables


def partition_targets(tables: dict[int, Table]) -> list[Target]:
    """Beside Spark's own way at any number of partitions, and a job that does nothing at many."""
    targets = []
    for count, table in tables.items():
        seconds = {row.name: row.median for row in table.rows if row.seconds}
        if OURS in seconds and TO_ARROW in seconds:
            ratio = seconds[TO_ARROW] / seconds[OURS]
            what = f"{TO_ARROW} takes, of {OURS}, in {count:,} partitions"
            targets.append(Target(what, ratio, 1.5, at_least=True))
        if count in (200, 1000) and OURS in seconds and NOOP in seconds:
            what = f"{OURS} takes, of a job that does nothing, in {count:,} partitions"
            targets.append(Target(what, seconds[OURS] / seconds[NOOP], 1.3))
    return targets


def _by_mode(options: Options, modes: Sequence[str]) -> list[Table]:
    """Measure ours in sessions of each mode in turn: a process can hold but one at a time."""
    rows = options.rows_or(4_000_000, 50_000)
    visits = 1 if options.quick else _VISITS
    note = (
        f"Sessions of the modes in turn, {visits} of each, {options.repeat} repetitions in one, on "
        f"the same rows in {4 * options.workers} partitions; {options.workers} executors of 1 "
        "core, or local[*]. All are warm: see the warm-up times in the JSON file."
    )
    found: dict[str, list[Measured]] = {OURS: [], TO_SPARK: []}
    for mode in turns(modes, visits, "sessions of the modes"):
        with session(options, mode) as spark:
            settle = garbage_collector(spark)
            df = _random(spark, rows, 4 * options.workers)
            # Executors that are equally awake cache equally many partitions.
            _read(df)
            df = cached(df)
            out = _exported(mode, df)
            rounds = options.warm_up * _WARM_UPS
            found[OURS] += compare(f"{OURS}, {mode}", [out], options, settle, rounds).rows
            table = df.toArrow().combine_chunks()
            df.unpersist()
            back = _read_back(mode, table, spark)
            found[TO_SPARK] += compare(f"{TO_SPARK}, {mode}", [back], options, settle, rounds).rows
    return [
        Table(f"{name} by mode: {rows:,} rows", joined(name, each), note)
        for name, each in found.items()
    ]


def joined(name: str, seen: Sequence[Measured]) -> list[Measured]:
    """Join what was seen of each mode, whose name a row has so far, and add it as a column."""
    rows: dict[str, Measured] = {}
    for one in seen:
        mode = one.name
        if mode in rows:
            rows[mode].extend(one)
        else:
            rows[mode] = replace(one, name=f"{name} in {mode}", facts={"mode": mode} | one.facts)
    if "local" in rows and rows["local"].seconds:
        for row in rows.values():
            if row.seconds:
                row.facts["of local"] = row.median / rows["local"].median
    return list(rows.values())


def mode_targets(by_mode: Sequence[Table]) -> list[Target]:
    """The native mode beside the local one, where both were measured."""
    natives = [row for table in by_mode for row in table.rows if row.facts["mode"] == "native"]
    return [
        Target(f"{row.name} takes, of local", row.facts["of local"], 1.2)
        for row in natives
        if "of local" in row.facts
    ]


def _random(spark: SparkSession, rows: int, count: int) -> DataFrame:
    from pyspark.sql.functions import rand

    ids = spark.range(rows, numPartitions=count)
    return ids.select(*[rand(seed).alias(name) for seed, name in enumerate(COLUMNS)])


@contextmanager
def _memory_folder() -> Iterator[Path]:
    """A folder without a disk behind it where there is one, which favours Parquet."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def _to_arrow(df: DataFrame, folder: Path) -> list[Contender]:
    spark = df.sparkSession
    files = folder / "out.parquet"
    floor = jvm.java_object(spark, "exchange.ConversionFloor")
    zone = spark.conf.get("spark.sql.session.timeZone")

    def parquet() -> pa.Table:
        df.write.option("compression", "none").parquet(str(files))
        return pq.read_table(files)

    def converted(use_columns: bool) -> Callable[[], int]:
        return lambda: floor.run(df, zone, use_columns)

    return [
        _exported(OURS, df),
        _exported(OURS_ROWS, df, use_columns=False),
        _exported(OURS_PYTHON, df, use_jar=False),
        Contender(TO_ARROW, df.toArrow, facts_of),
        Contender("df.toPandas()", df.toPandas, facts_of),
        Contender("Parquet and read", parquet, facts_of, lambda _: shutil.rmtree(files)),
        Contender(FLOOR_ROWS, converted(False), lambda count: {"rows": count}),
        Contender(FLOOR, converted(True), lambda count: {"rows": count}),
    ]


def _exported(name: str, df: DataFrame, **path: Any) -> Contender:
    def run() -> tuple[pa.Table, Any]:
        blocks = export(df, **path)
        return blocks.to_arrow(), blocks

    return Contender(
        name,
        run,
        check=lambda result: facts_of(result[0]),
        release=lambda result: result[1].free(),
    )


def facts_of(data: Any) -> dict[str, Any]:
    """Rows, and a checksum of the bits of all values, whatever the order of the rows."""
    checksum = 0
    for name in COLUMNS:
        column = data[name]
        chunks: Sequence[Any] = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        bits = (np.asarray(chunk, dtype=np.float64).view(np.uint64) for chunk in chunks)
        checksum = (31 * checksum + sum(int(b.sum(dtype=np.uint64)) for b in bits)) % 2**64
    return {"rows": len(data), "checksum": f"{checksum:016x}"}


def _to_spark(table: pa.Table, spark: SparkSession, folder: Path) -> list[Contender]:
    files = folder / "in.parquet"

    def through_parquet() -> DataFrame:
        pq.write_table(table, files, compression="none")
        return _read(spark.read.parquet(str(files)))

    def created() -> DataFrame:
        return _read(spark.createDataFrame(table))

    return [
        _read_back(TO_SPARK, table, spark),
        Contender(CREATED, created, _facts_of_rows),
        Contender("Parquet and read", through_parquet, _facts_of_rows, lambda _: files.unlink()),
    ]


def _read_back(name: str, table: pa.Table, spark: SparkSession) -> Contender:
    return Contender(name, lambda: _read(to_spark(table, spark)), _facts_of_rows)


def _read(df: DataFrame) -> DataFrame:
    df.write.format("noop").mode("overwrite").save()
    return df


def _facts_of_rows(df: DataFrame) -> dict[str, Any]:
    return facts_of(df.toArrow())


def _targets(out: Table, back: Table) -> list[Target]:
    faster = "times as fast as"
    return [
        Target(f"from_spark is {faster} toArrow()", out.ratio(TO_ARROW, OURS), 6, at_least=True),
        Target("from_spark takes, of the floor of rows", out.ratio(OURS, FLOOR_ROWS), 1.7),
        Target("from_spark takes, of the floor of columns", out.ratio(OURS, FLOOR), 1.7),
        Target(
            "from_spark by rows takes, of the floor of rows", out.ratio(OURS_ROWS, FLOOR_ROWS), 1.7
        ),
        Target(
            f"to_spark is {faster} createDataFrame",
            back.ratio(CREATED, TO_SPARK),
            1,
            at_least=True,
        ),
    ]
