"""In-memory frames and handles on data in Ray, as Arrow tables or `Blocks`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydp_ml.exchange.dataset_blocks import from_dataset
from raydp_ml.exchange.pandas_frames import pandas_table


def named_table(X: Any, kind: str) -> pa.Table:
    """Return a frame (pandas, polars, Arrow, Blocks, Ray Dataset) as an Arrow table."""
    if kind == "arrow":
        return X if isinstance(X, pa.Table) else pa.Table.from_batches([X])
    if kind == "polars":
        frame = X.collect() if type(X).__name__ == "LazyFrame" else X
        return frame.to_arrow()
    if kind == "pandas":
        return pandas_table(X)
    if kind == "blocks":
        return X.to_arrow()
    return from_dataset(X).to_arrow()
