"""In-memory frames and handles on data in Ray, as Arrow tables or `Blocks`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks import Blocks


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
    return dataset_blocks(X).to_arrow()


def dataset_blocks(dataset: Any) -> Any:
    """Return a ``ray.data.Dataset`` as `Blocks`, without a copy through the driver."""
    import ray

    refs = dataset.materialize().to_arrow_refs()
    measure = ray.remote(_measure)
    measured = ray.get([measure.remote(ref) for ref in refs])
    kept = [(ref, item) for ref, item in zip(refs, measured, strict=True) if item[0]]
    schema = kept[0][1][2] if kept else (measured[0][2] if measured else pa.schema([]))
    node = ray.get_runtime_context().get_node_id()
    return Blocks(
        [ref for ref, _ in kept],
        [item[0] for _, item in kept],
        sum(item[1] for _, item in kept),
        schema,
        [node] * len(kept),
    )


def _measure(table: pa.Table) -> tuple[int, int, pa.Schema]:
    return table.num_rows, table.nbytes, table.schema
