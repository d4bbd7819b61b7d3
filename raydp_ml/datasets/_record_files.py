"""Files of records in a known layout, read by Spark once their columns have been looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.sql_text import select

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_NUMBERS = ("int", "bigint", "double")


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
    _check_values(path, records, types)
    return select(
        records,
        *(
            f"{_cast('cast', name, types[name])} as `{name}`" if name in types else f"`{name}`"
            for name in records.columns
        ),
    )


def _check_values(path: Path, records: DataFrame, types: Mapping[str, str]) -> None:
    """Raise for a value that is not of its column's type; later, a query would fail midway."""
    changed = [name for name, kind in records.dtypes if types.get(name, kind) != kind]
    if not changed:
        return
    misfits = select(
        records,
        *(
            f"min({_value(name, types[name])}) "
            f"filter (where {_cast('try_cast', name, types[name])} is null) as `{name}`"
            for name in changed
        ),
    ).first()
    wrong = [
        f"{name!r} has {value!r}, and must be of type {types[name]}"
        for name, value in zip(changed, misfits or (), strict=True)
        if value is not None
    ]
    if wrong:
        raise SchemaError(f"{path}: column {'; column '.join(wrong)}")


def _is_csv(path: Path) -> bool:
    return ".csv" in path.suffixes


def _value(name: str, kind: str) -> str:
    """SQL of a column's value as it was read; pandas writes NaN for a number that is not known."""
    if kind in _NUMBERS:
        return f"if(isnan(try_cast(`{name}` as double)), null, `{name}`)"
    return f"`{name}`"


def _cast(cast: str, name: str, kind: str) -> str:
    value = _value(name, kind)
    if kind in _NUMBERS:  # A count may be written as 1.0.
        value = f"{cast}({value} as double)"
    return f"{cast}({value} as {kind})"
