"""The Ray actor that owns one process of a standalone Spark cluster (Master or Worker).

The actor runs on the node where its process runs, and the process ends with the actor.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from glob import glob
from pathlib import Path

from raydp_ml.exceptions import SessionError
from raydp_ml.session.guard import OwnedProcess
from raydp_ml.session.java import find_java
from raydp_ml.session.launch import LIGHT_JVM, spark_home, to_properties, write_private
from raydp_ml.session.log4j import log4j_properties
from raydp_ml.session.sealing import Receiver

# The log file is on this machine and short, so reading it again often costs next to nothing.
_POLL_SECONDS = 0.05
_TAIL_LINES = 15


class SparkDaemon:
    """Owner of one Spark Master or Worker process."""

    def __init__(self) -> None:
        self._process: OwnedProcess | None = None
        self._folder: Path | None = None
        self._receiver = Receiver()

    def place(self) -> tuple[str, bytes]:
        """Id of the Ray node on which this actor runs, and the key to seal secrets with."""
        return self._node_id(), self._receiver.public_key()

    @staticmethod
    def _node_id() -> str:
        import ray

        return ray.get_runtime_context().get_node_id()

    def start_master(self, secret: bytes, timeout: float) -> str:
        """Start a Master on a free port and return its URL."""
        self._launch("org.apache.spark.deploy.master.Master", [], secret)
        return self._await_log(r"Starting Spark master at (spark://\S+)", timeout)[1]

    def start_worker(
        self, master_url: str, cores: int, memory_mib: int, secret: bytes, timeout: float
    ) -> None:
        """Start a Worker and return when it has registered with the Master."""
        self._launch(
            "org.apache.spark.deploy.worker.Worker",
            ["--cores", str(cores), "--memory", f"{memory_mib}m", master_url],
            secret,
        )
        self._await_log(r"Successfully registered with master", timeout)

    def is_running(self) -> bool:
        """Whether the process has started and not ended."""
        return self._process is not None and self._process.is_running()

    def executors_started(self) -> int:
        """How many executors this Worker has started, failed ones included."""
        return len(self._executor_logs())

    def executor_errors(self) -> str:
        """Return the last lines that this Worker's executors wrote, the latest with any."""
        logs = sorted(self._executor_logs(), key=lambda path: path.stat().st_mtime, reverse=True)
        # The latest may have been started, and have written nothing yet.
        return next(filter(None, map(_tail, logs)), "")

    def log_tail(self) -> str:
        """Return the last lines that the process itself wrote."""
        return _tail(self._folder / "log") if self._folder is not None else ""

    def stop(self) -> None:
        """End the process, its executors and its files; returns when that is done."""
        if self._process is not None:
            self._process.stop()

    def _launch(self, daemon: str, arguments: list[str], secret: bytes) -> None:
        import ray

        java = find_java()
        home = spark_home()
        address = ray.util.get_node_ip_address()
        listen = ["--host", address, "--port", "0", "--webui-port", "0"]
        folder = self._folder = Path(tempfile.mkdtemp(prefix="raydp_ml-"))
        # A configuration folder of its own: a spark-env.sh meant for another cluster must not
        # move the ports or the log, and the secret must not be on a command line.
        (folder / "conf").mkdir()
        security = {
            "spark.authenticate": "true",
            "spark.authenticate.secret": self._receiver.open(secret),
        }
        write_private(folder / "conf" / "spark-defaults.conf", to_properties(security))
        write_private(folder / "conf" / "log4j2.properties", log4j_properties("info"))
        # A user's SPARK_WORKER_CORES, SPARK_MASTER_PORT and the like are for another cluster.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SPARK_MASTER_", "SPARK_WORKER_"))
        }
        environment = {
            "SPARK_LOCAL_DIRS": str(folder),
            "PYSPARK_PYTHON": sys.executable,
            **inherited,
            "SPARK_HOME": home,
            "SPARK_CONF_DIR": str(folder / "conf"),
            "SPARK_LOCAL_IP": address,
            "SPARK_WORKER_DIR": str(folder / "work"),
            "SPARK_DAEMON_MEMORY": "512m",
            "SPARK_DAEMON_JAVA_OPTS": LIGHT_JVM,
            "SPARK_LAUNCHER_OPTS": LIGHT_JVM,
            "RAYDP_ML_NODE_ID": self._node_id(),
        }
        if java.home is not None:
            environment["JAVA_HOME"] = java.home
        self._process = OwnedProcess(
            [f"{home}/bin/spark-class", daemon, *listen, *arguments],
            env=environment,
            folder=str(folder),
            log_file=str(folder / "log"),
        )

    def _executor_logs(self) -> list[Path]:
        # Not Path.glob, which raises for a folder that a Worker removes under its feet.
        pattern = f"{self._folder}/work/*/*/stderr"
        return [] if self._folder is None else [Path(path) for path in glob(pattern)]

    def _await_log(self, pattern: str, timeout: float) -> re.Match[str]:
        assert self._folder is not None
        log = self._folder / "log"
        deadline = time.monotonic() + timeout
        while True:
            running = self.is_running()  # asked before reading, so that no last line is missed
            match = re.search(pattern, log.read_text(errors="replace"))
            if match is not None:
                return match
            if not running or time.monotonic() > deadline:
                what = "did not come up in time" if running else "ended while starting"
                raise SessionError(f"A Spark daemon {what}. Its last output was:\n{_tail(log)}")
            time.sleep(_POLL_SECONDS)


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    # The command that started the executor is thousands of characters long.
    lines = [line for line in lines if not line.startswith(("Spark Executor Command:", "====="))]
    return "\n".join(lines[-_TAIL_LINES:]).strip()
