"""On which Ray node each worker goes: pure functions over the nodes' resources."""

from __future__ import annotations

from collections.abc import Mapping

from raydp_ml.exceptions import ResourceError

Resources = Mapping[str, float]


def place_workers(
    num_workers: int | None,
    nodes: Mapping[str, Resources],
    node_rows: Mapping[str, int],
    needs: Resources,
) -> list[str]:
    """Choose a node for each worker: where the data is first, in proportion to it.

    Parameters
    ----------
    num_workers : int or None
        None for one worker on each node that holds rows.
    nodes : mapping of str to mapping
        All resources of each live node, whoever uses them now.
    node_rows : mapping of str to int
        How many rows each node holds.
    needs : mapping of str to float
        What one worker needs.

    Returns
    -------
    list of str
        The node of each rank; ranks of one node are neighbours.

    Raises
    ------
    ResourceError
        The cluster can never hold so many workers.
    """
    room = {node: _room(resources, needs) for node, resources in nodes.items()}
    holders = [node for node in nodes if node_rows.get(node, 0) > 0]
    if num_workers is None:
        num_workers = len([node for node in holders if room[node]]) or 1
    if sum(room.values()) < num_workers:
        total: dict[str, float] = {}
        for resources in nodes.values():
            for name in needs:
                total[name] = total.get(name, 0) + resources.get(name, 0)
        raise ResourceError(
            f"num_workers={num_workers} workers with {_text(needs)} each were asked for, and the "
            f"Ray cluster ({len(nodes)} node(s), {_text(total)} in all) can hold at most "
            f"{sum(room.values())}. Lower num_workers or cpus_per_worker, or add nodes (an "
            "autoscaler adds them when ray.autoscaler.sdk.request_resources asks it to)."
        )
    placed = dict.fromkeys(nodes, 0)
    for _ in range(num_workers):
        free = [node for node in nodes if placed[node] < room[node]]
        # Most rows per worker first; a node without rows comes last, the emptiest of them first.
        best = max(free, key=lambda n: (node_rows.get(n, 0) / (placed[n] + 1), -placed[n]))
        placed[best] += 1
    return [node for node, count in placed.items() for _ in range(count)]


def _room(resources: Resources, needs: Resources) -> int:
    wanted = {name: amount for name, amount in needs.items() if amount > 0}
    return min((int(resources.get(name, 0) / amount) for name, amount in wanted.items()), default=0)


def _text(resources: Resources) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items() if amount)
