"""Which rows are ranked together: runs of equal groups, and the rows at which a new one begins."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.layout import Layout, one_array


def group_sizes(table: pa.Table, layout: Layout) -> np.ndarray:
    """Return the lengths of the runs of equal groups, in the order of the rows."""
    return np.array([count for _, count in group_runs(table.column(layout.group))], dtype=np.uint32)


def group_runs(column: pa.ChunkedArray) -> list[tuple[Hashable, int]]:
    """Return the runs of equal values of a column as (value, length)."""
    array = one_array(column)
    if len(array) == 0:
        return []
    if pat.is_dictionary(array.type):
        array = array.dictionary_decode()
    codes = pc.index_in(array, pc.unique(array)).to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    values = array.take(pa.array(starts)).to_pylist()
    lengths = np.diff(np.append(starts, len(codes))).tolist()
    return list(zip(values, lengths, strict=True))


def part_group_runs(part: Part) -> list[tuple[Hashable, int]]:
    """Return the runs of equal groups of one part (runs on the worker)."""
    group = part.layout.group
    return list(chain.from_iterable(group_runs(table.column(group)) for table in part.tables()))


def whole_groups(tables: Iterable[pa.Table], group: str) -> Iterator[pa.Table]:
    """Yield the rows of tables cut anew, so that no group is in two of them.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        The rows of a group are next to each other.
    group : str
        The column of the groups.
    """
    rest = None  # the last group so far: it may go on in the next table
    for table in tables:
        rows = table if rest is None else pa.concat_tables([rest, table])
        *_, (_, last) = group_runs(rows.column(group)) or [(None, 0)]
        yield rows.slice(0, len(rows) - last)
        rest = rows.slice(len(rows) - last)
    if rest is not None:
        yield rest


def group_boundaries(runs: Sequence[tuple[Hashable, int]]) -> list[int]:
    """Return the rows at which a new group begins.

    Parameters
    ----------
    runs : sequence of (group, length)
        Runs of equal groups in the order of the rows; a cut between two shards may have split
        one into two.

    Raises
    ------
    SchemaError
        If the rows of a group are not next to each other.
    """
    boundaries, seen, row, last = [], set(), 0, object()
    for value, length in runs:
        if value != last:
            if value in seen:
                raise SchemaError(
                    f"The rows of each group must be next to each other, and those of {value!r} "
                    "are not. Sort the data by its group column first."
                )
            seen.add(value)
            boundaries.append(row)
            last = value
        row += length
    return boundaries
