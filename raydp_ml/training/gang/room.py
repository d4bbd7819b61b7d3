"""How many tasks at a time, and what each of them gets: mostly pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raydp_ml.training.gang.attempts import Workers, require_room
from raydp_ml.training.gang.memory import COPIES

if TYPE_CHECKING:
    from raydp_ml.exchange.blocks import Blocks

Nodes = Mapping[str, Mapping[str, float]]


def room_now(estimator: Any, n_jobs: int | None, n_tasks: int, blocks: Blocks) -> Workers:
    """Decide on the workers of tasks on this cluster; the arguments are `room_for_tasks`'s.

    Raises
    ------
    ResourceError
        The cluster can never hold one.
    """
    from raydp_ml.session import ray_runtime
    from raydp_ml.session.memory import available_mib
    from raydp_ml.training.gang.actors import live_nodes

    ray_runtime.ensure_ray()
    own = (
        getattr(estimator, "cpus_per_worker", None),
        getattr(estimator, "gpus_per_worker", 0),
        getattr(estimator, "resources_per_worker", None),
    )
    require_room(Workers(1, *own))
    memory = available_mib() * 2**20
    return room_for_tasks(estimator, n_jobs, n_tasks, live_nodes(), blocks.nbytes, memory)


def room_for_tasks(
    estimator: Any,
    n_jobs: int | None,
    n_tasks: int,
    nodes: Nodes,
    nbytes: int,
    memory: float,
) -> Workers:
    """Decide on the workers of tasks that run side by side.

    Parameters
    ----------
    estimator : estimator
        Its ``cpus_per_worker``, ``gpus_per_worker`` and ``resources_per_worker`` are those of each
        task, where it has such.
    n_jobs : int or None
        How many tasks at a time; None for as many as there is room for, and negative numbers
        count from there, as joblib does.
    n_tasks : int
    nodes : mapping of str to mapping
        Resources of each Ray node.
    nbytes : int
        Size of the data.
    memory : float
        Bytes that are free.

    Returns
    -------
    Workers
        Their count is 0 where the data is too large for a worker.
    """
    own_cpus = getattr(estimator, "cpus_per_worker", None)
    jobs = getattr(estimator, "n_jobs", None)
    cpus = own_cpus or (jobs if jobs and jobs > 0 else None)
    gpus = getattr(estimator, "gpus_per_worker", 0)
    others = getattr(estimator, "resources_per_worker", None) or {}
    needs = {"GPU": gpus, **others}
    room = _places(nodes, {"CPU": cpus or 1, **needs})
    if nbytes * COPIES > memory:
        return Workers(0, cpus, gpus, others)
    wanted = room if n_jobs is None else n_jobs if n_jobs > 0 else max(1, room + 1 + n_jobs)
    held = int(memory // max(1.0, nbytes * COPIES))
    count = max(1, min(wanted, n_tasks, room, held))
    if cpus is None:
        cpus = _fair(nodes, needs, count)
    return Workers(count, cpus, gpus, dict(others))


def _places(nodes: Nodes, needs: Mapping[str, float]) -> int:
    wanted = {name: amount for name, amount in needs.items() if amount > 0}
    return sum(
        min(int(resources.get(name, 0) / amount) for name, amount in wanted.items())
        for resources in nodes.values()
    )


def _fair(nodes: Nodes, needs: Mapping[str, float], count: int) -> int:
    """Return the most CPUs that each of so many workers can have, at least 1."""
    most = math.ceil(max((node.get("CPU", 0) for node in nodes.values()), default=1))
    fitting = (c for c in range(most, 1, -1) if _places(nodes, {"CPU": c, **needs}) >= count)
    return next(fitting, 1)
