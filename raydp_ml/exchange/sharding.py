"""Which rows each worker reads: pure functions over row counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

Shard = tuple[tuple[int, int, int], ...]
"""Slices ``(block, start, stop)`` of one worker, in the order of the rows."""


def shard_rows(
    block_rows: Sequence[int], num_shards: int, boundaries: Sequence[int] | None = None
) -> list[Shard]:
    """Cut the rows of all blocks into contiguous shards of nearly equal size.

    Parameters
    ----------
    block_rows : sequence of int
        Number of rows of each block.
    num_shards : int
        Number of workers.
    boundaries : sequence of int, optional
        Sorted row numbers at which a cut is allowed (the first rows of the groups of a ranking
        task). A cut may fall anywhere by default.

    Returns
    -------
    list of Shard
        One per worker; a worker may get no rows.
    """
    total = sum(block_rows)
    cuts = [total * i // num_shards for i in range(num_shards + 1)]
    if boundaries is not None:
        allowed = sorted({0, total, *boundaries})
        cuts = [min(allowed, key=lambda row, cut=cut: abs(row - cut)) for cut in cuts]  # type: ignore[misc]
    return [_slices(block_rows, start, stop) for start, stop in pairwise(cuts)]


def _slices(block_rows: Sequence[int], start: int, stop: int) -> Shard:
    slices = []
    for block, (rows, end) in enumerate(zip(block_rows, accumulate(block_rows), strict=True)):
        first = end - rows
        low, high = max(start, first), min(stop, end)
        if low < high:
            slices.append((block, low - first, high - first))
    return tuple(slices)


def shard_by_node(
    block_rows: Sequence[int],
    block_nodes: Sequence[str],
    shard_nodes: Sequence[str],
    slack: float = 0.05,
) -> list[Shard]:
    """Give each worker rows of its own node first, and all workers nearly equally many.

    Parameters
    ----------
    block_rows : sequence of int
        Number of rows of each block.
    block_nodes : sequence of str
        Ray node that holds each block.
    shard_nodes : sequence of str
        Ray node of each worker.
    slack : float, default=0.05
        Where shares of local rows differ by no more than this part of an equal share, no row of a
        node with workers crosses the network. Otherwise shares are equal: all wait for the worker
        with the most rows in each round, and a row is sent once.

    Returns
    -------
    list of Shard
        One per worker. Where all is on one node this is :func:`shard_rows`.
    """
    num_shards = len(shard_nodes)
    if len({*block_nodes, *shard_nodes}) <= 1:
        return shard_rows(block_rows, num_shards)
    fair = -(-sum(block_rows) // num_shards)
    local = dict.fromkeys(shard_nodes, 0)
    for rows, node in zip(block_rows, block_nodes, strict=True):
        if node in local:
            local[node] += rows
    shares = [rows / list(shard_nodes).count(node) for node, rows in local.items()]
    capacity = sum(block_rows) if max(shares) - min(shares) <= slack * fair else fair
    shards: list[list[tuple[int, int, int]]] = [[] for _ in shard_nodes]
    filled = [0] * num_shards
    remote = []
    for node in dict.fromkeys(block_nodes):
        workers = [rank for rank, name in enumerate(shard_nodes) if name == node]
        blocks = [block for block, name in enumerate(block_nodes) if name == node]
        left = sum(block_rows[block] for block in blocks)
        share = min(capacity, -(-left // len(workers))) if workers else 0
        for block in blocks:
            start = 0
            for rank in workers:
                taken = min(block_rows[block] - start, share - filled[rank])
                if taken > 0:
                    shards[rank].append((block, start, start + taken))
                    filled[rank] += taken
                    start += taken
            if start < block_rows[block]:
                remote.append((block, start, block_rows[block]))
    for block, first, stop in remote:
        start = first
        while start < stop:
            rank = min(range(num_shards), key=filled.__getitem__)
            taken = min(stop - start, max(1, fair - filled[rank]))
            shards[rank].append((block, start, start + taken))
            filled[rank] += taken
            start += taken
    return [tuple(sorted(shard)) for shard in shards]
