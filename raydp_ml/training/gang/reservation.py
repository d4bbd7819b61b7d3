"""Holding CPUs of Ray for the time of a fit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raydp_ml.exceptions import ResourceError
from raydp_ml.session import ray_runtime
from raydp_ml.training.gang.turns import Turn

if TYPE_CHECKING:
    from ray import ObjectRefGenerator

TIMEOUT = 60.0
"""So long a fit waits for what others than the fits of this program hold."""

_ASK_AGAIN_SECONDS = 1.0


def _hold() -> Iterator[bool]:
    """Hold the task's CPUs from the first item until the driver takes the second."""
    yield True
    yield True


def _start_hold(node: str, cpus: float) -> ObjectRefGenerator:
    options: dict[str, object] = {
        "num_cpus": cpus,
        "num_returns": "streaming",
        "max_retries": 0,
        "_generator_backpressure_num_objects": 1,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
    }
    return cast("ObjectRefGenerator", ray.remote(_hold).options(**options).remote())


@contextlib.contextmanager
def reserved_cpus(
    needed: Callable[[], Mapping[str, float]], turn: Turn, patience: float | None = None
) -> Iterator[None]:
    """Hold CPUs on each Ray node for the time of a ``with`` block.

    A blocked task does it: a task is scheduled in milliseconds, where a placement group takes up
    to a second when another has just been removed, and an actor takes a new process.

    Parameters
    ----------
    needed : callable
        Returns CPUs by Ray node id. It is asked again while they are not free, since a Spark
        executor that has just been replaced may hold what was asked for.
    turn : Turn
        The fit's own; other fits of this program are waited for as long as they run.
    patience : float, optional
        Seconds, by default `TIMEOUT`.

    Raises
    ------
    ResourceError
        They were not free within that time, in which no other fit of this program ran.
    """
    connection = ray_runtime.connection()
    limit = TIMEOUT if patience is None else patience
    deadline = time.monotonic() + limit
    amounts: dict[str, float] = {}
    holds: dict[str, ObjectRefGenerator] = {}
    started: list[Any] = []
    try:
        while True:
            ray_runtime.require_open(connection)
            for node, amount in needed().items():
                waits = node in holds and holds[node] not in started
                if waits and amount != amounts[node]:
                    ray.cancel(holds.pop(node))
                if node not in holds and amount > 0:
                    holds[node], amounts[node] = _start_hold(node, amount), amount
            left = deadline - time.monotonic()
            if holds:
                started, _ = ray.wait(
                    [*holds.values()],
                    num_returns=len(holds),
                    timeout=max(0, min(left, _ASK_AGAIN_SECONDS)),
                )
            if len(started) == len(holds):
                break
            if turn.others_run():
                turn.tell()
                deadline = time.monotonic() + limit
            elif left <= 0:
                total = sum(needed().values())
                raise ResourceError(
                    f"Training needs {total:g} CPUs, and after {limit:.0f} s only "
                    f"{ray.available_resources().get('CPU', 0):g} of the cluster's "
                    f"{ray.cluster_resources().get('CPU', 0):g} are free: Ray tasks or "
                    "actors that are no fit of this program hold the rest. End them, or lower "
                    "num_workers or cpus_per_worker."
                )
        for hold in started:
            next(hold)
        yield
    finally:
        # After the user's ray.shutdown() nothing is held, and any call would start a new Ray.
        for hold in holds.values() if ray_runtime.is_open(connection) else ():
            if hold not in started:
                ray.cancel(hold)
                continue
            # A hold whose node has gone has nothing left to release.
            with contextlib.suppress(ray.exceptions.RayError):
                for _ in hold:
                    pass
