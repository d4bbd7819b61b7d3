"""How fast does a Spark DataFrame become Arrow data in Ray, and come back?

Every contender of the first table ends with the whole data readable in the driver: as blocks in
Ray's object store that it maps, or as a table or frame of its own. The floors end with nothing:
they are the conversion to Arrow inside the JVM, without which none can do. In the second table the
data starts as an Arrow table in the driver and ends when Spark has read every row.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.session import cached, garbage_collector, partitions, session
from raydp_ml.exchange import jvm, to_spark
from raydp_ml.exchange.spark_to_blocks import export

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = [f"x{i}" for i in range(10)]
OURS, OURS_ROWS, OURS_PYTHON = "from_spark", "from_spark, by rows", "from_spark, without the jar"
TO_ARROW, FLOOR_ROWS, FLOOR = "df.toArrow()", "floor: rows", "floor: columns"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run both directions."""
    rows = options.rows_or(4_000_000, 50_000)
    with session(options) as spark, _memory_folder() as folder:
        df = cached(_random(spark, rows))
        settle = garbage_collector(spark)
        title = f"Spark to Arrow: {rows:,} rows x {len(COLUMNS)} doubles, cached"
        out = compare(title, _to_arrow(df, folder), options, settle)
        table = df.toArrow().combine_chunks()
        df.unpersist()
        title = f"Arrow to Spark: the same, read by Spark ({spark.sparkContext.master})"
        back = compare(title, _to_spark(table, spark, folder), options, settle)
    return [out, back], _targets(out, back)


def _random(spark: SparkSession, rows: int) -> DataFrame:
    from pyspark.sql.functions import rand

    ids = spark.range(rows, numPartitions=partitions(spark))
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

    def ours(**path: Any) -> Callable[[], Any]:
        def run() -> tuple[pa.Table, Any]:
            blocks = export(df, **path)
            return blocks.to_arrow(), blocks

        return run

    def parquet() -> pa.Table:
        df.write.option("compression", "none").parquet(str(files))
        return pq.read_table(files)

    def converted(use_columns: bool) -> Callable[[], int]:
        return lambda: floor.run(df._jdf, zone, use_columns)

    exported: dict[str, Any] = {
        "check": lambda result: facts_of(result[0]),
        "release": lambda result: result[1].free(),
    }
    return [
        Contender(OURS, ours(), **exported),
        Contender(OURS_ROWS, ours(use_columns=False), **exported),
        Contender(OURS_PYTHON, ours(use_jar=False), **exported),
        Contender(TO_ARROW, df.toArrow, facts_of),
        Contender("df.toPandas()", df.toPandas, facts_of),
        Contender("Parquet and read", parquet, facts_of, lambda _: shutil.rmtree(files)),
        Contender(FLOOR_ROWS, converted(False), lambda count: {"rows": count}),
        Contender(FLOOR, converted(True), lambda count: {"rows": count}),
    ]


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

    def read(df: DataFrame) -> DataFrame:
        df.write.format("noop").mode("overwrite").save()
        return df

    def through_parquet() -> DataFrame:
        pq.write_table(table, files, compression="none")
        return read(spark.read.parquet(str(files)))

    def facts(df: DataFrame) -> dict[str, Any]:
        return facts_of(df.toArrow())

    return [
        Contender("to_spark", lambda: read(to_spark(table, spark)), facts),
        Contender("spark.createDataFrame", lambda: read(spark.createDataFrame(table)), facts),
        Contender("Parquet and read", through_parquet, facts, lambda _: files.unlink()),
    ]


def _targets(out: Table, back: Table) -> list[Target]:
    ours = out[OURS].median
    by_rows = out[OURS_ROWS].median / out[FLOOR_ROWS].median
    faster = "times as fast as"
    return [
        Target(f"from_spark is {faster} toArrow()", out[TO_ARROW].median / ours, 6, at_least=True),
        Target("from_spark takes, of the floor of rows", ours / out[FLOOR_ROWS].median, 1.7),
        Target("from_spark takes, of the floor of columns", ours / out[FLOOR].median, 1.7),
        Target("from_spark by rows takes, of the floor of rows", by_rows, 1.7),
        Target(
            f"to_spark is {faster} createDataFrame",
            back["spark.createDataFrame"].median / back["to_spark"].median,
            1,
            at_least=True,
        ),
    ]
