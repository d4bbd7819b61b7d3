"""Reading a worker's share of the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raydp_ml.exchange.blocks import fetch
from raydp_ml.exchange.sharding import Shard


def read_shard(refs: Sequence[Any], shard: Shard) -> pa.Table:
    """Rows of one shard, as views of the object store where the blocks are on this node.

    Parameters
    ----------
    refs : sequence of ray.ObjectRef
        All blocks.
    shard : Shard
        Which slices of them to take; not empty, since nothing has no schema.

    Raises
    ------
    DataLostError
        A block is gone.
    """
    tables = fetch([refs[block] for block, _, _ in shard])
    parts = [
        table.slice(start, stop - start)
        for table, (_, start, stop) in zip(tables, shard, strict=True)
    ]
    return pa.concat_tables(parts)
