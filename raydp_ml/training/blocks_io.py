"""Reading a worker's share of the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raydp_ml.exchange.blocks import fetch
from raydp_ml.exchange.sharding import Shard
from raydp_ml.exchange.unify import aligned


def read_shard(refs: Sequence[Any], shard: Shard, schema: pa.Schema) -> pa.Table:
    """Rows of one shard, as views of the object store where the blocks are on this node.

    Parameters
    ----------
    refs : sequence of ray.ObjectRef
        All blocks.
    shard : Shard
        Which slices of them to take.
    schema : pyarrow.Schema
        That of the Blocks, to which each block is brought.

    Raises
    ------
    DataLostError
        A block is gone.
    SchemaError
        A block has other columns or types.
    """
    tables = fetch([refs[block] for block, _, _ in shard])
    parts = [
        table.slice(start, stop - start)
        for table, (_, start, stop) in zip(tables, shard, strict=True)
    ]
    return pa.concat_tables([aligned(part, schema, "the training data") for part in parts])
