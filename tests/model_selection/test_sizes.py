"""Numbers of rows, by closed forms; no cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_ml.model_selection._sizes import share_out, sizes_by_class, sizes_of


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=20), st.floats(0, 1))
def test_shares_are_in_proportion(weights, share):
    weights = np.array(weights)
    total = int(share * int(weights.astype(object).sum()))
    parts = share_out(total, weights)
    assert int(parts.astype(object).sum()) == total
    exact = [total * int(weight) / int(weights.astype(object).sum()) for weight in weights]
    # One row more or less than the exact share, and what a double of that size cannot tell.
    assert all(abs(a - b) <= 1 + 1e-15 * b for a, b in zip(parts.tolist(), exact, strict=True))
    assert (parts <= weights).all()


def test_equal_remainders_go_to_the_first():
    assert share_out(2, np.array([1, 1, 1])).tolist() == [1, 1, 0]


def test_sizes_by_class():
    train, test = sizes_by_class(np.array([60, 30, 10]), 75, 25)
    assert train.tolist() == [45, 23, 7]
    assert test.tolist() == [15, 7, 3]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((0.2, None), (8, 2)), ((None, None), (7, 3)), ((3, 5), (5, 3)), ((0.25, None), (7, 3))],
)
def test_sizes(sizes, expected):
    assert sizes_of(10, *sizes, 0.25) == expected


@pytest.mark.parametrize("sizes", [(11, None), (0.0, None), (6, 6), (0.9, 0.9)])
def test_sizes_that_do_not_fit(sizes):
    with pytest.raises(ValueError, match="should be"):
        sizes_of(10, *sizes, 0.25)
