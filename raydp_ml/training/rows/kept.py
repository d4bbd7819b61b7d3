"""What one training makes of its rows and the next one of the same rows can use again."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar, cast

import pyarrow as pa

_Made = TypeVar("_Made")

_MOST = 2
"""So many things are kept: the matrix to train on, and one more while it is replaced."""


class Kept:
    """What was made of some rows, by what it was made of.

    The rows are kept as well: an address in memory names a column only as long as it lives.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, tuple[object, pa.Table]] = OrderedDict()

    def take(self, key: Hashable, rows: pa.Table, make: Callable[[], _Made]) -> _Made:
        """Return what was made before, or make it."""
        if key not in self._made:
            while len(self._made) >= _MOST:
                self._made.popitem(last=False)
            self._made[key] = (make(), rows)
        self._made.move_to_end(key)
        return cast("_Made", self._made[key][0])


_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def keeping(kept: Kept) -> Iterator[None]:
    """Keep what the trainings within a ``with`` block make, and use what is kept already."""
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)


def made_once(
    table: pa.Table,
    columns: Sequence[str],
    about: Callable[[], Hashable],
    make: Callable[[], _Made],
) -> _Made:
    """Make something of a table's columns, unless the same was kept.

    Parameters
    ----------
    table : pyarrow.Table
        Whose values are never changed.
    columns : sequence of str
        Those that it is made of.
    about : callable
        Returns what else it is made of.
    make : callable
    """
    kept = _kept.get()
    if kept is None:
        return make()
    key = (about(), tuple((name, _addresses(table.column(name))) for name in columns))
    return kept.take(key, table, make)


def _addresses(column: pa.ChunkedArray) -> tuple[Hashable, ...]:
    # A validity bitmap is made anew for each conversion of a pandas column; what is null in the
    # same values does not change.
    return tuple(
        (
            chunk.offset,
            len(chunk),
            tuple(buffer.address for buffer in chunk.buffers()[1:] if buffer is not None),
        )
        for chunk in column.chunks
    )
