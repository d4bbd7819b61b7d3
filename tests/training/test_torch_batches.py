"""The global shuffle: exact, uniform, and the same whoever holds which rows."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from raydp_ml.training.torch_batches import (
    Shuffle,
    derived_seed,
    global_numbers,
    row_hashes,
    shuffled_places,
    split_rows,
)


@pytest.mark.parametrize("total", [1, 2, 3, 63, 64, 65, 1000, 70_001])
def test_places_are_a_permutation(total):
    places = shuffled_places(np.arange(total), total, key=7)
    assert_array_equal(np.sort(places), np.arange(total))
    other = shuffled_places(np.arange(total), total, key=8)
    if total > 10:
        assert (places != other).mean() > 0.9
    # Each worker finds the places of its own rows alone.
    part = np.arange(total)[::3]
    assert_array_equal(shuffled_places(part, total, key=7), places[::3])


@pytest.mark.parametrize("total", [3, 4, 5])
def test_all_permutations_are_equally_likely(total):
    expected = 100
    count = expected * math.factorial(total)
    found = Counter(
        tuple(shuffled_places(np.arange(total), total, derived_seed(1, key)).tolist())
        for key in range(count)
    )
    assert set(found) == set(itertools.permutations(range(total)))
    chi_square = sum((value - expected) ** 2 / expected for value in found.values())
    freedom = len(found) - 1
    # Mean and deviation of the chi-square distribution.
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


def test_neighbours_are_torn_apart():
    """Of 1000 numbers, about one pair of neighbours stays together in each order."""
    together = [
        np.count_nonzero(np.diff(np.argsort(shuffled_places(np.arange(1000), 1000, key))) == 1)
        for key in range(200)
    ]
    assert 0.7 < np.mean(together) < 1.3


def rows_of(rng, count):
    X = rng.integers(0, 4, size=(count, 3)).astype(np.float32)  # many equal rows
    return X, X.sum(axis=1)


def numbers_of_workers(parts):
    """What workers that share their hashes would find."""
    hashes = [row_hashes([X, y], None) for X, y in parts]
    ordered = [np.sort(part) for part in hashes]
    sizes = [len(part) for part in hashes]
    return [
        global_numbers(part, rank, sizes, lambda array, other: ordered[other])
        for rank, part in enumerate(hashes)
    ]


@pytest.mark.parametrize("cuts", [[0, 200], [0, 50, 200], [0, 0, 199, 200], [0, 66, 133, 200]])
def test_rows_have_the_same_numbers_wherever_they_are(cuts):
    rng = np.random.default_rng(0)
    X, y = rows_of(rng, 200)
    whole = global_numbers(row_hashes([X, y], None))
    order = rng.permutation(200)
    Xs, ys = X[order], y[order]
    parts = [(Xs[a:b], ys[a:b]) for a, b in itertools.pairwise(cuts)]
    numbers = np.concatenate(numbers_of_workers(parts))
    assert_array_equal(np.sort(numbers), np.arange(200))
    # Equal rows may swap their numbers, so that the rows by number are compared.
    assert_array_equal(Xs[np.argsort(numbers)], X[np.argsort(whole)])


def test_batches_of_an_epoch_hold_every_row_once():
    rng = np.random.default_rng(0)
    X, y = rows_of(rng, 1003)
    batches = {}
    for cuts in ([0, 1003], [0, 400, 1003], [0, 10, 10, 1003]):
        parts = [(X[a:b], y[a:b]) for a, b in itertools.pairwise(cuts)]
        shuffles = [
            Shuffle(np.arange(len(part[0]), dtype=np.uint32), numbers, 1003, 100, seed=3)
            for part, numbers in zip(parts, numbers_of_workers(parts), strict=True)
        ]
        for epoch in (0, 1):
            made = [[] for _ in range(11)]
            for (Xp, yp), shuffle in zip(parts, shuffles, strict=True):
                rows, bounds = shuffle.epoch(epoch)
                assert_array_equal(np.sort(rows), np.arange(len(Xp)))
                for index, (start, stop) in enumerate(itertools.pairwise(bounds)):
                    chosen = rows[start:stop]
                    made[index] += map(tuple, np.column_stack([Xp[chosen], yp[chosen]]))
            assert [len(batch) for batch in made] == [100] * 10 + [3]
            assert_array_equal(shuffles[0].sizes(), [100] * 10 + [3])
            key = [sorted(batch) for batch in made]
            assert batches.setdefault(epoch, key) == key
    assert batches[0] != batches[1]


def test_held_out_rows_are_the_same_wherever_they_are():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)).astype(np.float32)
    held = []
    for cuts in ([0, 500], [0, 123, 500]):
        parts = [(X[a:b], X[a:b, 0]) for a, b in itertools.pairwise(cuts)]
        found, kept = [], []
        for (Xp, _), numbers in zip(parts, numbers_of_workers(parts), strict=True):
            rows, left, out = split_rows(np.arange(len(Xp)), numbers, 500, 50, seed=1)
            assert_array_equal(np.sort(np.concatenate([rows, out])), np.arange(len(Xp)))
            found += Xp[out, 0].tolist()
            kept += left.tolist()
        assert sorted(kept) == list(range(450))
        held.append(sorted(found))
    assert len(held[0]) == 50
    assert held[0] == held[1]


def test_weights_are_part_of_a_row_unless_they_are_one():
    X = np.ones((3, 2), np.float32)
    plain = row_hashes([X], None)
    assert_array_equal(row_hashes([X], np.ones(3, np.float32)), plain)
    weighted = row_hashes([X], np.array([1, 2, 3], np.float32))
    assert len({*weighted.tolist()}) == 3
    assert_array_equal(row_hashes([X], None, np.array([2, 0])), plain[[2, 0]])
