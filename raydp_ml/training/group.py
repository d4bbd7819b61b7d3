"""Gangs of training actors: placed near the data, kept warm between fits."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raydp_ml.exceptions import ResourceError
from raydp_ml.exchange.blocks import Blocks
from raydp_ml.session import ray_runtime
from raydp_ml.session.lifecycle import executor_cpus
from raydp_ml.training.failure import WorkerLostError, error_of
from raydp_ml.training.placement import place_workers
from raydp_ml.training.reservation import reserved_cpus
from raydp_ml.training.worker import Worker

IDLE_SECONDS = 300.0
"""An idle worker ends after this time."""

_START_TIMEOUT = 60.0
_SETTLE_SECONDS = 15.0
_POLL_SECONDS = 0.1

OnEvent = Callable[[int, Any], None]
Kind = tuple[str, float, tuple[tuple[str, float], ...]]  # node, GPUs, other resources


class WorkerGroup:
    """A gang of workers that run one function each, together.

    Attributes
    ----------
    size : int
        Number of workers; their ranks are 0 to size - 1.
    cpus_per_worker : int
        Threads that each may use.
    node_ids : list of str
        Ray node of each worker.
    host : str
        Address of the driver's node, where the workers can reach a tracker.
    """

    def __init__(self, workers: Sequence[Any], node_ids: Sequence[str], cpus: int) -> None:
        self._workers = list(workers)
        self.node_ids = list(node_ids)
        self.size = len(self._workers)
        self.cpus_per_worker = cpus
        self.host = ray.util.get_node_ip_address()
        self.healthy = True

    def run(
        self,
        function: Callable[..., Any],
        args: Sequence[tuple[Any, ...]],
        *,
        on_event: OnEvent | None = None,
    ) -> list[Any]:
        """Run ``function(*args[rank])`` on each worker and wait for all.

        Parameters
        ----------
        function : callable
            Importable on the workers.
        args : sequence of tuple
            One per rank.
        on_event : callable, optional
            Called with ``(rank, event)`` for each event that a worker reports.

        Returns
        -------
        list
            The results by rank.

        Raises
        ------
        TrainingError
            A worker raised; its exception is the cause.
        WorkerLostError
            A worker's process died.
        """
        pending = {
            worker.run.remote(function, its_args): rank
            for rank, (worker, its_args) in enumerate(zip(self._workers, args, strict=True))
        }
        results: list[Any] = [None] * self.size
        failures: list[tuple[int, BaseException]] = []
        deadline = math.inf
        self.healthy = False  # until all have answered, also if Ctrl-C leaves this loop
        while pending and time.monotonic() < deadline:
            done, _ = ray.wait(list(pending), timeout=_POLL_SECONDS if on_event else 1.0)
            for ref in done:
                rank = pending.pop(ref)
                try:
                    results[rank], events = ray.get(ref)
                except ray.exceptions.RayTaskError as error:
                    failures.append((rank, error.cause))
                except ray.exceptions.RayActorError as error:
                    failures.append((rank, self._lost(rank, error)))
                else:
                    for event in events if on_event else ():
                        on_event(rank, event)  # type: ignore[misc]
            if failures and deadline == math.inf:
                # The others fail in the collective, or end; one that does neither is killed.
                deadline = time.monotonic() + _SETTLE_SECONDS
            if on_event and pending and not failures:
                self._deliver(pending.values(), on_event)
        if failures:
            lost = any(isinstance(error, WorkerLostError) for _, error in failures)
            self.healthy = not pending and not lost
            raise error_of(failures, self.size)
        self.healthy = True
        return results

    def request_stop(self) -> None:
        """Ask the running function to end early on every worker."""
        for worker in self._workers:
            worker.request_stop.remote()

    def _deliver(self, ranks: Any, on_event: OnEvent) -> None:
        polls = {rank: self._workers[rank].events.remote() for rank in list(ranks)}
        for rank, poll in polls.items():
            try:
                events = ray.get(poll, timeout=_START_TIMEOUT)
            except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
                continue  # Its death is seen, and told, where its result is awaited.
            for event in events:
                on_event(rank, event)

    def _lost(self, rank: int, error: BaseException) -> WorkerLostError:
        first = str(error).strip().splitlines()[0]
        lost = WorkerLostError(
            f"Worker {rank} of {self.size} on Ray node {self.node_ids[rank][:8]} ended during "
            f"training (killed, out of memory, or its node is gone): {first}"
        )
        lost.__cause__ = error
        return lost


@contextlib.contextmanager
def worker_group(
    num_workers: int | None,
    *,
    cpus_per_worker: int | None = None,
    gpus_per_worker: float = 0,
    resources_per_worker: Mapping[str, float] | None = None,
    blocks: Blocks | None = None,
) -> Iterator[WorkerGroup]:
    """Lend a gang of workers for the time of a ``with`` block.

    Parameters
    ----------
    num_workers : int or None
        None for one per Ray node that holds rows of `blocks`.
    cpus_per_worker : int, optional
        The node's CPUs divided among its workers by default, at least 1.
    gpus_per_worker : float, default=0
        GPUs of each worker.
    resources_per_worker : mapping of str to float, optional
        Further Ray resources of each worker.
    blocks : Blocks, optional
        The data, near which the workers are placed.

    Yields
    ------
    WorkerGroup
        Workers left over from earlier fits are used again.

    Raises
    ------
    ResourceError
        The cluster can never hold the workers, or has no room for them now.
    """
    ray_runtime.ensure_ray()
    others = {**(resources_per_worker or {})}
    needs = {"CPU": cpus_per_worker or 1, "GPU": gpus_per_worker, **others}
    nodes = live_nodes()
    placed = place_workers(num_workers, nodes, _rows_by_node(blocks), needs)
    per_node = Counter(placed)
    cpus = cpus_per_worker or min(
        max(1, int(nodes[node]["CPU"] // count)) for node, count in per_node.items()
    )
    kinds = [(node, gpus_per_worker, tuple(sorted(others.items()))) for node in placed]
    # The workers themselves ask Ray for no CPU: idle, they must not keep others from working.
    wanted = {node: cpus * count for node, count in per_node.items()}
    with reserved_cpus(lambda: _to_reserve(wanted, nodes)):
        workers = _pool.take(kinds)
        group = WorkerGroup(workers, placed, cpus)
        try:
            yield group
        finally:
            if group.healthy:
                _pool.give_back(kinds, workers)
            else:
                _end(workers)


def live_nodes() -> dict[str, Mapping[str, float]]:
    """All resources of each live Ray node, whoever uses them now."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _rows_by_node(blocks: Blocks | None) -> dict[str, int]:
    rows: Counter[str] = Counter()
    if blocks is not None:
        for node, count in zip(blocks.node_ids, blocks.block_rows, strict=True):
            rows[node] += count
    return dict(rows)


def _to_reserve(cpus: Mapping[str, float], nodes: Mapping[str, Any]) -> dict[str, float]:
    """CPUs to hold on each node: all but what our Spark executors hold, since Spark waits."""
    spark = executor_cpus()
    return {
        node: min(amount, nodes[node]["CPU"] - spark.get(node, 0)) for node, amount in cpus.items()
    }


@dataclass
class _Idle:
    worker: Any
    since: float


class _Pool:
    """Idle workers by kind, ended when they have been idle for long."""

    def __init__(self) -> None:
        self._idle: dict[Kind, list[_Idle]] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._connection = ""

    def take(self, kinds: Sequence[Kind]) -> list[Any]:
        """One live worker of each kind: idle ones first, new ones for the rest."""
        connection = ray_runtime.connection()
        with self._lock:
            if connection != self._connection:
                # The user has ended that Ray, and its actors with it.
                self._idle.clear()
                self._connection = connection
                ray_runtime.on_stop(self.close)
            idle = [
                self._idle[kind].pop().worker if self._idle.get(kind) else None for kind in kinds
            ]
        workers = [
            worker if worker is not None and _is_alive(worker) else _start(kind)
            for kind, worker in zip(kinds, idle, strict=True)
        ]
        ready = [worker.prepare.remote() for worker in workers]
        done, late = ray.wait(ready, num_returns=len(ready), timeout=_START_TIMEOUT)
        try:
            ray.get(done)
        except ray.exceptions.RayActorError as error:
            _end(workers)
            raise ResourceError(f"A training worker did not start: {error}") from error
        if late:
            _end(workers)
            raise ResourceError(
                f"{len(late)} of {len(workers)} training workers did not start within "
                f"{_START_TIMEOUT:.0f} s. The machine may be overloaded or out of memory; "
                "`ray status` tells."
            )
        return workers

    def give_back(self, kinds: Sequence[Kind], workers: Sequence[Any]) -> None:
        """Keep workers for the next fit."""
        with self._lock:
            for kind, worker in zip(kinds, workers, strict=True):
                self._idle.setdefault(kind, []).append(_Idle(worker, time.monotonic()))
            if self._timer is None:
                self._start_timer()

    def close(self) -> None:
        """End all idle workers."""
        with self._lock:
            idle = [entry.worker for entries in self._idle.values() for entry in entries]
            self._idle.clear()
            self._connection = ""
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        _end(idle)

    def _start_timer(self) -> None:
        self._timer = threading.Timer(IDLE_SECONDS / 4, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            oldest = time.monotonic() - IDLE_SECONDS
            expired = []
            for kind, entries in self._idle.items():
                expired += [entry.worker for entry in entries if entry.since < oldest]
                self._idle[kind] = [entry for entry in entries if entry.since >= oldest]
            self._timer = None
            if any(self._idle.values()):
                self._start_timer()
        _end(expired)


def _start(kind: Kind) -> Any:
    node, gpus, others = kind
    return (
        ray.remote(concurrency_groups={"control": 1})(Worker)  # type: ignore[call-overload]
        .options(
            num_cpus=0,
            num_gpus=gpus,
            resources=dict(others),
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote()
    )


def _is_alive(worker: Any) -> bool:
    try:
        ray.get(worker.prepare.remote(), timeout=10)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return False
    return True


def _end(workers: Sequence[Any]) -> None:
    # After ray.shutdown() they are gone already, and ray.kill would start a new Ray.
    for worker in workers if ray.is_initialized() else ():
        ray.kill(worker)


_pool = _Pool()
