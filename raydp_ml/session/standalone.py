"""mode="standalone": a Spark standalone cluster whose processes are owned by Ray actors."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from raydp_ml.exceptions import ResourceError, SessionError
from raydp_ml.session.daemons import SparkDaemon
from raydp_ml.session.gateway import DriverJvm, driver_environment, log4j_file
from raydp_ml.session.memory import parse_mib
from raydp_ml.session.options import SessionOptions, spark_conf
from raydp_ml.session.placement import Node, amounts, describe, describe_nodes, shortage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 1
_STOP_SECONDS = 15
_MOST_STARTS = 4  # of one executor
# Room in the Worker's books beside the heap, for off-heap and Python memory that configs may add.
_SPARE_MIB = 1024 * 1024


class StandaloneSession:
    """A Spark session on a Master and one Worker per executor.

    Parameters
    ----------
    options : SessionOptions
        The checked options.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.options = options
        self._deadline = time.monotonic() + options.timeout
        self._bundle = options.resources_per_executor()
        self._secret = secrets.token_hex(32)
        self._group: Any = None
        self._workers: list[Any] = []
        self._owners: list[Any] = []  # the Workers' and the Master's actors
        self._started: list[Any] = []  # those of them that may have a process
        self._cpus: dict[str, float] = {}
        self._jvm: DriverJvm | None = None
        _check_fits(options, self._bundle)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def spark(self) -> SparkSession:
        """The Spark session."""
        assert self._jvm is not None
        return self._jvm.spark

    def is_live(self) -> bool:
        """Whether Spark still works, and Ray, with which its executors end."""
        import ray

        return ray.is_initialized() and self._jvm is not None and self._jvm.is_live()

    def executor_cpus(self) -> dict[str, float]:
        """Ray node id -> CPUs that the executors on it hold."""
        return dict(self._cpus)

    def stop(self) -> None:
        """End the driver JVM, then the daemons with their executors, then the placement group."""
        import ray

        if self._jvm is not None:
            self._jvm.stop()
            self._jvm = None
        owners, self._owners = self._owners, []
        started, self._started = self._started, []
        self._workers = []
        if not ray.is_initialized():  # the user has ended Ray, and the daemons with it
            return
        with contextlib.suppress(Exception):  # an owner may have died; its guard cleans up
            stopped = [owner.stop.remote() for owner in started]
            ray.wait(stopped, num_returns=len(stopped), timeout=_STOP_SECONDS)
        for owner in owners:
            with contextlib.suppress(Exception):
                ray.kill(owner)
        if self._group is not None:
            with contextlib.suppress(Exception):
                ray.util.remove_placement_group(self._group)
            self._group = None

    def _start(self) -> None:
        self._reserve()
        master = self._create_owners()
        nodes = self._await_placement()
        self._started = list(self._owners)
        master_url = self._ask([master.start_master.remote(self._secret, self._left())])[0]
        workers = self._start_workers(master_url)
        self._start_driver(master_url)
        self._ask(workers)
        self._await_executors()
        cpus: Counter[str] = Counter()
        for node in nodes:
            cpus[node] += self._bundle.get("CPU", 0.0)  # type: ignore[assignment]
        self._cpus = dict(cpus)

    def _reserve(self) -> None:
        import ray

        strategy = self.options.placement_group_strategy
        if strategy is None:
            return
        bundle = {name: amount for name, amount in self._bundle.items() if amount > 0}
        self._group = ray.util.placement_group(
            [bundle] * self.options.num_executors, strategy=strategy
        )
        if not self._group.wait(self._left()):
            raise ResourceError(self._not_in_time(0))

    def _create_owners(self) -> Any:
        """Create the actors, the Workers' and the Master's; return the Master's."""
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        owner = ray.remote(SparkDaemon)
        master = owner.options(num_cpus=0).remote()
        self._owners.append(master)
        amounts_of = dict(self._bundle)
        options: dict[str, Any] = {
            "num_cpus": amounts_of.pop("CPU", 0),
            "num_gpus": amounts_of.pop("GPU", 0) or None,
            "memory": amounts_of.pop("memory", 0) or None,
            "resources": amounts_of or None,
        }
        for index in range(self.options.num_executors):
            if self._group is not None:
                options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
                    self._group, placement_group_bundle_index=index
                )
            self._workers.append(owner.options(**options).remote())
            self._owners.append(self._workers[-1])
        return master

    def _await_placement(self) -> list[str]:
        """Ids of the Ray nodes on which the Workers' owners run, once all do."""
        import ray

        placed = [worker.node_id.remote() for worker in self._workers]
        ready, waiting = ray.wait(placed, num_returns=len(placed), timeout=self._left())
        if waiting:
            raise ResourceError(self._not_in_time(len(ready)))
        return self._ask(placed)

    def _start_workers(self, master_url: str) -> list[Any]:
        memory = (parse_mib(self.options.executor_memory) or 0) + _SPARE_MIB
        return [
            worker.start_worker.remote(
                master_url, self.options.executor_cores, memory, self._secret, self._left()
            )
            for worker in self._workers
        ]

    def _start_driver(self, master_url: str) -> None:
        import ray

        folder = tempfile.mkdtemp(prefix="raydp_ml-")
        host = ray.util.get_node_ip_address()
        conf = spark_conf(
            self.options,
            master=master_url,
            host=host,
            folder=folder,
            log4j_file=str(log4j_file(folder)),
        )
        self._jvm = DriverJvm(
            conf,
            secrets={"spark.authenticate.secret": self._secret},
            environment=driver_environment(
                host=host,
                node_id=ray.get_runtime_context().get_node_id(),
                folder=folder,
                configs=self.options.configs,
            ),
            folder=folder,
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
            if self._left() <= 0:
                raise ResourceError(f"{self._not_in_time(started)} {self._executor_errors()}")
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

    def _ask(self, refs: list[Any]) -> list[Any]:
        """Results of the owners' calls, their errors as they were raised."""
        import ray

        try:
            return ray.get(refs, timeout=max(self._left(), 0) + _STOP_SECONDS)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SessionError):
                raise error.cause from None
            raise SessionError(f"An actor that runs Spark failed: {error.cause}") from error
        except ray.exceptions.RayError as error:
            raise SessionError(f"An actor that runs Spark failed: {error}") from error

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _not_in_time(self, started: int) -> str:
        import ray

        free = ray.available_resources()
        now = {name: free.get(name, 0.0) for name in sorted({"CPU", *self._bundle})}
        return (
            f"init_spark was asked for {describe(self._bundle, self.options.num_executors)}, and "
            f"{started} of them started within timeout={self.options.timeout:g} seconds. "
            f"{describe_nodes(self._bundle, _nodes())} Free now: {amounts(now)}. Wait until other "
            "work ends, ask for less, or raise timeout."
        )

    def _executor_errors(self) -> str:
        import ray

        with contextlib.suppress(Exception):
            texts = ray.get(
                [worker.executor_errors.remote() for worker in self._workers], timeout=5
            )
            last = next((text for text in texts if text), "")
            return f"The last lines of an executor were:\n{last}" if last else ""
        return ""


def _nodes() -> list[Node]:
    import ray

    return [
        Node(node["NodeManagerAddress"], node["Resources"]) for node in ray.nodes() if node["Alive"]
    ]


def _check_fits(options: SessionOptions, bundle: dict[str, float]) -> None:
    problem = shortage(bundle, options.num_executors, _nodes(), options.placement_group_strategy)
    if problem is not None:
        raise ResourceError(problem)
