"""In-memory frames and handles on data in Ray, as Arrow tables or `Blocks`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks import from_dataset


def plain_columns(frame: Any) -> Any:
    """Return a pandas frame with what Arrow has no type for as what it has.

    Sparse columns become dense ones, which hold their fill value; ``pyspark.ml`` vectors, as
    ``toPandas`` leaves them, become arrays.
    """
    made = {}
    for place, kind in enumerate(frame.dtypes):
        column = frame.iloc[:, place]
        if type(kind).__name__ == "SparseDtype":
            made[place] = column.sparse.to_dense()
        elif kind.kind == "O" and _is_vector(column.dropna().head(1)):
            made[place] = column.map(lambda x: x.toArray() if _is_vector([x]) else None)
    if not made:
        return frame
    import pandas as pd

    columns = [made.get(place, frame.iloc[:, place]) for place in range(frame.shape[1])]
    return pd.concat(columns, axis=1)


def _is_vector(values: Any) -> bool:
    return any(type(value).__module__ == "pyspark.ml.linalg" for value in values)


def named_table(X: Any, kind: str) -> pa.Table:
    """Return a frame (pandas, polars, Arrow, Blocks, Ray Dataset) as an Arrow table."""
    if kind == "arrow":
        return X if isinstance(X, pa.Table) else pa.Table.from_batches([X])
    if kind == "polars":
        frame = X.collect() if type(X).__name__ == "LazyFrame" else X
        return frame.to_arrow()
    if kind == "pandas":
        try:
            return pa.Table.from_pandas(plain_columns(X), preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"The pandas DataFrame holds a column that Arrow cannot take: {error}. "
                "Give each column values of one type."
            ) from error
    if kind == "blocks":
        return X.to_arrow()
    return from_dataset(X).to_arrow()
