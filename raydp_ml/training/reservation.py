"""Holding CPUs of Ray for the time of a fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raydp_ml.exceptions import ResourceError

TIMEOUT = 60.0


def _hold() -> Iterator[bool]:
    """Hold the task's CPUs from the first item until the driver takes the second."""
    yield True
    yield True


def _start_hold(node: str, cpus: float) -> Any:
    options: dict[str, Any] = {
        "num_cpus": cpus,
        "num_returns": "streaming",
        "max_retries": 0,
        "_generator_backpressure_num_objects": 1,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
    }
    return ray.remote(_hold).options(**options).remote()


@contextlib.contextmanager
def reserved_cpus(cpus: Mapping[str, float]) -> Iterator[None]:
    """Hold CPUs on each Ray node for the time of a ``with`` block.

    A blocked task does it: a task is scheduled in milliseconds, where a placement group takes up
    to a second when another has just been removed, and an actor takes a new process.

    Parameters
    ----------
    cpus : mapping of str to float
        CPUs by Ray node id.

    Raises
    ------
    ResourceError
        They were not free within `TIMEOUT` seconds.
    """
    holds = [_start_hold(node, amount) for node, amount in cpus.items() if amount > 0]
    try:
        started: list[Any] = []
        late: list[Any] = []
        if holds:
            started, late = ray.wait(holds, num_returns=len(holds), timeout=TIMEOUT)
        if late:
            for hold in late:
                ray.cancel(hold)
            holds = started
            raise ResourceError(
                f"Training needs {sum(cpus.values()):g} CPUs, and after {TIMEOUT:.0f} s only "
                f"{ray.available_resources().get('CPU', 0):g} of the cluster's "
                f"{ray.cluster_resources().get('CPU', 0):g} are free: other Ray tasks or actors "
                "hold the rest. End them, or lower num_workers or cpus_per_worker."
            )
        for hold in started:
            next(hold)
        yield
    finally:
        for hold in holds:
            # A hold whose node has gone has nothing left to release.
            with contextlib.suppress(ray.exceptions.RayError):
                for _ in hold:
                    pass
