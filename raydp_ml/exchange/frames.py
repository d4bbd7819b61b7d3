"""In-memory frames and handles on data in Ray, as Arrow tables or `Blocks`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks import from_dataset


def named_table(X: Any, kind: str) -> pa.Table:
    """Return a frame (pandas, polars, Arrow, Blocks, Ray Dataset) as an Arrow table."""
    if kind == "arrow":
        return X if isinstance(X, pa.Table) else pa.Table.from_batches([X])
    if kind == "polars":
        frame = X.collect() if type(X).__name__ == "LazyFrame" else X
        return frame.to_arrow()
    if kind == "pandas":
        try:
            return pa.Table.from_pandas(X, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"The pandas DataFrame holds a column that Arrow cannot take: {error}. "
                "Give each column values of one type."
            ) from error
    if kind == "blocks":
        return X.to_arrow()
    return from_dataset(X).to_arrow()
