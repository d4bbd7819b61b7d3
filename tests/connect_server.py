"""A Spark Connect server in a process of its own, and a session of it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyspark
import pytest

from raydp_ml.session.class_path import JAR
from raydp_ml.session.guard import OwnedProcess

CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
START_SECONDS = 120
MODE = "SPARK_CONNECT_MODE_ENABLED"
WITH_JAR = {"spark.jars": str(JAR), "spark.sql.extensions": "ml.raydp.trees.ServerFunctions"}
"""What gives a server our functions, as the guide says."""


@contextlib.contextmanager
def connect_server(configs: Mapping[str, str]) -> Iterator[str]:
    """Run a server on a port that the system chooses; yields its address."""
    folder = tempfile.mkdtemp(prefix="connect-server-")
    log = Path(folder, "log")
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.driver.memory": "2g",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.ui.enabled": "false",
        **WITH_JAR,
        **configs,
    }
    home = Path(pyspark.__file__).parent
    command = [str(home / "bin/spark-submit"), "--class", CLASS, "--master", "local[2]"]
    for key, value in settings.items():
        command += ["--conf", f"{key}={value}"]
    kept = {name: value for name, value in os.environ.items() if name != MODE}
    # Its Python workers find the tests, as those of other sessions do.
    path = os.pathsep.join(
        [str(Path(__file__).parents[1]), *filter(None, [kept.get("PYTHONPATH")])]
    )
    server = OwnedProcess(
        command,
        env={**kept, "SPARK_HOME": str(home), "PYTHONPATH": path},
        folder=folder,
        log_file=str(log),
    )
    try:
        yield f"sc://127.0.0.1:{_port(server, log)}"
    finally:
        server.stop()


def _port(server: OwnedProcess, log: Path) -> int:
    """Wait until the server says on which port it listens."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.is_running():
        if found := re.search(r"Spark Connect server started at: \S*:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.1)
    raise AssertionError(f"No Spark Connect server came up: {log.read_text()[-3000:]}")


@contextlib.contextmanager
def connect_session(configs: Mapping[str, str]) -> Iterator[pyspark.sql.SparkSession]:
    """Start a server and connect to it, in a process that has no JVM of its own meanwhile."""
    pytest.importorskip("grpc_status", reason="needs the extra [connect]")
    pytest.importorskip("zstandard", reason="needs the extra [connect]")
    with connect_server(configs) as address:
        session = pyspark.sql.SparkSession.builder.remote(address).create()
        try:
            yield session
        finally:
            session.stop()
            make_columns_of("classic")


def make_columns_of(kind: str) -> None:
    """Let ``pyspark.sql.functions`` make columns of "connect" or "classic" sessions.

    Spark never goes back from the first, which sessions of a server set.
    """
    if kind == "connect":
        os.environ[MODE] = "1"
    else:
        os.environ.pop(MODE, None)
