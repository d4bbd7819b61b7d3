"""Where to train, and starting again when a worker was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from raydp_ml.exceptions import TrainingError
from raydp_ml.training.data_sets import DataSet
from raydp_ml.training.failure import WorkerLostError
from raydp_ml.training.in_process import InProcessGroup

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Workers:
    """Where to train.

    Attributes
    ----------
    count : int or None
        0: in this process; None: one actor per node that holds the data.
    cpus, gpus, resources
        What each worker holds.
    max_retries : int
        How often training may start again after a worker was lost.
    """

    count: int | None
    cpus: int | None = None
    gpus: float = 0
    resources: dict[str, float] | None = None
    max_retries: int = 3


def require_room(workers: Workers) -> None:
    """Raise `ResourceError` when the cluster can never hold the workers, before data moves."""
    if not workers.count:
        return
    from raydp_ml.session import ray_runtime
    from raydp_ml.training.group import live_nodes
    from raydp_ml.training.placement import place_workers

    ray_runtime.ensure_ray()
    needs = {"CPU": workers.cpus or 1, "GPU": workers.gpus, **(workers.resources or {})}
    place_workers(workers.count, live_nodes(), {}, needs)


@contextlib.contextmanager
def _open_group(workers: Workers, sets: Sequence[DataSet]) -> Iterator[Any]:
    if workers.count == 0:
        yield InProcessGroup()
        return
    from raydp_ml.training.group import worker_group

    with worker_group(
        workers.count,
        cpus_per_worker=workers.cpus,
        gpus_per_worker=workers.gpus,
        resources_per_worker=workers.resources,
        blocks=sets[0].blocks,
    ) as opened:
        yield opened


def run_attempts(
    workers: Workers, sets: Sequence[DataSet], attempt: Callable[[Any], _Result]
) -> _Result:
    """Run ``attempt(group)``, again on a new gang when a worker was lost.

    Raises
    ------
    TrainingError
        If a worker raised, or was lost more than ``max_retries`` times.
    """
    for number in range(workers.max_retries + 1):
        try:
            with _open_group(workers, sets) as group:
                return attempt(group)
        except WorkerLostError as error:
            if number == workers.max_retries:
                raise TrainingError(
                    f"A training worker was lost {number + 1} times, and max_retries="
                    f"{workers.max_retries} allows no further start. It may lack memory (with "
                    f"more workers each holds fewer rows) or its node may be gone. Last: {error}"
                ) from error
    raise AssertionError("unreachable")
