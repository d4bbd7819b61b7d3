"""Room for Spark's executors in a Ray cluster: asked for, waited for, and reserved in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from raydp_ml.exceptions import ResourceError
from raydp_ml.session import ray_runtime
from raydp_ml.session.autoscaler import adds_nodes
from raydp_ml.session.options import SessionOptions
from raydp_ml.session.placement import Node, amounts, describe, describe_nodes, shortage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from ray.util.placement_group import PlacementGroup

    from raydp_ml.session.gateway import DriverJvm

_POLL_SECONDS = 0.05
_GROWING = (
    "Ray's autoscaler was asked for nodes: `ray status` tells which are on their way, and what it "
    "may add. "
)


class ExecutorRoom:
    """The room that a session's executors need, and the time that is left to get it.

    Parameters
    ----------
    options : SessionOptions
        The checked options.

    Raises
    ------
    ResourceError
        If the cluster can never hold the executors, and has no autoscaler.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.bundle = options.resources_per_executor()
        self.group: PlacementGroup | None = None
        self._connection = ray_runtime.connection()
        self._options = options
        self._deadline = time.monotonic() + options.timeout
        problem = shortage(
            self.bundle, options.num_executors, living_nodes(), options.placement_group_strategy
        )
        if problem is not None and not self._grows:
            raise ResourceError(problem)

    @cached_property
    def _grows(self) -> bool:
        """Whether executors that wait for a place make Ray add nodes."""
        return adds_nodes()

    def is_open(self) -> bool:
        """Whether the Ray that has the room is the one that this process is connected to."""
        return ray_runtime.is_open(self._connection)

    def left(self) -> float:
        """Seconds that are left of the session's time-out; negative when it has passed."""
        return self._deadline - time.monotonic()

    def reserve(self) -> None:
        """Reserve the executors' resources together, where a strategy asks for it.

        Raises
        ------
        ResourceError
            If other work holds them for longer than the time-out.
        """
        import ray

        strategy = self._options.placement_group_strategy
        if strategy is None:
            return
        bundle = {name: amount for name, amount in self.bundle.items() if amount > 0}
        self.group = ray.util.placement_group(
            [bundle] * self._options.num_executors, strategy=strategy
        )
        while not self.group.wait(max(self.left(), 0)):  # it may give up a little early
            if self.left() <= 0:
                raise ResourceError(self.not_in_time(0))

    def await_free(self) -> None:
        """Return when the executors' resources are free in sum, or reserved.

        It spares the start of a JVM that would wait for executors without a place. They may yet
        not fit on any one node; only starting them tells. An autoscaler goes by executors that
        wait, so that it must be given them.

        Raises
        ------
        ResourceError
            If other work holds them for longer than the time-out.
        """
        import ray

        if self.group is not None:
            return
        needed = {
            name: amount * self._options.num_executors for name, amount in self.bundle.items()
        }
        while not _covers(ray.available_resources(), needed) and not self._grows:
            if self.left() <= 0:
                raise ResourceError(self.not_in_time(0))
            time.sleep(_POLL_SECONDS)

    def cpus_on(self, nodes: Iterable[str]) -> dict[str, float]:
        """Ray node id -> CPUs of the executors on it, given the node of each executor."""
        each = self.bundle.get("CPU", 0.0)
        return {node: count * each for node, count in Counter(nodes).items()}

    def release(self) -> None:
        """Give a reservation back."""
        import ray

        group, self.group = self.group, None
        if group is not None and self.is_open():
            ray.util.remove_placement_group(group)

    def not_in_time(self, started: int) -> str:
        """Say that only `started` executors came up, what was asked for, and what there is."""
        import ray

        free = ray.available_resources()
        now = {name: free.get(name, 0.0) for name in sorted({"CPU", *self.bundle})}
        return (
            f"init_spark was asked for {describe(self.bundle, self._options.num_executors)}, and "
            f"{started} of them started within timeout={self._options.timeout:g} seconds. "
            f"{describe_nodes(self.bundle, living_nodes())} Free now: {amounts(now)}. "
            f"{_GROWING if self._grows else ''}Wait until other work ends, ask for less, or raise "
            "timeout."
        )


class ClusterSession:
    """What the sessions have in common whose executors hold resources of the Ray cluster.

    Parameters
    ----------
    options : SessionOptions
        The checked options.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.options = options
        self._jvm: DriverJvm | None = None
        self._room = ExecutorRoom(options)

    @property
    def spark(self) -> SparkSession:
        """The Spark session."""
        assert self._jvm is not None
        return self._jvm.spark

    def is_live(self) -> bool:
        """Whether Spark still works, and Ray, with which its executors end."""
        return self._room.is_open() and self._jvm is not None and self._jvm.is_live()

    def java_options(self) -> list[str]:
        """Options without which Spark does not run on this Java."""
        assert self._jvm is not None
        return self._jvm.java_options()


def living_nodes() -> list[Node]:
    """All nodes of the Ray cluster that are alive."""
    import ray

    return [
        Node(node["NodeManagerAddress"], node["Resources"]) for node in ray.nodes() if node["Alive"]
    ]


def _covers(free: Mapping[str, float], needed: Mapping[str, float]) -> bool:
    # Ray counts in units of 0.0001.
    return all(free.get(name, 0.0) >= amount - 1e-4 for name, amount in needed.items())
