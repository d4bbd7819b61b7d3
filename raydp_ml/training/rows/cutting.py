"""Which rows each worker trains and evaluates on: data sets cut into parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import pyarrow as pa

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.sharding import Shard, shard_by_node, shard_rows
from raydp_ml.training.rows.chosen import Chosen
from raydp_ml.training.rows.data_sets import DataSet, Part
from raydp_ml.training.rows.layout import Layout
from raydp_ml.training.rows.ranking_groups import group_boundaries, part_group_runs


class Workers(Protocol):
    """As much of a gang as an inspection needs."""

    size: int
    node_ids: Sequence[str]

    def run(self, function: Callable[..., Any], args: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run ``function(*args[rank])`` on each worker."""


def by_use(data: DataSet, gang: Workers) -> list[DataSet]:
    """Return the rows to train on and, where there are such, those marked for validation.

    Each is cut by itself then, so that a worker gets its share of both wherever they are. Rows of
    weight zero are not among those to train on.

    Raises
    ------
    SchemaError
        If marks are null, or all rows are marked.
    """
    marks, weight = data.layout.validation, data.layout.weight
    if marks is None and weight is None:
        return [data]
    counts = _counted(data, gang)
    _check_marks(data, counts)
    data = replace(data, layout=replace(data.layout, validation=None))
    trained = tuple(of.trained for of in counts)
    marked = tuple(of.marked for of in counts)
    left_out = sum(of.weightless for of in counts)
    if not sum(trained):
        # All weights are zero, and that is what the error has to say.
        trained, weight, left_out = tuple(of.weightless for of in counts), None, 0
    if sum(marked) or left_out:
        chosen = Chosen(marks, False, weight)
        sets = [replace(data, chosen=chosen, counts=trained, left_out=left_out)]
    else:
        sets = [data]
    if sum(marked):
        chosen = Chosen(marks, True)
        sets.append(replace(data, what="validation rows", chosen=chosen, counts=marked))
    return sets


@dataclass(frozen=True)
class Counts:
    """How many rows of a table are what.

    Attributes
    ----------
    trained, weightless, marked : int
        Rows to train on, others of weight zero, and rows marked for validation: all there are.
    null : int
        Rows whose mark is null.
    """

    trained: int = 0
    weightless: int = 0
    marked: int = 0
    null: int = 0

    @classmethod
    def of(cls, table: pa.Table, layout: Layout) -> Counts:
        """Count the rows of a table."""
        marks = layout.validation
        marked = 0 if marks is None else Chosen(marks, True).count(table)
        trained = Chosen(marks, False, layout.weight).count(table)
        null = 0 if marks is None else table.column(marks).null_count
        return cls(trained, len(table) - marked - trained, marked, null)


def _counted(data: DataSet, gang: Workers) -> list[Counts]:
    """Count the rows of each block."""
    if data.table is not None:
        return [Counts.of(data.table, data.layout)]
    rows = data.blocks.block_rows
    parts = []
    for shard in shard_by_node(rows, data.blocks.node_ids, gang.node_ids):
        # A worker counts the blocks whose first rows it has.
        whole = tuple((block, 0, rows[block]) for block, start, _ in shard if start == 0)
        parts += _parts(data, [whole])
    found = dict(chain.from_iterable(gang.run(count_blocks, [(part,) for part in parts])))
    return [found.get(block, Counts()) for block in range(len(rows))]


def count_blocks(part: Part) -> list[tuple[int, Counts]]:
    """Count the rows of each block of a part (runs on the worker)."""
    pieces = [replace(part, shard=(piece,)) for piece in part.shard]
    return [(piece.shard[0][0], Counts.of(piece.read(), part.layout)) for piece in pieces]


def _check_marks(data: DataSet, counts: Sequence[Counts]) -> None:
    column = data.layout.validation
    rows = sum(of.trained + of.weightless + of.marked for of in counts)
    if null := sum(of.null for of in counts):
        raise SchemaError(
            f"The validation column {column!r} holds {null} null of {rows} values. "
            f"Fill them with true or false: df.fillna(False, {column!r})."
        )
    if rows and rows == sum(of.marked for of in counts):
        raise SchemaError(
            f"The {data.what} has no rows, since the column {column!r} marks all {rows} rows "
            "for validation. Check the filters and joins before it."
        )


def cut(data: DataSet, gang: Workers, task: str, ranks: Sequence[int]) -> list[Part]:
    """Return a part for every worker, without rows for those that are not among `ranks`.

    Parameters
    ----------
    data : DataSet
    gang : Workers
    task : {"regression", "classification", "ranking"}
    ranks : sequence of int
        Workers among which the rows are divided evenly.
    """
    if data.table is not None:
        table = data.table if data.chosen is None else data.chosen.rows(data.table)
        return [Part(data.layout, data.schema, table=table)]

    def spread(shards: Sequence[Shard]) -> list[Part]:
        of = dict(zip(ranks, shards, strict=True))
        return _parts(data, [of.get(rank, ()) for rank in range(gang.size)])

    rows = data.block_rows
    if task != "ranking":
        nodes = [gang.node_ids[rank] for rank in ranks]
        return spread(shard_by_node(rows, data.blocks.node_ids, nodes))
    # The rows of a group stay together, wherever they are.
    runs = gang.run(part_group_runs, [(part,) for part in spread(shard_rows(rows, len(ranks)))])
    boundaries = group_boundaries([run for shard in runs for run in shard])
    return spread(shard_rows(rows, len(ranks), boundaries))


def _parts(data: DataSet, shards: Sequence[Shard]) -> list[Part]:
    refs = tuple(data.blocks.refs)
    return [
        Part(data.layout, data.schema, refs=refs, shard=shard, chosen=data.chosen)
        for shard in shards
    ]
