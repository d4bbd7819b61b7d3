"""The rows of a training: whole data sets, and the part of one that a worker reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raydp_ml.training.rows.layout import Layout

if TYPE_CHECKING:
    import ray


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
    """

    layout: Layout
    table: pa.Table | None = None
    blocks: Any = None
    what: str = "training data"

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the rows."""
        return self.table.schema if self.table is not None else self.blocks.schema


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
    """

    layout: Layout
    schema: pa.Schema
    table: pa.Table | None = None
    refs: tuple[ray.ObjectRef[pa.Table], ...] = ()
    shard: tuple[tuple[int, int, int], ...] = ()

    def read(self) -> pa.Table:
        """Return the rows (views of the object store where they are not in this process)."""
        if self.table is not None:
            return self.table
        if not self.shard:
            return self.schema.empty_table()
        from raydp_ml.training.rows.blocks_io import read_shard

        return read_shard(self.refs, self.shard, self.schema)
