"""Whether a Ray cluster can ever hold the executors that were asked for. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """One living Ray node and its total resources, used or not."""

    name: str
    resources: Mapping[str, float]


def room(bundle: Mapping[str, float], node: Node) -> float:
    """How many times `bundle` fits into an empty `node` (infinity for an empty bundle)."""
    return min(
        (
            # Ray counts in units of 0.0001, so a quotient may fall just short of a whole number.
            math.floor(node.resources.get(name, 0.0) / amount + 1e-6)
            for name, amount in bundle.items()
            if amount > 0
        ),
        default=math.inf,
    )


def capacity(bundle: Mapping[str, float], nodes: Sequence[Node], strategy: str | None) -> float:
    """How many equal `bundle`s the empty cluster holds under a placement strategy."""
    per_node = [room(bundle, node) for node in nodes]
    if strategy == "STRICT_PACK":
        return max(per_node, default=0)
    if strategy == "STRICT_SPREAD":
        return sum(1 for count in per_node if count >= 1)
    return sum(per_node)


def shortage(
    bundle: Mapping[str, float], count: int, nodes: Sequence[Node], strategy: str | None
) -> str | None:
    """Say why the cluster can never hold `count` executors, or None if it can."""
    most = capacity(bundle, nodes, strategy)
    if most >= count:
        return None
    rule = f" under placement_group_strategy={strategy!r}" if strategy else ""
    return (
        f"init_spark was asked for {describe(bundle, count)}, but the Ray cluster can hold "
        f"{most:.0f} of them{rule}. {describe_nodes(bundle, nodes)} Ask for fewer executors or for "
        "smaller executor_cores or executor_resources, or add nodes to the cluster."
    )


def describe(bundle: Mapping[str, float], count: int) -> str:
    """For example ``"3 executors of {'CPU': 2} each"``."""
    plural = "executor" if count == 1 else "executors"
    return f"{count} {plural} of {amounts(bundle)} each"


def describe_nodes(bundle: Mapping[str, float], nodes: Sequence[Node]) -> str:
    """Say what the nodes have of the resources in `bundle`."""
    names = sorted({"CPU", *bundle})
    shown = [
        f"{node.name} has {amounts({name: node.resources.get(name, 0.0) for name in names})}"
        for node in nodes[:8]
    ]
    more = f", and {len(nodes) - 8} more" if len(nodes) > 8 else ""
    return f"Its nodes: {', '.join(shown) or 'none'}{more}."


def amounts(resources: Mapping[str, float]) -> str:
    """Spell resources as a dict, whole numbers without a fraction."""
    spelled = [
        f"{name!r}: {value:.0f}" if value == int(value) else f"{name!r}: {value:g}"
        for name, value in resources.items()
    ]
    return "{" + ", ".join(spelled) + "}"
