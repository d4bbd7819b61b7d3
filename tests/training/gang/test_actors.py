"""Gangs of real actors."""

from __future__ import annotations

import operator
import os
import threading
import time

import pytest

from raydp_ml.exceptions import ResourceError, TrainingError
from raydp_ml.training.gang import actors, channel, reservation
from raydp_ml.training.gang.actors import actor_gang
from raydp_ml.training.gang.failure import WorkerLostError
from raydp_ml.training.gang.in_process import InProcessGang
from tests.session.conftest import eventually

pytestmark = pytest.mark.modes("none")  # executors of Spark would hold CPUs


@pytest.fixture(autouse=True)
def _cluster(ray_cluster, spark):
    actors._pool.close()  # of the fits of other tests
    yield
    actors._pool.close()


def pids(workers):
    return workers.run(os.getpid, [()] * workers.size)


def test_workers_are_processes_of_their_own_and_stay_warm():
    with actor_gang(2) as workers:
        first = pids(workers)
        assert workers.run(operator.mul, [(2, 3), (4, 5)]) == [6, 20]
        assert workers.cpus_per_worker == 1
    assert len({*first, os.getpid()}) == 3
    with actor_gang(1) as workers:
        assert workers.cpus_per_worker == 2  # a default fit uses the whole machine
        assert pids(workers)[0] in first
    with actor_gang(2) as workers:
        assert sorted(pids(workers)) == sorted(first)


def openmp_threads():
    """The most threads of each library of OpenMP here, which XGBoost does not go beyond."""
    import xgboost
    from threadpoolctl import threadpool_info

    assert xgboost.build_info()["USE_OPENMP"]
    return {part["num_threads"] for part in threadpool_info() if part["user_api"] == "openmp"}


def test_a_worker_has_as_many_threads_as_cpus():
    """Ray allows OpenMP one thread in an actor that asks for no CPU."""
    for cpus in (2, 1, 2):
        with actor_gang(1, cpus_per_worker=cpus) as workers:
            assert workers.run(openmp_threads, [()]) == [{cpus}]


def test_cpus_are_held_during_a_fit_and_free_after(ray_cluster):
    def free():
        return ray_cluster.available_resources().get("CPU", 0)

    # Ray's figure may be a moment old.
    with actor_gang(2):
        assert eventually(lambda: free() == 0, 20)
    assert eventually(lambda: free() == 2, 20)
    # An idle gang keeps nobody from working.
    assert ray_cluster.get(ray_cluster.remote(num_cpus=2)(lambda: 7).remote(), timeout=60) == 7


def test_a_cluster_that_is_busy_gives_a_clear_error(ray_cluster, monkeypatch):
    monkeypatch.setattr(reservation, "TIMEOUT", 2.0)

    class Busy:
        def ready(self):
            return True

    busy = ray_cluster.remote(num_cpus=1)(Busy).remote()
    ray_cluster.get(busy.ready.remote(), timeout=60)
    try:
        with (
            pytest.raises(ResourceError, match="needs 2 CPUs, and after 2 s only 1 of the"),
            actor_gang(2),
        ):
            pass
    finally:
        ray_cluster.kill(busy)


def in_threads(functions):
    """Run functions at once, each in a thread; their results, or the errors that they raised."""
    results = [None] * len(functions)

    def run(index):
        try:
            results[index] = functions[index]()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return results


@pytest.mark.slow
def test_fits_of_one_program_queue_however_long_the_first_takes(monkeypatch):
    with actor_gang(2):
        pass  # the processes that the next fits find take seconds to start on a busy machine
    # All CPUs for longer than a fit waits for what others hold.
    monkeypatch.setattr(reservation, "TIMEOUT", 3.0)
    spans = []

    def fit():
        with actor_gang(2) as workers:
            begun = time.monotonic()
            assert workers.run(operator.mul, [(2, 3), (4, 5)]) == [6, 20]
            time.sleep(3.5)
            spans.append((begun, time.monotonic()))
        return "done"

    assert in_threads([fit] * 2) == ["done"] * 2
    (_, first_end), (second_begin, _) = sorted(spans)
    assert first_end <= second_begin


def test_fits_that_fit_beside_each_other_run_together():
    both = threading.Barrier(2, timeout=60)

    def fit():
        with actor_gang(1, cpus_per_worker=1):
            both.wait()
        return "done"

    assert in_threads([fit] * 2) == ["done"] * 2


@pytest.mark.slow
def test_fits_queue_for_other_resources_than_cpus_too(monkeypatch):
    """A resource that an idle worker of an earlier fit holds is given up, or handed on."""
    monkeypatch.setattr(actors, "_START_TIMEOUT", 20.0)
    name = "node:__internal_head__"  # the one that every cluster has, to the amount of 1

    def fit(amount):
        def run():
            with actor_gang(1, cpus_per_worker=1, resources_per_worker={name: amount}) as workers:
                (pid,) = pids(workers)
                time.sleep(0.5)
            return pid

        return run

    first, second = in_threads([fit(0.6)] * 2)
    assert first == second  # the same worker, warm
    # In whichever order the threads get their turns.
    third, *others = in_threads([fit(0.7), fit(0.6), fit(0.6)])
    assert isinstance(third, int)
    assert third not in {first, *others}


def test_memory_is_a_resource_of_a_worker(ray_cluster):
    def free():
        return ray_cluster.available_resources()["memory"]

    before = free()
    with actor_gang(1, resources_per_worker={"memory": 300 << 20}):
        assert eventually(lambda: free() == before - (300 << 20), 20)
    with (
        pytest.raises(ResourceError, match="num_workers=1 "),
        actor_gang(1, resources_per_worker={"memory": 1 << 60}),
    ):
        pass


def test_more_workers_than_fit_is_an_error_at_once():
    start = time.monotonic()
    with pytest.raises(ResourceError, match="num_workers=1000"), actor_gang(1000):
        pass
    assert time.monotonic() - start < 30


def test_a_workers_exception_is_the_cause():
    with (
        pytest.raises(TrainingError, match="Worker 1 of 2 failed: ZeroDivisionError") as info,
        actor_gang(2) as workers,
    ):
        workers.run(operator.truediv, [(1, 1), (1, 0)])
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    assert not isinstance(info.value, WorkerLostError)


def test_a_worker_that_dies_is_told_apart_and_replaced():
    with pytest.raises(WorkerLostError, match="Worker 0 of 1"), actor_gang(1) as workers:
        workers.run(os._exit, [(1,)])
    with actor_gang(1) as workers:
        assert workers.run(operator.mul, [(2, 3)]) == [6]


def reporter():
    """A function that pickles by value: the workers cannot import this file."""

    def report_rounds(rounds):
        for done in range(rounds):
            channel.report(done)
            if channel.stop_requested():
                return done
            time.sleep(0.05)
        return rounds

    return report_rounds


def test_events_arrive_while_the_work_goes_on_and_stop_ends_it():
    with actor_gang(1) as workers:
        seen = []

        def on_event(rank, event):
            seen.append((rank, event))
            if event == 3:
                workers.request_stop()

        (done,) = workers.run(reporter(), [(400,)], on_event=on_event)
        assert done < 400
        assert seen == [(0, event) for event in range(done + 1)]
        # The next function starts with a clean channel of its own fit.
    with actor_gang(1) as workers:
        assert workers.run(reporter(), [(3,)]) == [3]


def test_in_process_group_has_the_same_interface():
    here = InProcessGang()
    seen = []
    assert here.run(reporter(), [(2,)], on_event=lambda *e: seen.append(e)) == [2]
    assert seen == [(0, 0), (0, 1)]
    assert here.size == 1
    with pytest.raises(ZeroDivisionError):
        here.run(operator.truediv, [(1, 0)])


def test_idle_workers_end(ray_cluster, monkeypatch):
    import psutil

    monkeypatch.setattr(actors, "IDLE_SECONDS", 0.4)
    with actor_gang(1) as workers:
        (pid,) = pids(workers)
    assert eventually(lambda: not psutil.pid_exists(pid), 30), "an idle worker did not end"
