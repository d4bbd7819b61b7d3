"""The Ray actors that own the processes of a standalone Spark cluster (Master and Workers).

An actor runs on the node where its process runs, and the process ends with the actor.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, cast

from raydp_ml.exceptions import SessionError
from raydp_ml.session.guard import OwnedProcess
from raydp_ml.session.java import find_java
from raydp_ml.session.launch import LIGHT_JVM, spark_home, to_properties, write_private
from raydp_ml.session.log4j import log4j_properties
from raydp_ml.session.sealing import Receiver, seal

if TYPE_CHECKING:
    from raydp_ml.session.actors import Actor

SECRET = "secret"
"""File of the session's folder that holds the secret of its processes."""

# The log file is on this machine and short, so reading it again often costs next to nothing.
_POLL_SECONDS = 0.05
_TAIL_LINES = 15
_START_SECONDS = 120  # of a process that takes the place of one that has ended
_STEADY_SECONDS = 60  # one that has run for so long did not fail for want of anything
_MOST_RESTARTS = 5  # in a row, of a process that ends sooner


class SparkDaemon:
    """Owner of one Spark process, which it starts again when that ends by itself."""

    def __init__(self) -> None:
        self._process: OwnedProcess | None = None
        self._folder: Path | None = None
        self._stopped = False
        self._lock = threading.Lock()  # a process that starts is one that `stop` sees

    @staticmethod
    def node_id() -> str:
        """Id of the Ray node on which this actor runs."""
        import ray

        return ray.get_runtime_context().get_node_id()

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
        with self._lock:
            self._stopped = True
        if self._process is not None:
            self._process.stop()

    def _keep(self, start: Callable[[], None]) -> None:
        """Have a thread call `start` whenever the process has ended by itself.

        Not for ever: one that ends soon after its start, again and again, is left alone.
        """

        def keep() -> None:
            quick = 0
            while not self._stopped:
                process, begun = self._process, time.monotonic()
                assert process is not None
                process.wait(None)
                quick = quick + 1 if time.monotonic() - begun < _STEADY_SECONDS else 1
                if self._stopped or quick > _MOST_RESTARTS:
                    return
                process.stop()  # its files, and executors that have not noticed
                with contextlib.suppress(SessionError):  # it has ended again: next round
                    start()

        threading.Thread(target=keep, daemon=True, name="raydp_ml-keep").start()

    def _launch(
        self, daemon: str, arguments: list[str], conf: dict[str, str], port: int = 0
    ) -> None:
        import ray

        java = find_java()
        home = spark_home()
        address = ray.util.get_node_ip_address()
        listen = ["--host", address, "--port", str(port), "--webui-port", "0"]
        folder = self._folder = Path(tempfile.mkdtemp(prefix="raydp_ml-"))
        # A configuration folder of its own: a spark-env.sh meant for another cluster must not
        # move the ports or the log, and the secret must not be on a command line.
        (folder / "conf").mkdir()
        conf = {"spark.authenticate": "true", **conf}
        write_private(folder / "conf" / "spark-defaults.conf", to_properties(conf))
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
            "RAYDP_ML_NODE_ID": self.node_id(),
        }
        if java.home is not None:
            environment["JAVA_HOME"] = java.home
        with self._lock:
            if self._stopped:
                shutil.rmtree(folder)
                raise SessionError("The Spark session was stopped.")
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


class SparkMaster(SparkDaemon):
    """Owner of a Master. Where Ray starts this actor again, the Master comes back too.

    Parameters
    ----------
    folder : str
        The session's, on this machine. What the Master has to know after a restart stays here, and
        the file `SECRET` is in it.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._shared = Path(folder)
        self._url = ""
        if was_restarted():
            self.start(_START_SECONDS)

    def start(self, timeout: float) -> str:
        """Start a Master and return its URL: on a free port, or on that of the one before."""
        known = self._shared / "port"
        self._start(int(known.read_text()) if known.exists() else 0, timeout)
        port = int(self._url.rpartition(":")[2])
        known.write_text(str(port))
        self._keep(lambda: self._start(port, _START_SECONDS))
        return self._url

    def admit(self, key: bytes) -> tuple[str, bytes]:
        """Return the Master's URL, and the session's secret sealed with a Worker's key."""
        return self._url, seal(self._secret(), key)

    def _secret(self) -> str:
        return (self._shared / SECRET).read_text()

    def _start(self, port: int, timeout: float) -> None:
        conf = {
            "spark.authenticate.secret": self._secret(),
            "spark.deploy.recoveryMode": "FILESYSTEM",
            "spark.deploy.recoveryDirectory": str(self._shared / "recovery"),
        }
        self._launch("org.apache.spark.deploy.master.Master", [], conf, port)
        self._url = self._await_log(r"Starting Spark master at (spark://\S+)", timeout)[1]


class SparkWorker(SparkDaemon):
    """Owner of a Worker. Where Ray starts this actor again, the Worker joins again too.

    Parameters
    ----------
    master : str
        The name of the `SparkMaster`. (Ray keeps a handle as an object, which a restart may miss.)
    cores : int
        Cores that the Worker offers.
    memory_mib : int
        Memory that the Worker offers, in MiB.
    """

    def __init__(self, master: str, cores: int, memory_mib: int) -> None:
        super().__init__()
        self._master = master
        self._offer = ["--cores", str(cores), "--memory", f"{memory_mib}m"]
        if was_restarted():
            self.start(_START_SECONDS)

    def start(self, timeout: float) -> None:
        """Start a Worker and return when it has registered with the Master."""
        import ray

        receiver = Receiver()
        master = cast("Actor", ray.get_actor(self._master))
        admission = master.admit.remote(receiver.public_key())
        url, secret = ray.get(admission, timeout=timeout)
        conf = {"spark.authenticate.secret": receiver.open(secret)}
        self._start(url, conf, timeout)
        self._keep(lambda: self._start(url, conf, _START_SECONDS))

    def _start(self, url: str, conf: dict[str, str], timeout: float) -> None:
        self._launch("org.apache.spark.deploy.worker.Worker", [*self._offer, url], conf)
        self._await_log(r"Successfully registered with master", timeout)


def was_restarted() -> bool:
    """Whether this actor is one that Ray has started again."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray calls a part of its own deprecated
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    # The command that started the executor is thousands of characters long.
    lines = [line for line in lines if not line.startswith(("Spark Executor Command:", "====="))]
    return "\n".join(lines[-_TAIL_LINES:]).strip()
