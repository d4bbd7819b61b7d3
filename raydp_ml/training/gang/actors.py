"""Gangs of training actors: placed near the data, kept warm between fits."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raydp_ml.exceptions import ResourceError
from raydp_ml.exchange.blocks import Blocks
from raydp_ml.session import ray_runtime
from raydp_ml.session.full import full_store, store_may_be_full
from raydp_ml.session.lifecycle import executor_cpus
from raydp_ml.training.gang.failure import WorkerLostError, error_of
from raydp_ml.training.gang.gang import OnEvent
from raydp_ml.training.gang.placement import place_workers
from raydp_ml.training.gang.reservation import reserved_cpus
from raydp_ml.training.gang.turns import Turn, take_turn
from raydp_ml.training.gang.worker import Worker

if TYPE_CHECKING:
    from raydp_ml.session.actors import Actor

_Result = TypeVar("_Result")

IDLE_SECONDS = 300.0
"""An idle worker ends after this time."""

_START_TIMEOUT = 60.0
_SETTLE_SECONDS = 15.0
_POLL_SECONDS = 0.1

Kind = tuple[str, float, tuple[tuple[str, float], ...]]  # node, GPUs, other resources


class ActorGang:
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

    in_process = False

    def __init__(self, workers: Sequence[Actor], node_ids: Sequence[str], cpus: int) -> None:
        self._workers = list(workers)
        self.node_ids: Sequence[str] = list(node_ids)
        self.size = len(self._workers)
        self.cpus_per_worker = cpus
        self.host = ray.util.get_node_ip_address()
        self.healthy = True
        self._connection = ray_runtime.connection()

    def run(
        self,
        function: Callable[..., _Result],
        args: Sequence[tuple[object, ...]],
        *,
        on_event: OnEvent | None = None,
    ) -> list[_Result]:
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
        ray_runtime.require_open(self._connection)
        with store_may_be_full():
            pending = {
                worker.run.remote(function, its_args, self.cpus_per_worker): rank
                for rank, (worker, its_args) in enumerate(zip(self._workers, args, strict=True))
            }
        results: dict[int, _Result] = {}
        failures: list[tuple[int, BaseException]] = []
        deadline = math.inf
        self.healthy = False  # until all have answered, also if Ctrl-C leaves this loop
        while pending and time.monotonic() < deadline:
            ray_runtime.require_open(self._connection)
            done, _ = ray.wait(list(pending), timeout=_POLL_SECONDS if on_event else 1.0)
            for ref in done:
                rank = pending.pop(ref)
                try:
                    results[rank], events = ray.get(ref)
                except (ray.exceptions.OutOfDiskError, ray.exceptions.ObjectStoreFullError):
                    # What it returns is beyond the store of its node.
                    failures.append((rank, full_store(self.node_ids[rank])))
                except ray.exceptions.RayTaskError as error:
                    failures.append((rank, error.cause))
                except ray_runtime.losses() as error:
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
        return [results[rank] for rank in range(self.size)]

    def request_stop(self) -> None:
        """Ask the running function to end early on every worker."""
        ray_runtime.require_open(self._connection)
        for worker in self._workers:
            worker.request_stop.remote()

    def members(self) -> list[ActorGang]:
        """Return a gang of one for each worker, which works on its own."""
        return [
            ActorGang([worker], [node], self.cpus_per_worker)
            for worker, node in zip(self._workers, self.node_ids, strict=True)
        ]

    def end(self) -> None:
        """End the workers, whatever they do."""
        self.healthy = False
        _end(self._workers, self._connection)

    def _deliver(self, ranks: Iterable[int], on_event: OnEvent) -> None:
        ray_runtime.require_open(self._connection)  # a call would start another Ray
        polls = {rank: self._workers[rank].events.remote() for rank in list(ranks)}
        for rank, poll in polls.items():
            try:
                events = ray.get(poll, timeout=_START_TIMEOUT)
            except ray.exceptions.RayError:
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
def actor_gang(
    num_workers: int | None,
    *,
    cpus_per_worker: int | None = None,
    gpus_per_worker: float = 0,
    resources_per_worker: Mapping[str, float] | None = None,
    blocks: Blocks | None = None,
    patience: float | None = None,
) -> Iterator[ActorGang]:
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
    patience : float, optional
        Seconds to wait for what others than the fits of this program hold.

    Yields
    ------
    ActorGang
        Workers left over from earlier fits are used again.

    Raises
    ------
    ResourceError
        The cluster can never hold the workers, or has no room for them now.
    """
    ray_runtime.ensure_ray()
    connection = ray_runtime.connection()
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
    with take_turn() as turn, reserved_cpus(lambda: _to_reserve(wanted, nodes), turn, patience):
        if not gpus_per_worker and not others:
            turn.got_all()  # before the workers start, which takes seconds
        workers = _pool.take(kinds, turn, patience)
        if gpus_per_worker or others:
            turn.got_all()
        group = ActorGang(workers, placed, cpus)
        try:
            yield group
        finally:
            if group.healthy:
                _pool.give_back(kinds, workers)
            else:
                _end(workers, connection)


def live_nodes() -> dict[str, Mapping[str, float]]:
    """All resources of each live Ray node, whoever uses them now."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _rows_by_node(blocks: Blocks | None) -> dict[str, int]:
    rows: Counter[str] = Counter()
    if blocks is not None:
        for node, count in zip(blocks.node_ids, blocks.block_rows, strict=True):
            rows[node] += count
    return dict(rows)


def _to_reserve(
    cpus: Mapping[str, float], nodes: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """CPUs to hold on each node: all but what our Spark executors hold, since Spark waits."""
    spark = executor_cpus()
    return {
        node: min(amount, nodes[node]["CPU"] - spark.get(node, 0)) for node, amount in cpus.items()
    }


@dataclass
class _Idle:
    worker: Actor
    since: float


class _Pool:
    """Idle workers by kind, ended when they have been idle for long."""

    def __init__(self) -> None:
        self._idle: dict[Kind, list[_Idle]] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._connection = ""

    def take(self, kinds: Sequence[Kind], turn: Turn, patience: float | None = None) -> list[Actor]:
        """One live worker of each kind: idle ones first, new ones for the rest.

        Raises
        ------
        ResourceError
            A worker did not start in time.
        """
        connection = self._follow_connection()
        workers = [self._pop(kind) or _start(kind) for kind in kinds]
        ready = {worker.prepare.remote(): index for index, worker in enumerate(workers)}
        # Those that ask for no more than CPUs only have to start, which has its own time.
        special = any(_holds(kind) for kind in kinds)
        limit = patience if special and patience is not None else _START_TIMEOUT
        deadline = time.monotonic() + limit
        try:
            while ready:
                ray_runtime.require_open(connection)
                done, _ = ray.wait([*ready], num_returns=len(ready), timeout=1.0)
                ray.get(done)
                for ref in done:
                    del ready[ref]
                self._make_room([kinds[index] for index in ready.values()])
                for ref, index in list(ready.items()):
                    # What another fit has just given back: a new one would wait for its GPU.
                    idle = self._pop(kinds[index])
                    if idle is not None:
                        del ready[ref]
                        _end([workers[index]], connection)
                        workers[index] = idle
                if any(_holds(kinds[index]) for index in ready.values()) and turn.others_run():
                    turn.tell()
                    deadline = time.monotonic() + limit
                elif ready and time.monotonic() > deadline:
                    raise ResourceError(_not_started(kinds, [*ready.values()], limit))
        except ray.exceptions.RayError as error:
            _end(workers, connection)
            raise ResourceError(f"A training worker did not start: {error}") from error
        except BaseException:
            _end(workers, connection)
            raise
        return workers

    def _follow_connection(self) -> str:
        """Forget the workers of a Ray that the user has ended; return the current connection."""
        connection = ray_runtime.connection()
        with self._lock:
            is_new = connection != self._connection
            if is_new:
                self._idle.clear()
                self._connection = connection
        if is_new:  # without our lock: stop_spark holds that of ray_runtime, and calls close
            ray_runtime.on_stop(self.close)
        return connection

    def _pop(self, kind: Kind) -> Actor | None:
        """Take a live idle worker of a kind, or None."""
        while True:
            with self._lock:
                entries = self._idle.get(kind)
                worker = entries.pop().worker if entries else None
            if worker is None or _is_alive(worker):
                return worker

    def _make_room(self, kinds: Sequence[Kind]) -> None:
        """End idle workers of other kinds that hold what workers of these kinds wait for."""
        with self._lock:
            rivals = [
                idle
                for idle in self._idle
                if any(idle[0] == kind[0] and _holds(idle) & _holds(kind) for kind in kinds)
                and idle not in kinds
            ]
            ended = [entry.worker for kind in rivals for entry in self._idle.pop(kind)]
            connection = self._connection
        _end(ended, connection)

    def give_back(self, kinds: Sequence[Kind], workers: Sequence[Actor]) -> None:
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
            connection, self._connection = self._connection, ""
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        _end(idle, connection)

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
            connection = self._connection
            if any(self._idle.values()):
                self._start_timer()
        _end(expired, connection)


def _start(kind: Kind) -> Actor:
    node, gpus, others = kind
    amounts = dict(others)
    memory = amounts.pop("memory", None)  # in bytes, which Ray takes by itself
    worker = ray.remote(concurrency_groups={"control": 1})(Worker)  # type: ignore[call-overload]
    made = worker.options(
        num_cpus=0,
        num_gpus=gpus,
        memory=memory,
        resources=amounts,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    ).remote()
    return cast("Actor", made)


def _holds(kind: Kind) -> set[str]:
    """Names of the Ray resources that a worker of this kind holds also while it is idle."""
    _, gpus, others = kind
    return {name for name, amount in (("GPU", gpus), *others) if amount}


def _not_started(kinds: Sequence[Kind], late: Sequence[int], limit: float) -> str:
    held = sorted(set().union(*(_holds(kinds[index]) for index in late)))
    why = (
        f"Others than the fits of this program may hold the resources {held} that they need"
        if held
        else "The machine may be overloaded or out of memory"
    )
    return (
        f"{len(late)} of {len(kinds)} training workers did not start within "
        f"{limit:.0f} s. {why}; `ray status` tells."
    )


def _is_alive(worker: Actor) -> bool:
    try:
        ray.get(worker.prepare.remote(), timeout=10)
    except (ray.exceptions.RayError, ValueError):  # a RayError is also a time-out
        return False
    return True


def _end(workers: Sequence[Actor], connection: str) -> None:
    # After ray.shutdown() they are gone already, and ray.kill would start a new Ray.
    for worker in workers if ray_runtime.is_open(connection) else ():
        ray.kill(worker)


_pool = _Pool()
