"""Which task a worker gets next; no cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from raydp_ml.training.gang.failure import WorkerLostError
from raydp_ml.training.gang.tasks import TaskQueue


@dataclass
class Task:
    rows: int


def queue_of(*rows):
    return TaskQueue([Task(of) for of in rows], lambda number, result: None)


def test_a_worker_stays_with_its_rows():
    queue = queue_of(0, 1, 2, 0, 1, 2)
    first, second = queue.next(None), queue.next(None)
    assert (first, second) == (0, 1)  # others: each worker reads its own rows
    assert queue.next(0) == 3
    assert queue.next(1) == 4
    assert queue.next(0) == 2
    assert queue.next(1) == 5  # the last ones are shared
    assert queue.next(2) is None


def test_a_lost_worker_costs_its_task_one_more_try():
    queue = queue_of(0, 0)
    number = queue.next(None)
    queue.failed(number, WorkerLostError("gone"))
    assert queue.error is None
    assert queue.left()
    assert queue.next(None) == number
    queue.failed(number, WorkerLostError("gone again"))
    assert isinstance(queue.error, WorkerLostError)
    assert queue.next(None) is None
    assert not queue.left()


def test_any_other_error_ends_all():
    queue = queue_of(0, 0)
    queue.failed(queue.next(None), RuntimeError("bad"))
    assert str(queue.error) == "bad"
    assert queue.next(None) is None


def test_results_are_told_once():
    told = []
    queue = TaskQueue([Task(0), Task(0)], lambda number, result: told.append(number))
    queue.done(queue.next(None), {"n": 0, "warnings": []})
    heard = queue.tell(0)
    queue.done(queue.next(None), {"n": 1, "warnings": []})
    assert queue.tell(heard) == 2
    assert told == [0, 1]


@pytest.mark.parametrize("raised", [ValueError("score")])
def test_a_raised_error_is_that_of_all(raised):
    queue = queue_of(0)
    queue.done(queue.next(None), {"raised": raised, "warnings": []})
    assert queue.error is raised


def test_warnings_are_no_part_of_a_result_however_all_ends():
    """Rows may be lost with a node after some tasks: their results stand beside later ones."""
    told = []
    queue = TaskQueue([Task(0), Task(0), Task(0)], lambda number, result: told.append(result))
    said = [(UserWarning, "twice"), (FutureWarning, "once")]
    queue.done(queue.next(None), {"n": 0, "warnings": said})
    queue.done(queue.next(None), {"n": 1, "warnings": said[:1]})
    queue.failed(queue.next(None), RuntimeError("the rows are gone"))
    queue.tell(0)
    assert told == [{"n": 0}, {"n": 1}]
    with pytest.warns((UserWarning, FutureWarning), match="once|twice") as caught:
        queue.warn_once()
    assert [(item.category, str(item.message)) for item in caught] == said
