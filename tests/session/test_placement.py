"""Whether a cluster can ever hold what is asked for."""

from __future__ import annotations

import math

import pytest

from raydp_ml.session.placement import Node, capacity, room, shortage

SMALL = Node("small", {"CPU": 2.0})
LARGE = Node("large", {"CPU": 8.0, "special": 1.0})
NODES = [SMALL, LARGE]


@pytest.mark.parametrize(
    ("bundle", "count"),
    [
        ({"CPU": 1}, 8),
        ({"CPU": 3}, 2),
        ({"CPU": 0.1}, 80),
        ({"CPU": 1, "special": 0.5}, 2),
        ({"CPU": 1, "GPU": 1}, 0),
        ({"CPU": 0}, math.inf),
    ],
)
def test_how_often_a_bundle_fits(bundle, count):
    assert room(bundle, LARGE) == count


@pytest.mark.parametrize(
    ("strategy", "count"),
    [(None, 3), ("PACK", 3), ("SPREAD", 3), ("STRICT_PACK", 2), ("STRICT_SPREAD", 2)],
)
def test_a_strategy_limits_the_capacity(strategy, count):
    nodes = [Node("a", {"CPU": 5.0}), Node("b", {"CPU": 2.0}), Node("c", {"CPU": 1.0})]
    assert capacity({"CPU": 2}, nodes, strategy) == count


def test_amounts_are_never_summed_over_nodes():
    assert capacity({"CPU": 9}, NODES, None) == 0


def test_no_nodes():
    assert capacity({"CPU": 1}, [], "STRICT_PACK") == 0


def test_what_fits_is_no_shortage():
    assert shortage({"CPU": 1}, 10, NODES, None) is None


def test_a_shortage_names_what_was_asked_and_what_is_there():
    text = shortage({"CPU": 1, "special": 1}, 3, NODES, "PACK")
    assert text is not None
    assert "3 executors of {'CPU': 1, 'special': 1} each" in text
    assert "can hold 1 of them under placement_group_strategy='PACK'" in text
    assert "small has {'CPU': 2, 'special': 0}, large has {'CPU': 8, 'special': 1}" in text
    assert "Ask for fewer executors" in text
