"""Where to train, and starting again when a worker was lost."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING

from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.exceptions import ResourceError, TrainingError
from raydp_ml.training.gang.failure import WorkerLostError
from raydp_ml.training.gang.gang import Gang
from raydp_ml.training.gang.in_process import InProcessGang
from raydp_ml.training.rows.data_sets import DataSet

if TYPE_CHECKING:
    from raydp_ml.exchange.blocks import Blocks


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
    elastic : bool
        Whether it may then go on with fewer workers.

    Raises
    ------
    InvalidParameterError
        If the resources are what other parameters ask for, or nobody can.
    """

    count: int | None
    cpus: int | None = None
    gpus: float = 0
    resources: dict[str, float] | None = None
    max_retries: int = 3
    elastic: bool = True

    def __post_init__(self) -> None:
        others = {"CPU": "cpus_per_worker", "GPU": "gpus_per_worker", "object_store_memory": None}
        for name in others.keys() & (self.resources or {}):
            instead = f"Set {others[name]}" if others[name] else "It is ray.init's to set"
            raise InvalidParameterError(
                f"resources_per_worker names {name!r}, got {self.resources}. {instead}."
            )
        for name, amount in (self.resources or {}).items():
            real = isinstance(amount, Real) and not isinstance(amount, bool)
            if not isinstance(name, str) or not real or not 0 <= amount < math.inf:
                raise InvalidParameterError(
                    "resources_per_worker must be a dict from names of Ray's resources to amounts "
                    f"of at least 0. Got {self.resources} instead."
                )


# So long each smaller number of workers is waited for, where the whole one was waited for in vain.
_FEWER_SECONDS = 5.0


def require_room(workers: Workers) -> None:
    """Raise `ResourceError` when the cluster can never hold the workers, before data moves."""
    if not workers.count:
        return
    from raydp_ml.session import ray_runtime
    from raydp_ml.training.gang.actors import live_nodes
    from raydp_ml.training.gang.placement import place_workers

    ray_runtime.ensure_ray()
    needs = {"CPU": workers.cpus or 1, "GPU": workers.gpus, **(workers.resources or {})}
    place_workers(workers.count, live_nodes(), {}, needs)


@contextlib.contextmanager
def open_gang(workers: Workers, sets: Sequence[DataSet], *, again: bool = False) -> Iterator[Gang]:
    """Gather workers for a fit, near the blocks of the training data.

    Parameters
    ----------
    workers : Workers
    sets : sequence of DataSet
    again : bool, default=False
        Whether a worker was lost before. Where the cluster has no room for another one, those that
        are left will do, if `workers` allow it.

    Raises
    ------
    ResourceError
    """
    if workers.count == 0:
        yield InProcessGang()
        return
    with contextlib.ExitStack() as stack:
        yield _gathered(stack, workers, sets[0].blocks, again and workers.elastic)


def _gathered(stack: contextlib.ExitStack, workers: Workers, blocks: Blocks, elastic: bool) -> Gang:
    try:
        return stack.enter_context(_gang_of(workers, blocks))
    except ResourceError as error:
        if not elastic:
            raise
        from raydp_ml.training.gang.actors import live_nodes

        nodes = live_nodes()
        wanted = fewer = workers.count or len(nodes)
        # Each keeps the CPUs that it had.
        share = -(-wanted // len(nodes))
        cpus = workers.cpus or max(1, int(min(node["CPU"] for node in nodes.values()) // share))
        while fewer > 1:
            fewer = min(fewer - 1, fewer * 3 // 4)
            with contextlib.suppress(ResourceError):
                some = replace(workers, count=fewer, cpus=cpus)
                gang = stack.enter_context(_gang_of(some, blocks, _FEWER_SECONDS))
                warnings.warn(
                    f"A training worker was lost, and there is no room for another one. Training "
                    f"goes on with {fewer} of {wanted} workers (elastic=False would fail): {error}",
                    stacklevel=2,
                )
                return gang
        raise


def _gang_of(
    workers: Workers, blocks: Blocks, patience: float | None = None
) -> contextlib.AbstractContextManager[Gang]:
    from raydp_ml.training.gang.actors import actor_gang

    return actor_gang(
        workers.count,
        cpus_per_worker=workers.cpus,
        gpus_per_worker=workers.gpus,
        resources_per_worker=workers.resources,
        blocks=blocks,
        patience=patience,
    )


class Attempt(contextlib.AbstractContextManager["Attempt", bool]):
    """One of several attempts, in whose block the error that asks for another one is silent.

    Attributes
    ----------
    number : int
        From 1.
    again : bool
        Whether another has to follow.
    """

    def __init__(self, number: int, after: type[Exception] | None) -> None:
        self.number = number
        self.again = False
        self._after = after

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.again = self._after is not None and isinstance(error, self._after)
        return self.again


def attempts(most: int, after: type[Exception]) -> Iterator[Attempt]:
    """Yield attempts until one succeeds; the errors of the last pass."""
    for number in range(1, most + 1):
        attempt = Attempt(number, after if number < most else None)
        yield attempt
        if not attempt.again:
            return


def starts(workers: Workers) -> Iterator[Attempt]:
    """Yield attempts of a training, which starts again when a worker was lost."""
    return attempts(workers.max_retries + 1, after=WorkerLostError)


@contextlib.contextmanager
def explain_lost_workers(workers: Workers) -> Iterator[None]:
    """Raise `TrainingError` for a worker that was lost in the last attempt."""
    try:
        yield
    except WorkerLostError as error:
        raise TrainingError(
            f"A training worker was lost {workers.max_retries + 1} times, and max_retries="
            f"{workers.max_retries} allows no further start. It may lack memory (with "
            f"more workers each holds fewer rows) or its node may be gone. Last: {error}"
        ) from error
