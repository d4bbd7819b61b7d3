"""Placement and the reading of failures are pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_ml.exceptions import ResourceError, SchemaError, TrainingError
from raydp_ml.training.gang.failure import WorkerLostError, error_of
from raydp_ml.training.gang.placement import place_workers


def cpus(*counts):
    return {f"n{i}": {"CPU": count} for i, count in enumerate(counts)}


def test_workers_go_where_the_rows_are():
    assert place_workers(2, cpus(4, 4, 4), {"n1": 100, "n2": 1}, {"CPU": 1}) == ["n1", "n1"]
    assert place_workers(2, cpus(4, 4), {"n0": 50, "n1": 50}, {"CPU": 1}) == ["n0", "n1"]
    assert place_workers(3, cpus(1, 4), {"n0": 100}, {"CPU": 1}) == ["n0", "n1", "n1"]


def test_default_is_one_worker_on_each_node_that_holds_rows():
    assert place_workers(None, cpus(4, 4, 4), {"n0": 5, "n2": 5}, {"CPU": 1}) == ["n0", "n2"]
    assert place_workers(None, cpus(4, 4), {}, {"CPU": 1}) == ["n0"]


def test_more_than_the_cluster_can_hold_names_both_sides():
    with pytest.raises(
        ResourceError,
        match=r"num_workers=5 workers with 2 CPU each .* \(2 node\(s\), 7 CPU in all\) .* most 3",
    ):
        place_workers(5, cpus(3, 4), {}, {"CPU": 2})
    with pytest.raises(ResourceError, match="1 CPU, 1 GPU each"):
        place_workers(1, cpus(3, 4), {"n0": 1}, {"CPU": 1, "GPU": 1})


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1000)), min_size=1, max_size=5),
    st.integers(1, 12),
    st.integers(1, 3),
)
def test_no_node_is_overfilled(nodes, num_workers, need):
    resources = cpus(*[count for count, _ in nodes])
    rows = {f"n{i}": count for i, (_, count) in enumerate(nodes)}
    room = sum(count // need for count, _ in nodes)
    if room < num_workers:
        with pytest.raises(ResourceError):
            place_workers(num_workers, resources, rows, {"CPU": need})
        return
    placed = place_workers(num_workers, resources, rows, {"CPU": need})
    assert len(placed) == num_workers
    for node, its in resources.items():
        assert placed.count(node) * need <= its["CPU"]


def test_the_first_worker_to_fail_is_named_and_not_its_peers():
    cause = ValueError("bad depth\nsecond line")
    peer = RuntimeError("Ring Allreduce failed")
    error = error_of([(1, peer), (0, cause)], 2)
    assert isinstance(error, TrainingError)
    assert str(error) == "Worker 0 of 2 failed: ValueError: bad depth"
    assert error.__cause__ is cause


def test_a_lost_worker_explains_everything_and_our_errors_pass_through():
    lost = WorkerLostError("gone")
    assert error_of([(1, RuntimeError("Connection reset by peer")), (0, lost)], 2) is lost
    ours = SchemaError("a column")
    assert error_of([(0, ours)], 1) is ours
