"""Files of records in a known layout, read by Spark once their columns have been looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset

from raydp_ml.exceptions import SchemaError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def check_columns(path: Path, needed: Sequence[str]) -> None:
    """Raise unless `path` is CSV or Parquet that has the columns `needed`; Spark is not asked."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    kind = "CSV" if _is_csv(path) else "Parquet"
    try:
        names = pyarrow.dataset.dataset(path, format=kind.lower()).schema.names
    except (OSError, pa.ArrowInvalid) as error:
        raise SchemaError(f"cannot read {path} as {kind}: {error}") from error
    missing = [name for name in needed if name not in names]
    if missing:
        raise SchemaError(f"{path} lacks the columns {missing}; it has {names}")


def read_records(spark: SparkSession, path: Path, layout: DataFrame) -> DataFrame:
    """Read a file or folder; the columns that `layout` has get its types, others stay."""
    place = f"file://{path.absolute()}"
    records = spark.read.csv(place, header=True) if _is_csv(path) else spark.read.parquet(place)
    types = dict(layout.dtypes)
    return records.selectExpr(*(_as_type(name, types.get(name)) for name in records.columns))


def _is_csv(path: Path) -> bool:
    return ".csv" in path.suffixes


def _as_type(name: str, kind: str | None) -> str:
    if kind is None:
        return f"`{name}`"
    # A count may be written as 1.0, and pandas writes what is not known as NaN.
    numeric = kind in ("int", "bigint", "double")
    value = f"nullif(cast(`{name}` as double), double('NaN'))" if numeric else f"`{name}`"
    return f"cast({value} as {kind}) as `{name}`"
