"""An exact global shuffle whose batches depend on the rows and the seed alone.

A Spark DataFrame has no order of its rows, so the global order used here is made from them: rows
are numbered 0 to N - 1 in the order of a 64-bit hash of what they hold (features, label, weight).
Rows that hold the same are interchangeable. That order depends neither on partitions, nor on
workers, nor on how Spark happened to deliver the rows.

Each epoch shuffles those numbers by a keyed permutation of 0 to N - 1 that each worker can
evaluate for its own rows alone: a Feistel network on the bits of the number, walked until the
result is below N (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). No
worker needs the permutation of all rows, and no row ever moves. Batch b of the epoch is the
places b * B to (b + 1) * B - 1, of which every worker takes the rows that it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

_CHUNK = 1 << 16
_ROUNDS = 8
# Fewer bits mix badly; walking back into a small range costs little where there are few rows.
_LEAST_BITS = 6
_MASK_64 = (1 << 64) - 1


def _mix(value: int) -> int:
    """Mix 64 bits (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK_64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK_64
    return value ^ (value >> 31)


def derived_seed(*parts: int) -> int:
    """Return a seed of 63 bits that depends on all `parts` and on their order."""
    state = 0
    for part in parts:
        state = _mix((state + 0x9E3779B97F4A7C15 + (part & _MASK_64)) & _MASK_64)
    return state >> 1


def row_hashes(
    arrays: Sequence[np.ndarray], weight: np.ndarray | None, rows: np.ndarray | None = None
) -> np.ndarray:
    """Return a hash of what each row holds.

    A multilinear hash over 64-bit integers (Lemire and Kaser, The Computer Journal 57, 2014), then
    mixed.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n, ...)
        Of 4 or 8 bytes each; features, then the label.
    weight : ndarray of shape (n,), dtype float32, or None
        A weight of 1 counts as none.
    rows : ndarray of int or None
        The rows wanted, in that order; all by default.

    Returns
    -------
    ndarray of uint64
    """
    total = len(arrays[0])
    if rows is None:
        rows = np.arange(total, dtype=np.uint32)
    words = [array.reshape(total, math.prod(array.shape[1:])).view(np.uint32) for array in arrays]
    rng = np.random.default_rng(0x5EED)
    factors = [rng.integers(1, _MASK_64, size=part.shape[1], dtype=np.uint64) | 1 for part in words]
    weight_factor = rng.integers(1, _MASK_64, dtype=np.uint64)
    hashes = np.zeros(len(rows), np.uint64)
    one = np.float32(1).view(np.uint32).astype(np.uint64)
    for start in range(0, len(rows), _CHUNK // 8):
        chunk = rows[start : start + _CHUNK // 8]
        part_hash = hashes[start : start + len(chunk)]
        for part, factor in zip(words, factors, strict=True):
            part_hash += part[chunk].astype(np.uint64) @ factor
        if weight is not None:
            part_hash += (weight[chunk].view(np.uint32).astype(np.uint64) - one) * weight_factor
        part_hash ^= part_hash >> np.uint64(30)
        part_hash *= np.uint64(0xBF58476D1CE4E5B9)
        part_hash ^= part_hash >> np.uint64(27)
        part_hash *= np.uint64(0x94D049BB133111EB)
        part_hash ^= part_hash >> np.uint64(31)
    return hashes


def global_numbers(
    hashes: np.ndarray,
    rank: int = 0,
    sizes: Sequence[int] = (),
    share: Callable[[np.ndarray | None, int], np.ndarray] | None = None,
) -> np.ndarray:
    """Number this worker's rows in the global order of the hashes.

    Parameters
    ----------
    hashes : ndarray of shape (n,), dtype uint64
        Of this worker's rows.
    rank : int
    sizes : sequence of int
        How many rows each worker has.
    share : callable or None
        ``share(array or None, rank)`` gives all workers the array of one; None for one worker.

    Returns
    -------
    ndarray of shape (n,)
        Over all workers, each of 0 to N - 1 occurs once.
    """
    # Large arrays go as soon as they can: a worker holds little beside its shard.
    order: np.ndarray = np.argsort(hashes)
    if len(hashes) < 1 << 32:
        order = order.astype(np.uint32)
    ordered = hashes[order] if share is not None else hashes[:0]
    size = len(hashes)
    del hashes
    number_type: type[np.unsignedinteger] = (
        np.uint32 if max(sum(sizes), size) < 1 << 32 else np.uint64
    )
    numbers: np.ndarray = np.arange(size, dtype=number_type)
    for other in range(len(sizes) if share is not None else 0):
        assert share is not None
        theirs = share(ordered if other == rank else None, other)
        if other == rank:
            continue
        # Between equal rows of two workers, those of the lower rank come first.
        side: Literal["left", "right"] = "right" if other < rank else "left"
        for start in range(0, len(ordered), _CHUNK):
            part = slice(start, start + _CHUNK)
            before: np.ndarray = np.searchsorted(theirs, ordered[part], side)
            numbers[part] += before.astype(number_type)
        del theirs
    del ordered
    found = np.empty_like(numbers)
    found[order] = numbers
    return found


def shuffled_places(numbers: np.ndarray, total: int, key: int) -> np.ndarray:
    """Return the place of each number in a permutation of 0 to ``total - 1``.

    Parameters
    ----------
    numbers : ndarray of int
        Below `total`.
    total : int
    key : int
        Chooses the permutation.

    Returns
    -------
    ndarray of uint64, of the shape of `numbers`
    """
    bits = max(_LEAST_BITS, (total - 1).bit_length())
    network = _Feistel(bits, key)
    places = np.empty(len(numbers), np.uint64)
    for start in range(0, len(numbers), _CHUNK):
        values = network(numbers[start : start + _CHUNK].astype(np.uint64))
        outside = np.flatnonzero(values >= total)
        while len(outside):
            values[outside] = network(values[outside])
            outside = outside[values[outside] >= total]
        places[start : start + _CHUNK] = values
    return places


class _Feistel:
    """A keyed permutation of the numbers of `bits` bits (at most 64)."""

    def __init__(self, bits: int, key: int) -> None:
        self.low_bits = bits // 2
        self.masks = (
            np.uint32((1 << (bits - self.low_bits)) - 1),
            np.uint32((1 << self.low_bits) - 1),
        )
        self.keys = [np.uint32(derived_seed(key, index) & 0xFFFFFFFF) for index in range(_ROUNDS)]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        halves = [
            (values >> np.uint64(self.low_bits)).astype(np.uint32),
            values.astype(np.uint32) & self.masks[1],
        ]
        for index, key in enumerate(self.keys):
            changed, other = index % 2, 1 - index % 2
            # Multiplications of 32 bits, which processors do several at a time.
            mixed = (halves[other] ^ key) * np.uint32(0x9E3779B1)
            mixed ^= mixed >> np.uint32(15)
            mixed *= np.uint32(0x85EBCA77)
            mixed ^= mixed >> np.uint32(13)
            mixed *= np.uint32(0xC2B2AE3D)
            mixed ^= mixed >> np.uint32(16)
            halves[changed] ^= mixed & self.masks[changed]
        return (halves[0].astype(np.uint64) << np.uint64(self.low_bits)) | halves[1]


class Shuffle:
    """The batches of each epoch, as far as they are of this worker's rows.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        The positions of the rows in this worker's tensors.
    numbers : ndarray of shape (n,)
        Their global numbers.
    total : int
        Rows of all workers.
    batch_size : int
        Rows of a global batch; the last one of an epoch may be shorter.
    seed : int
    """

    def __init__(
        self, rows: np.ndarray, numbers: np.ndarray, total: int, batch_size: int, seed: int
    ) -> None:
        self.rows = rows
        self.numbers = numbers
        self.total = total
        self.batch_size = batch_size
        self.seed = seed
        self.batches = -(-total // batch_size)

    def epoch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of an epoch in their order, and where each batch begins.

        Returns
        -------
        rows : ndarray of shape (n,), dtype int32 or int64
            Positions in this worker's tensors.
        bounds : ndarray of shape (batches + 1,)
            Batch b is ``rows[bounds[b]:bounds[b + 1]]``; it may be empty on this worker.
        """
        places = shuffled_places(self.numbers, self.total, derived_seed(self.seed, index))
        starts = np.arange(self.batches + 1, dtype=np.uint64) * np.uint64(self.batch_size)
        if len(self.rows) == self.total:
            # One worker has a row for every place, and need not sort.
            order = np.empty(self.total, np.int32 if self.total < 1 << 31 else np.int64)
            order[places.view(np.int64)] = self.rows
            return order, np.minimum(starts, np.uint64(self.total)).astype(np.int64)
        shift = np.uint64(max(1, int(self.rows[-1]).bit_length() if len(self.rows) else 1))
        # One sort in place of pairs (place, row) packed into 64 bits.
        places <<= shift
        places |= self.rows
        places.sort()
        bounds = np.searchsorted(places, starts << shift)
        places &= (np.uint64(1) << shift) - np.uint64(1)
        return places.view(np.int64), bounds

    def sizes(self) -> np.ndarray:
        """Return how many rows each global batch has."""
        sizes = np.full(self.batches, self.batch_size)
        sizes[-1:] = self.total - self.batch_size * (self.batches - 1)
        return sizes


def shares_of(counts: np.ndarray, wanted: int) -> np.ndarray:
    """Divide a number of rows among classes, in proportion, by largest remainders.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,), dtype int64
        Rows of each class.
    wanted : int

    Returns
    -------
    ndarray of shape (n_classes,), dtype int64
        Each class that has rows keeps at least one, so that the sum may be less than `wanted`.
    """
    exact = counts * (wanted / counts.sum())
    shares = np.floor(exact).astype(np.int64)
    most_left = np.argsort(shares - exact, kind="stable")
    shares[most_left[: wanted - int(shares.sum())]] += 1
    kept: np.ndarray = np.minimum(shares, np.maximum(counts - 1, 0))
    return kept


def split_rows(
    rows: np.ndarray,
    numbers: np.ndarray,
    counts: np.ndarray,
    held_out: np.ndarray,
    seed: int,
    classes: np.ndarray | None = None,
    number: Callable[[np.ndarray], np.ndarray] = global_numbers,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hold out rows for validation, chosen over all workers by the seed.

    Parameters
    ----------
    rows, numbers : ndarray of shape (n,)
        As in `Shuffle`.
    counts : ndarray of shape (n_classes,), dtype int64
        Rows of each class, over all workers; one class for a label of numbers.
    held_out : ndarray of shape (n_classes,), dtype int64
        How many of them to hold out.
    seed : int
    classes : ndarray of shape (n,), dtype int64, or None
        The class of each row, if there are several.
    number : callable
        `global_numbers` over all workers.

    Returns
    -------
    train_rows, train_numbers : ndarray
        The numbers are 0 to ``(counts - held_out).sum() - 1`` over all workers.
    held_rows : ndarray
    """
    total = int(counts.sum())
    # Epochs are counted from 0, so that no epoch has this permutation.
    places = shuffled_places(numbers, total, derived_seed(seed, -1))
    of = np.zeros(len(rows), np.int64) if classes is None else classes
    if classes is not None:
        # One class after the other, each in the order of its places.
        keys = (of.astype(np.uint64) << np.uint64(total.bit_length())) | places
        places = number(keys)
    places = places.astype(np.int64)
    first = np.cumsum(counts) - counts
    held = places - first[of] < held_out[of]
    kept = ~held
    left = places[kept] - np.cumsum(held_out)[of[kept]]
    return rows[kept], left.astype(numbers.dtype), rows[held]
