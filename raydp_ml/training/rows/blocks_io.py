"""Reading a worker's share of the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from raydp_ml.exchange.blocks import fetch
from raydp_ml.exchange.sharding import Shard, shard_rows
from raydp_ml.exchange.unify import aligned
from raydp_ml.training.rows.chosen import Chosen

if TYPE_CHECKING:
    import ray

    from raydp_ml.exchange.blocks import Blocks


@dataclass(frozen=True)
class EveryRow:
    """All rows of some blocks, for a worker that holds them whole."""

    refs: tuple[ray.ObjectRef[pa.Table], ...]
    shard: tuple[tuple[int, int, int], ...]
    schema: pa.Schema

    @classmethod
    def of(cls, blocks: Blocks) -> EveryRow:
        """Refer to the rows of blocks."""
        (shard,) = shard_rows(blocks.block_rows, 1)
        return cls(tuple(blocks.refs), tuple(shard), blocks.schema)

    def read(self) -> pa.Table:
        """Return the rows, as `read_shard` does."""
        return read_shard(self.refs, self.shard, self.schema)


def read_shard(
    refs: Sequence[ray.ObjectRef[pa.Table]],
    shard: Shard,
    schema: pa.Schema,
    chosen: Chosen | None = None,
) -> pa.Table:
    """Rows of one shard, as views of the object store where the blocks are on this node.

    Parameters
    ----------
    refs : sequence of ray.ObjectRef
        All blocks.
    shard : Shard
        Which slices of them to take.
    schema : pyarrow.Schema
        That of the Blocks, to which each block is brought.
    chosen : Chosen, optional
        Which rows the slices count; others between them come along.

    Raises
    ------
    DataLostError
        A block is gone.
    SchemaError
        A block has other columns or types.
    """
    tables = fetch([refs[block] for block, _, _ in shard])
    parts = []
    for table, (_, start, stop) in zip(tables, shard, strict=True):
        first, last = (start, stop) if chosen is None else chosen.span(table, start, stop)
        parts.append(table.slice(first, last - first))
    return pa.concat_tables([aligned(part, schema, "the training data") for part in parts])
