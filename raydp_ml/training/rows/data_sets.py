"""The rows of a training: whole data sets, and the part of one that a worker reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raydp_ml.training.rows.chosen import Chosen
from raydp_ml.training.rows.layout import Layout

if TYPE_CHECKING:
    import ray


SLICE_BYTES = 8 << 20
"""Of the rows that are read at a time, where a worker does not hold them all."""


@dataclass(frozen=True)
class DataSet:
    """Rows to train on or to evaluate on.

    Attributes
    ----------
    layout : Layout
    table : pyarrow.Table or None
    blocks : Blocks or None
        One of the two.
    what : str
        What the errors call it.
    chosen : Chosen or None
        Which rows of the table or of the blocks these are; None for all of them.
    counts : tuple of int
        How many of these rows are in each block, where `chosen` says which.
    left_out : int
        How many others there are, of weight zero.
    """

    layout: Layout
    table: pa.Table | None = None
    blocks: Any = None
    what: str = "training data"
    chosen: Chosen | None = None
    counts: tuple[int, ...] = ()
    left_out: int = 0

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the rows."""
        return self.table.schema if self.table is not None else self.blocks.schema

    @property
    def block_rows(self) -> Sequence[int]:
        """How many rows are in each block."""
        return self.blocks.block_rows if self.chosen is None else self.counts

    @property
    def nbytes(self) -> int:
        """Size of the rows in bytes."""
        return int(self.table.nbytes if self.table is not None else self.blocks.nbytes)


@dataclass(frozen=True)
class Part:
    """The rows of one data set that one worker reads.

    Attributes
    ----------
    layout : Layout
    schema : pyarrow.Schema
    table : pyarrow.Table or None
        The rows themselves, for training in the driver's process.
    refs, shard : tuple
        Otherwise the blocks, and the slices of them that are this worker's.
    chosen : Chosen or None
        Which rows of the blocks there are: slices count no others.
    """

    layout: Layout
    schema: pa.Schema
    table: pa.Table | None = None
    refs: tuple[ray.ObjectRef[pa.Table], ...] = ()
    shard: tuple[tuple[int, int, int], ...] = ()
    chosen: Chosen | None = None

    def num_rows(self) -> int:
        """How many rows there are."""
        if self.table is not None:
            return len(self.table)
        return sum(stop - start for _, start, stop in self.shard)

    def read(self) -> pa.Table:
        """Return the rows (views of the object store where they are not in this process)."""
        if self.table is not None:
            return self.table
        if not self.shard:
            return self.schema.empty_table()
        return self._only_chosen(self._span(self.shard))

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, some megabytes at a time and none of them held; first a table of none."""
        yield self.schema.empty_table()
        if self.table is not None:
            yield from sliced(self.table)
            return
        for piece in self.shard:
            yield from map(self._only_chosen, sliced(self._span((piece,))))

    def _span(self, shard: tuple[tuple[int, int, int], ...]) -> pa.Table:
        from raydp_ml.training.rows.blocks_io import read_shard

        return read_shard(self.refs, shard, self.schema, self.chosen)

    def _only_chosen(self, table: pa.Table) -> pa.Table:
        return table if self.chosen is None else self.chosen.rows(table)


def sliced(table: pa.Table) -> Iterator[pa.Table]:
    """Yield a table in slices of at most `SLICE_BYTES`."""
    count = max(1, -(-table.nbytes // SLICE_BYTES))
    step = max(1, -(-len(table) // count))
    for start in range(0, len(table), step):
        yield table.slice(start, step)
