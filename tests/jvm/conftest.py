"""A JVM with our jar and Spark's, without a Spark session, and what opens our packages to tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import py4j.java_gateway
import py4j.protocol
import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

HERE = Path(__file__).parent
JAR = HERE.parent.parent / "raydp_ml" / "jvm" / "raydp_ml.jar"


@pytest.fixture(scope="package")
def probes(tmp_path_factory):
    """Make the classes of tests/jvm/java, and return the JVM's view of ``ml.raydp``."""
    javac = shutil.which("javac")
    if javac is None:
        pytest.skip("There is no javac, and what a wheel brings needs none.")
    classes = tmp_path_factory.mktemp("classes")
    (pyspark,) = importlib.util.find_spec("pyspark").submodule_search_locations
    class_path = os.pathsep.join([str(classes), str(JAR), f"{pyspark}/jars/*"])
    sources = map(str, sorted((HERE / "java").rglob("*.java")))
    command = [javac, "--release", "17", "-proc:none", "-cp", class_path, "-d", classes, *sources]
    subprocess.run(command, check=True, timeout=300)
    opens = ["--add-opens=java.base/java.nio=ALL-UNNAMED"]
    port, process = launch_gateway(
        classpath=class_path,
        javaopts=["-XX:TieredStopAtLevel=1", *opens],
        die_on_exit=True,
        return_proc=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    with pytest.MonkeyPatch.context() as patch:
        # PySpark puts its own reader of answers into py4j for good, which on an error asks the JVM
        # of Spark, and none runs where a test before this one ended its own.
        patch.setattr(py4j.java_gateway, "get_return_value", py4j.protocol.get_return_value)
        yield gateway.jvm.ml.raydp
    gateway.shutdown()
    process.stdin.close()
    process.wait(timeout=60)
