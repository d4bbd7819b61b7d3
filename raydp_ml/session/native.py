"""mode="native": every Spark executor is the JVM of a Ray actor; an AppMaster actor owns them."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterable

from raydp_ml.exceptions import ResourceError, SessionError
from raydp_ml.session.cluster import ClusterSession
from raydp_ml.session.driver import start_driver
from raydp_ml.session.gateway import running_gateway
from raydp_ml.session.java import check_java_of_ray
from raydp_ml.session.jvm_output import NOISE
from raydp_ml.session.options import SessionOptions

_MASTER = "spark-ray"  # RayClusterManager.java answers to it
_POLL_SECONDS = 0.05
# What the JVMs of Ray's Java workers say before they are told where to log.
_NOISE = rf'{NOISE}|main ERROR AsyncRoot contains an invalid element or attribute "RingBufferSize"'


class NativeSession(ClusterSession):
    """A Spark session whose executors live in Ray Java actors.

    Parameters
    ----------
    options : SessionOptions
        The checked options.
    """

    def __init__(self, options: SessionOptions) -> None:
        if running_gateway() is not None:
            raise SessionError(
                "mode='native' needs a driver JVM of its own, and an earlier Spark session of this "
                "process (or spark-submit) has left one running. Start a new Python process, or "
                "use mode='local' or mode='standalone'."
            )
        check_java_of_ray()
        _hide_noise()
        super().__init__(options)
        try:
            self._room.reserve()
            self._room.await_free()
            self._start_driver()
            self._await_executors()
            assert self._jvm is not None
            self._jvm.limit_waits(self.options.timeout)
        except BaseException:
            self.stop()
            raise

    def executor_cpus(self) -> dict[str, float]:
        """Ray node id -> CPUs that the executors on it hold now."""
        return self._room.cpus_on(self._executor_nodes())

    def stop(self) -> None:
        """End Spark and with it the actors, then the driver JVM, then the reservation."""
        jvm, self._jvm = self._jvm, None
        if jvm is not None:
            # In good order first: exit hooks alone end Spark and Ray at the same time.
            jvm.stop_context()
            jvm.stop()
        with contextlib.suppress(Exception):
            self._room.release()

    def _start_driver(self) -> None:
        import ray

        host = ray.util.get_node_ip_address()
        self._jvm = start_driver(
            self.options,
            master=_MASTER,
            host=host,
            secret=secrets.token_hex(32),
            more_conf=self._native_conf(host),
            on_launch=lambda jvm: jvm.ml.raydp.cluster.RayDriver.begin(),
        )

    def _native_conf(self, host: str) -> dict[str, str]:
        """What RayDriver.java and RaySchedulerBackend.java read."""
        import ray

        context = ray.get_runtime_context()
        group = self._room.group
        node = next(n for n in ray.nodes() if n["NodeID"] == context.get_node_id())
        local = ray._private.worker.global_worker.node
        assert local is not None
        return {
            "spark.raydp_ml.appId": f"spark-ray-{time.time_ns() // 10**6}-{secrets.token_hex(2)}",
            "spark.raydp_ml.timeout": f"{max(self._room.left(), 0):.0f}",
            "spark.raydp_ml.masterResource": _resource_of_node(node["Resources"]),
            "spark.raydp_ml.executorResources": ",".join(
                f"{name}={amount}" for name, amount in self._room.bundle.items() if amount > 0
            ),
            "spark.raydp_ml.placementGroup": "" if group is None else group.id.hex(),
            "spark.raydp_ml.bundles": str(self.options.num_executors),
            "spark.raydp_ml.ray.address": context.gcs_address,
            "spark.raydp_ml.ray.node-ip": host,
            "spark.raydp_ml.ray.session-dir": local.get_session_dir_path(),
            "spark.raydp_ml.ray.raylet": node["RayletSocketName"],
            "spark.raydp_ml.ray.object-store": node["ObjectStoreSocketName"],
            "spark.raydp_ml.ray.port": str(node["NodeManagerPort"]),
            "spark.raydp_ml.ray.job.namespace": context.namespace,
        }

    def _await_executors(self) -> None:
        """Return when every executor has registered with the driver."""
        context = self.spark.sparkContext._jsc.sc()
        while not context.isStopped():
            started = len(self._executor_nodes())
            if started >= self.options.num_executors:
                return
            if self._room.left() <= 0:
                raise ResourceError(f"{self._room.not_in_time(started)} {_LOGS}")
            time.sleep(_POLL_SECONDS)
        raise SessionError(
            f"Spark gave its application up: {context.schedulerBackend().failure()} {_LOGS}"
        )

    def _executor_nodes(self) -> list[str]:
        """Ray node id of every registered executor."""
        if self._jvm is None or not self._jvm.is_live():
            return []
        backend = self.spark.sparkContext._jsc.sc().schedulerBackend()
        return [line.split(" ")[1] for line in backend.executorNodes().splitlines()]


_LOGS = "The executors log to raydp_ml's files in Ray's log folder (<session>/logs/spark-*.log)."


def _hide_noise() -> None:
    """Have Ray leave `_NOISE` out of what it shows of its workers, as RAY_DEDUP_LOGS_SKIP_REGEX."""
    from ray._private.ray_logging import stderr_deduplicator

    users = stderr_deduplicator.skip_re
    if users is None:
        stderr_deduplicator.skip_re = re.compile(_NOISE)
    elif _NOISE not in users.pattern:
        stderr_deduplicator.skip_re = re.compile(f"{users.pattern}|{_NOISE}")


def _resource_of_node(resources: Iterable[str]) -> str:
    """Name a Ray resource that holds the AppMaster on the driver's node.

    The driver's end is the session's, so no other node's should be. Where nodes share an address,
    only the head has a resource of its own.
    """
    own = [name for name in resources if name.startswith("node:")]
    return max(own, key=lambda name: name == "node:__internal_head__")
