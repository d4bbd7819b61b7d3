"""In-memory frames and handles on data in Ray, as Arrow tables or `Blocks`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.dataset_blocks import from_dataset
from raydp_ml.exchange.pandas_frames import pandas_table

if TYPE_CHECKING:
    import polars as pl


def named_table(X: Any, kind: str) -> pa.Table:
    """Return a frame (pandas, polars, Arrow, Blocks, Ray Dataset) as an Arrow table."""
    if kind == "arrow":
        return X if isinstance(X, pa.Table) else pa.Table.from_batches([X])
    if kind == "polars":
        return _polars_table(X.collect() if type(X).__name__ == "LazyFrame" else X)
    if kind == "pandas":
        return pandas_table(X)
    if kind == "blocks":
        return X.to_arrow()
    return from_dataset(X).to_arrow()


def exact_integers(table: pa.Table) -> dict[str, np.ndarray]:
    """Return columns of integers of which pandas would make other numbers, as objects.

    Those are integers beside nulls, some of them beyond 2**53: pandas has doubles for both. The
    objects are integers, and NaN for null.
    """
    made = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_integer(column.type) and column.null_count):
            continue
        ends = pc.min_max(column).as_py().values()
        if any(end is not None and abs(end) > 2**53 for end in ends):
            values = column.to_pandas(integer_object_nulls=True).to_numpy(dtype=object)
            made[name] = np.where(column.is_null(), np.nan, values)
    return made


# Of objects polars hands on their addresses in memory, and of such integers a type of its own.
_REMEDIES = {
    "Object": "Make it text, as in frame.with_columns(pl.col({name!r}).map_elements(str, "
    "return_dtype=pl.String))",
    "Int128": "Cast it, as in frame.with_columns(pl.col({name!r}).cast(pl.Decimal(38, 0)))",
}
_REMEDIES["UInt128"] = _REMEDIES["Int128"]


def _polars_table(frame: pl.DataFrame) -> pa.Table:
    """Return a polars frame as an Arrow table.

    Raises
    ------
    SchemaError
        For a column of a type that Arrow has not.
    """
    for name, kind in frame.schema.items():
        if remedy := next(filter(None, map(_REMEDIES.get, _type_names(kind))), None):
            raise SchemaError(
                f"Column {name!r} of the polars DataFrame has the type {kind}, which Arrow has "
                f"not. {remedy.format(name=name)}, or drop it: frame.drop({name!r})."
            )
    return frame.to_arrow()


def _type_names(kind: Any) -> Iterator[str]:
    """Name a polars type, and those inside it."""
    yield kind.base_type().__name__
    inner = getattr(kind, "inner", None)
    for part in [
        *([] if inner is None else [inner]),
        *(f.dtype for f in getattr(kind, "fields", ())),
    ]:
        yield from _type_names(part)
