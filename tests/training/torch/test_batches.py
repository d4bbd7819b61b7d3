"""The global shuffle: exact, uniform, and the same whoever holds which rows."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import StratifiedShuffleSplit

from raydp_ml.training.torch.batches import (
    Shuffle,
    derived_seed,
    global_numbers,
    row_hashes,
    shares_of,
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


@pytest.mark.parametrize("total", [3, 4, pytest.param(5, marks=pytest.mark.slow)])
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


def workers_in_step(parts, keys):
    """A function for each worker that numbers its keys, given those of all workers."""
    ordered = [np.sort(part) for part in keys]
    sizes = [len(part) for part in keys]

    def number(rank):
        return lambda mine: global_numbers(mine, rank, sizes, lambda array, other: ordered[other])

    return [number(rank) for rank in range(len(parts))]


@pytest.mark.parametrize("classes", [1, 3])
def test_held_out_rows_are_the_same_wherever_they_are(classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)).astype(np.float32)
    y = rng.choice(3, p=[0.1, 0.3, 0.6], size=500) if classes > 1 else np.zeros(500, np.int64)
    counts = np.bincount(y)
    wanted = shares_of(counts, 50)
    found = []
    for cuts in ([0, 500], [0, 123, 500], [0, 0, 499, 500]):
        parts = [(X[a:b], y[a:b]) for a, b in itertools.pairwise(cuts)]
        numbers = numbers_of_workers(parts)
        # What each worker will ask to be numbered, so that the others can be told.
        keys = [[] for _ in parts]
        for rank, (Xp, yp) in enumerate(parts):
            rows = np.arange(len(Xp))
            of = yp if classes > 1 else None

            def keep(mine, rank=rank, keys=keys):
                keys[rank] = mine
                return np.zeros(len(mine), np.int64)

            split_rows(rows, numbers[rank], counts, wanted, 1, of, keep)
        held, train = [], []
        in_step = workers_in_step(parts, [np.asarray(key, np.uint64) for key in keys])
        for rank, (Xp, yp) in enumerate(parts):
            rows = np.arange(len(Xp))
            of = yp if classes > 1 else None
            left, left_numbers, out = split_rows(
                rows, numbers[rank], counts, wanted, 1, of, in_step[rank]
            )
            assert_array_equal(np.sort(np.concatenate([left, out])), rows)
            held += zip(yp[out].tolist(), Xp[out, 0].tolist(), strict=True)
            train += left_numbers.tolist()
        assert sorted(train) == list(range(450))
        assert_array_equal(np.bincount([label for label, _ in held], minlength=len(counts)), wanted)
        found.append(sorted(held))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("seed", range(20))
def test_classes_are_held_out_in_proportion(seed):
    """As many rows of each class as scikit-learn draws, where no remainders tie."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 400, size=rng.integers(2, 6))
    wanted = int(counts.sum() // 9)
    if wanted < len(counts):
        pytest.skip("scikit-learn asks for a row of each class")
    shares = shares_of(counts, wanted)
    assert shares.sum() == wanted
    y = np.repeat(np.arange(len(counts)), counts)
    splitter = StratifiedShuffleSplit(1, test_size=wanted, random_state=0)
    _, drawn = next(splitter.split(y[:, None], y))
    assert abs(np.bincount(y[drawn], minlength=len(counts)) - shares).max() <= 1
    exact = counts * wanted / counts.sum()
    if len(np.unique(exact - np.floor(exact))) == len(counts):
        assert_array_equal(np.bincount(y[drawn], minlength=len(counts)), shares)


def test_a_class_of_one_row_stays_in_training():
    assert_array_equal(shares_of(np.array([1, 99]), 10), [0, 10])
    assert_array_equal(shares_of(np.array([1, 2]), 2), [0, 1])
    assert_array_equal(shares_of(np.array([0, 10]), 5), [0, 5])


def test_weights_are_part_of_a_row_unless_they_are_one():
    X = np.ones((3, 2), np.float32)
    plain = row_hashes([X], None)
    assert_array_equal(row_hashes([X], np.ones(3, np.float32)), plain)
    weighted = row_hashes([X], np.array([1, 2, 3], np.float32))
    assert len({*weighted.tolist()}) == 3
    assert_array_equal(row_hashes([X], None, np.array([2, 0])), plain[[2, 0]])
