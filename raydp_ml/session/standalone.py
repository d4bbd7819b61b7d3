"""mode="standalone": a Spark standalone cluster whose processes are owned by Ray actors."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from raydp_ml.exceptions import ResourceError, SessionError
from raydp_ml.session.cluster import ClusterSession
from raydp_ml.session.daemons import SECRET, SparkMaster, SparkWorker
from raydp_ml.session.driver import start_driver
from raydp_ml.session.guard import Guard
from raydp_ml.session.launch import write_private
from raydp_ml.session.memory import parse_mib
from raydp_ml.session.options import SessionOptions

if TYPE_CHECKING:
    from ray import ObjectRef

    from raydp_ml.session.actors import Actor

T = TypeVar("T")

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 1
_STOP_SECONDS = 15
_MOST_STARTS = 4  # of one executor
# Room in the Worker's books beside the heap, for off-heap and Python memory that configs may add.
_SPARE_MIB = 1024 * 1024


class StandaloneSession(ClusterSession):
    """A Spark session on a Master and one Worker per executor.

    Parameters
    ----------
    options : SessionOptions
        The checked options.
    """

    def __init__(self, options: SessionOptions) -> None:
        super().__init__(options)
        self._secret = secrets.token_hex(32)
        self._folder = tempfile.mkdtemp(prefix="raydp_ml-")
        self._guard = Guard(None, self._folder)
        self._workers: list[Actor] = []
        self._owners: list[Actor] = []  # the Workers' and the Master's actors
        self._started: list[Actor] = []  # those of them that may have a process
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def executor_cpus(self) -> dict[str, float]:
        """Ray node id -> CPUs that the executors on it hold now."""
        import ray

        if not self._room.is_open():
            return {}
        # A Worker whose node is gone comes back on another. Its owner could not answer meanwhile.
        found = [ray._private.state.actors(worker._actor_id.hex()) for worker in self._workers]
        return self._room.cpus_on(
            actor["Address"]["NodeID"] for actor in found if actor.get("State") == "ALIVE"
        )

    def stop(self) -> None:
        """End the driver JVM, then the daemons with their executors, then the placement group."""
        if self._jvm is not None:
            self._jvm.stop()
            self._jvm = None
        if self._room.is_open():  # else the user has ended that Ray, and the daemons with it
            self._end_daemons()
        self._guard.release()
        self._guard.wait()

    def _end_daemons(self) -> None:
        import ray

        owners, self._owners = self._owners, []
        started, self._started = self._started, []
        self._workers = []
        with contextlib.suppress(Exception):  # an owner may have died; its guard cleans up
            stopped = [owner.stop.remote() for owner in started]
            ray.wait(stopped, num_returns=len(stopped), timeout=_STOP_SECONDS)
        for owner in owners:
            with contextlib.suppress(Exception):
                ray.kill(owner)
        with contextlib.suppress(Exception):
            self._room.release()

    def _start(self) -> None:
        self._room.reserve()
        write_private(Path(self._folder, SECRET), self._secret)
        master = self._create_owners()
        self._await_placement()
        self._started = list(self._owners)
        master_url = self._ask([master.start.remote(self._room.left())])[0]
        workers = [worker.start.remote(self._room.left()) for worker in self._workers]
        self._start_driver(master_url)
        self._ask(workers)
        self._await_executors()
        assert self._jvm is not None
        self._jvm.limit_waits(self.options.timeout)

    def _create_owners(self) -> Actor:
        """Create the actors, the Workers' and the Master's; return the Master's."""
        import ray
        from ray.util.scheduling_strategies import (
            NodeAffinitySchedulingStrategy,
            PlacementGroupSchedulingStrategy,
        )

        # The Master reads the session's folder, which is on this machine.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        name = f"raydp_ml-master-{secrets.token_hex(8)}"
        owner = ray.remote(SparkMaster).options(
            num_cpus=0, scheduling_strategy=here, max_restarts=-1, name=name
        )
        master = cast("Actor", owner.remote(self._folder))
        self._owners.append(master)
        amounts_of = dict(self._room.bundle)
        options: dict[str, object] = {
            "num_cpus": amounts_of.pop("CPU", 0),
            "num_gpus": amounts_of.pop("GPU", 0) or None,
            "memory": amounts_of.pop("memory", 0) or None,
            "resources": amounts_of or None,
            "max_restarts": -1,
        }
        memory = (parse_mib(self.options.executor_memory) or 0) + _SPARE_MIB
        for index in range(self.options.num_executors):
            if self._room.group is not None:
                options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
                    self._room.group, placement_group_bundle_index=index
                )
            worker = ray.remote(SparkWorker).options(**options)
            self._workers.append(
                cast("Actor", worker.remote(name, self.options.executor_cores, memory))
            )
            self._owners.append(self._workers[-1])
        return master

    def _await_placement(self) -> None:
        """Return when all Workers' owners run."""
        import ray

        placed = [worker.node_id.remote() for worker in self._workers]
        ready, waiting = ray.wait(placed, num_returns=len(placed), timeout=self._room.left())
        if waiting:
            raise ResourceError(self._room.not_in_time(len(ready)))
        self._ask(placed)

    def _start_driver(self, master_url: str) -> None:
        import ray

        self._jvm = start_driver(
            self.options,
            master=master_url,
            host=ray.util.get_node_ip_address(),
            secret=self._secret,
        )

    def _await_executors(self) -> None:
        """Return when every executor has registered with the driver."""
        context = self.spark.sparkContext._jsc.sc()
        next_check = time.monotonic() + _CHECK_SECONDS
        while not context.isStopped():
            started = context.getExecutorMemoryStatus().size() - 1  # the driver is one of them
            if started >= self.options.num_executors:
                return
            if time.monotonic() > next_check:
                self._check_daemons()
                next_check = time.monotonic() + _CHECK_SECONDS
            if self._room.left() <= 0:
                raise ResourceError(f"{self._room.not_in_time(started)} {self._executor_errors()}")
            time.sleep(_POLL_SECONDS)
        raise SessionError(f"Spark gave its application up. {self._executor_errors()}")

    def _check_daemons(self) -> None:
        """Raise if a daemon has ended, or a Worker's executors fail again and again.

        Spark itself would start executors that fail at once for ever, dozens in a second.
        """
        running = self._ask([owner.is_running.remote() for owner in self._owners])
        for owner, runs in zip(self._owners, running, strict=True):
            if not runs:
                log = self._ask([owner.log_tail.remote()])[0]
                raise SessionError(f"A Spark daemon ended. Its last output was:\n{log}")
        started = self._ask([worker.executors_started.remote() for worker in self._workers])
        if max(started) > _MOST_STARTS:
            raise SessionError(
                "Executors of Spark fail as soon as they start. Check executor_memory and configs. "
                f"{self._executor_errors()}"
            )

    def _ask(self, refs: list[ObjectRef[T]]) -> list[T]:
        """Results of the owners' calls, their errors as they were raised."""
        import ray

        try:
            return ray.get(refs, timeout=max(self._room.left(), 0) + _STOP_SECONDS)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SessionError):
                raise error.cause from None
            raise SessionError(f"An actor that runs Spark failed: {error.cause}") from error
        except ray.exceptions.RayError as error:
            raise SessionError(f"An actor that runs Spark failed: {error}") from error

    def _executor_errors(self) -> str:
        import ray

        with contextlib.suppress(Exception):
            texts = ray.get(
                [worker.executor_errors.remote() for worker in self._workers], timeout=5
            )
            last = next((text for text in texts if text), "")
            return f"The last lines of an executor were:\n{last}" if last else ""
        return ""
