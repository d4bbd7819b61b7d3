"""Statistics that the JVM makes of rows, and how they travel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LONGS = st.integers(0, 2**63 - 1)


def doubles(values):
    return np.asarray(values, ">f8").tobytes()


@pytest.mark.parametrize("size", [1, 7, 600, 10_000])
@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments(probes, size, offset, weighted):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 3)) + offset
    rows[::4, 1] = np.nan
    rows[7, 0] = np.inf
    weights = rng.integers(0, 3, size=1500).astype(float)
    packed = np.column_stack([rows, weights]) if weighted else rows
    found = probes.columns.ColumnsProbe().moments(doubles(packed), packed.shape[1], weighted, size)
    head, columns = np.split(np.frombuffer(found, ">f8"), [2])
    assert head.tolist() == [1500, 0]
    of = weights if weighted else np.ones(1500)
    for values, made in zip(rows.T, columns.reshape(3, 8), strict=True):
        count, infinite, total, mean, squares, low, high, rest = made
        used = np.isfinite(values)
        assert (count, infinite, total) == (used.sum(), np.isinf(values).sum(), of[used].sum())
        # The exact mean, in numbers twice as long.
        exact = np.longdouble(values[used])
        middle = (exact * of[used]).sum() / of[used].sum()
        near = 1e-15 + 1e-18 * offset
        assert_allclose(np.longdouble(mean) + np.longdouble(rest), middle, rtol=0, atol=near)
        assert_allclose(squares, (of[used] * (exact - middle) ** 2).sum(), rtol=1e-11)
        counted = values[used & (of > 0)]
        assert (low, high) == (counted.min(), counted.max())


def test_a_weight_that_is_none_leaves_its_row_out(probes):
    rows = [[1.0, 1.0], [2.0, np.nan], [3.0, -1.0], [5.0, np.inf], [7.0, 0.0]]
    found = probes.columns.ColumnsProbe().moments(doubles(rows), 2, True, 2)
    assert np.frombuffer(found, ">f8").tolist() == [5, 3, 2, 0, 1, 1, 0, 1, 1, 0]


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_keys_are_in_the_order_of_the_doubles(probes, values):
    probe = probes.columns.ColumnsProbe()
    keys = probe.keys(doubles(values))
    order = np.argsort(np.frombuffer(keys, ">u8"), kind="stable")
    assert_array_equal(order, np.argsort(np.array(values) + 0.0, kind="stable"))
    assert_array_equal(np.frombuffer(probe.values(keys), ">f8"), np.array(values))


@settings(deadline=None, max_examples=50)
@given(numbers=st.lists(st.one_of(st.integers(0, 300), LONGS), max_size=50))
def test_numbers_travel_small_and_whole(probes, numbers):
    probe = probes.columns.ColumnsProbe()
    packed = probe.packed(np.array(numbers, ">i8").tobytes())
    assert np.frombuffer(probe.unpacked(packed), ">i8").tolist() == numbers
    assert len(packed) == sum(max(1, -(-number.bit_length() // 7)) for number in numbers)


@settings(deadline=None, max_examples=50)
@given(
    pairs=st.lists(
        st.tuples(st.one_of(st.integers(0, 3), LONGS), st.sampled_from([1.0, 2.5, -1.0, -4.0])),
        max_size=60,
    )
)
def test_equal_keys_of_one_class_become_one(probes, pairs):
    keys = np.array([key for key, _ in pairs], ">i8").tobytes()
    weights = doubles([weight for _, weight in pairs])
    found = probes.columns.ColumnsProbe().collapsed(keys + weights)
    half = len(found) // 2
    made = list(
        zip(np.frombuffer(found[:half], ">i8"), np.frombuffer(found[half:], ">f8"), strict=True)
    )
    expected = []
    for key in sorted({key for key, _ in pairs}):
        of = [weight for other, weight in pairs if other == key]
        sums = [sum(w for w in of if w > 0), sum(w for w in of if w < 0)]
        expected += [(key, total) for total in sums if total]
    assert made == expected
