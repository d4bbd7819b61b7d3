"""What a notebook shows of `Blocks`, from what the handle itself knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import pyarrow as pa

_MOST_LINES = 100
"""Of a table; a schema may have thousands of columns."""
_MOST_LETTERS = 200
"""Of a cell: the type of a column that is nested deeply says more than one reads."""


def blocks_html(
    schema: pa.Schema,
    block_rows: Sequence[int],
    nbytes: int,
    node_ids: Sequence[str],
    gone: str | None,
) -> str:
    """Write Blocks as HTML.

    Parameters
    ----------
    schema : pyarrow.Schema
    block_rows : sequence of int
    nbytes : int
    node_ids : sequence of str
        Of each block.
    gone : str or None
        Why the data cannot be read any more.
    """
    facts = (
        f"{sum(block_rows):,} rows × {len(schema)} columns, {nbytes:,} bytes in "
        f"{len(block_rows)} blocks"
    )
    parts = [f"<strong>Blocks</strong>: {facts}"]
    if gone is not None:
        parts.append(f"<br><em>{escape(gone)}</em>")
    columns = ((field.name, str(field.type)) for field in schema)
    parts.append(_folded("Schema", ("Column", "Type"), columns, len(schema), opened=True))
    if gone is None:
        held = _by_node(block_rows, node_ids)
        where = [(node, f"{blocks:,}", f"{rows:,}") for node, (blocks, rows) in held.items()]
        parts.append(_folded("Where", ("Ray node", "Blocks", "Rows"), where, len(where)))
    return f"<div>{''.join(parts)}</div>"


def _by_node(block_rows: Sequence[int], node_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Count blocks and rows of each node."""
    held: dict[str, tuple[int, int]] = {}
    for node, rows in zip(node_ids, block_rows, strict=True):
        blocks, before = held.get(node, (0, 0))
        held[node] = (blocks + 1, before + rows)
    return held


def _folded(
    title: str,
    names: Sequence[str],
    lines: Iterable[Sequence[str]],
    count: int,
    *,
    opened: bool = False,
) -> str:
    """Write a table that is folded and unfolded by its title."""
    shown = [line for line, _ in zip(lines, range(_MOST_LINES), strict=False)]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in shown)
    more = f"<p>and {count - len(shown):,} more</p>" if count > len(shown) else ""
    return (
        f"<details{' open' if opened else ''}><summary>{escape(title)}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</details>"
    )


def _cell(text: str) -> str:
    if len(text) > _MOST_LETTERS:
        text = text[:_MOST_LETTERS] + "…"
    return f"<td>{escape(text)}</td>"
