"""The driver JVM: started for one session and ended with it, so that its options take effect."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_ml.exceptions import SessionError
from raydp_ml.session.guard import Guard
from raydp_ml.session.interrupts import InterruptHandling
from raydp_ml.session.jvm_output import JvmOutput
from raydp_ml.session.launch import (
    LIGHT_JVM,
    patched_environment,
    spark_home,
    to_properties,
    write_private,
)
from raydp_ml.session.log4j import driver_log, driver_properties, show_when_asked
from raydp_ml.session.lost_jvm import LostJvm

if TYPE_CHECKING:
    from py4j.java_gateway import JavaGateway, JVMView
    from pyspark.sql import SparkSession


_EXIT_SECONDS = 15


class DriverJvm:
    """A JVM with PySpark's gateway, and the Spark context in it.

    Parameters
    ----------
    conf : mapping
        Spark's configuration.
    secrets : mapping
        Configuration that must reach the JVM but no file and no command line.
    environment : mapping
        Environment variables of the JVM, added to this process' own.
    folder : str
        Folder of the session on this machine; it is removed when the JVM ends.
    on_launch : callable, optional
        Called with py4j's view of the JVM before Spark starts in it.
    """

    def __init__(
        self,
        conf: Mapping[str, str],
        *,
        secrets: Mapping[str, str],
        environment: Mapping[str, str],
        folder: str,
        on_launch: Callable[[JVMView], object] | None = None,
    ) -> None:
        self._folder = folder
        self._guard: Guard | None = None
        self._lost: LostJvm | None = None
        self._output: JvmOutput | None = None
        self._interrupts = InterruptHandling()
        self._spark: SparkSession | None = None
        write_private(Path(folder, "spark.conf"), to_properties(conf))
        self._log = driver_log(folder)
        shown = conf.get("spark.log.level", "error")
        write_private(log4j_file(folder), driver_properties(self._log, shown))
        self._process: subprocess.Popen[bytes] | None = None
        # A stopped session of the user's own may have left its JVM; it is not ours to end.
        self._gateway: JavaGateway = running_gateway()
        # In a JVM that runs already, what is to be on its class path cannot be.
        settings = {**conf, **secrets}
        settings.pop("spark.driver.extraClassPath", None)
        try:
            if self._gateway is None:
                self._launch(environment, conf["spark.driver.memory"])
                # What spark-submit made of the rest (resolved packages, say) must stay.
                named = ("spark.master", "spark.app.name")
                settings = {**{key: conf[key] for key in named}, **secrets}
            with patched_environment(environment):  # PySpark reads PYSPARK_PYTHON from it
                self._start_spark(settings, on_launch)
        except BaseException:
            self.stop()
            raise

    def _launch(self, environment: Mapping[str, str], memory: str) -> None:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.java_gateway import launch_gateway

        command_line = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
        launch = {
            # Of the JVM that only puts the driver's command line together.
            "SPARK_LAUNCHER_OPTS": LIGHT_JVM,
            **environment,
            "SPARK_HOME": spark_home(),
            "PYSPARK_SUBMIT_ARGS": (
                "--load-spark-defaults --properties-file "
                f"{shlex.quote(f'{self._folder}/spark.conf')} {command_line}"
            ),
        }
        output = self._output = JvmOutput()
        try:
            with patched_environment(launch):
                self._gateway = launch_gateway(
                    popen_kwargs={
                        "stdout": output.stdout,
                        "stderr": output.stderr,
                        "start_new_session": True,
                    }
                )
        except (PySparkRuntimeError, OSError) as error:
            output.leave_to_jvm()
            raise SessionError(
                "The driver JVM ended before Spark started. Check driver_memory, configs and the "
                f"Java installation. It said: {output.tail() or error}"
            ) from None
        finally:
            output.leave_to_jvm()
        self._process = self._gateway.proc
        if self._process is not None:  # None: spark-submit started this program and its JVM
            self._guard = Guard(self._process.pid, self._folder)
            self._lost = LostJvm(self._gateway, self._process, output, memory)

    def _start_spark(
        self, settings: Mapping[str, str], on_launch: Callable[[JVMView], object] | None
    ) -> None:
        from py4j.protocol import Py4JError
        from pyspark import SparkConf, SparkContext
        from pyspark.sql import SparkSession

        conf = SparkConf(_jvm=self._gateway.jvm)
        for key, value in settings.items():
            conf.set(key, value)
        try:
            if on_launch is not None:
                on_launch(self._gateway.jvm)
            context = SparkContext(conf=conf, gateway=self._gateway)
            # When the JVM ends, the server for accumulators would print a stack trace.
            context._accumulatorServer.handle_error = _ignore_error  # type: ignore[method-assign]
            self._interrupts.install(context)
            show_when_asked(context)
            self._spark = SparkSession(context)
        except (Py4JError, OSError) as error:
            java = getattr(error, "java_exception", None)
            said = java.toString() if java is not None else str(error)
            raise SessionError(
                f"Spark did not start: {said} Check configs and driver_memory. It may have "
                f"said more in {self._log}."
            ) from error

    @property
    def spark(self) -> SparkSession:
        """The Spark session, from the start of the JVM to its end."""
        assert self._spark is not None
        return self._spark

    def java_options(self) -> list[str]:
        """Options without which Spark does not run on this Java."""
        options = self._gateway.jvm.org.apache.spark.launcher.JavaModuleOptions
        return list(options.defaultModuleOptionArray())

    def limit_waits(self, seconds: float) -> None:
        """Have jobs fail that have waited for so long, with no executor left in the session."""
        if self._process is not None:  # else a JVM of the user's own, without our classes
            context = self.spark.sparkContext._jsc.sc()
            self._gateway.jvm.ml.raydp.cluster.ExecutorWatch.begin(context, float(seconds))

    def is_live(self) -> bool:
        """Whether the JVM runs and nobody has stopped the Spark context in it."""
        from py4j.protocol import Py4JError

        if self._process is not None and self._process.poll() is not None:
            return False
        context = self._spark.sparkContext if self._spark is not None else None
        if context is None or context._jsc is None:
            return False
        try:
            return not context._jsc.sc().isStopped()
        except (Py4JError, OSError, SessionError):
            return False

    def stop_context(self) -> None:
        """Stop Spark in good order while its JVM runs on, as far as that works in some seconds."""
        self._expect_end()

        def stop() -> None:
            with contextlib.suppress(Exception):
                self.spark.sparkContext._jsc.sc().stop()

        # Another thread has another connection to the JVM, and a broken one may hang.
        stopping = threading.Thread(target=stop, daemon=True)
        stopping.start()
        stopping.join(_EXIT_SECONDS)

    def stop(self) -> None:
        """Stop Spark and, if it is ours, end the JVM; PySpark can then start another."""
        if self._process is None:
            with contextlib.suppress(Exception):  # its JVM may have died under it
                if self._spark is not None:
                    self._spark.stop()
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            _keep_texts(sys.exc_info()[1])
            self._end_process(self._process)
            forget_gateway(self._gateway)
        self._spark = None
        self._interrupts.remove()

    def _end_process(self, process: subprocess.Popen[bytes]) -> None:
        self._silence_py4j()
        self._expect_end()
        # The end of its standard input makes the JVM exit, and its exit hooks stop Spark and
        # remove temporary files. A call through py4j could hang on a broken connection.
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        if self._output is not None:
            self._output.join()
        if self._guard is not None:
            self._guard.release()
            self._guard.wait()

    def _expect_end(self) -> None:
        if self._lost is not None:
            self._lost.expect_end()
        if self._output is not None:
            self._output.expect_end()

    def _silence_py4j(self) -> None:
        from py4j.clientserver import SHUTDOWN_FINALIZER_WORKER

        # py4j's thread that frees Java objects would print a stack trace for each one that it
        # tries to free in a JVM that is ending.
        with contextlib.suppress(AttributeError):  # without pinned threads there is no such thread
            client = self._gateway._gateway_client
            client.is_connected = False
            client.finalizer_deque.appendleft(SHUTDOWN_FINALIZER_WORKER)


def _keep_texts(error: BaseException | None) -> None:
    """Fix the texts of Spark's errors on their way out, which ask the JVM each time for them."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors.exceptions.captured import CapturedException

    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # `raise error from error` is a circle
        seen.add(id(error))
        if isinstance(error, (CapturedException, Py4JJavaError)):
            with contextlib.suppress(Exception):  # the JVM may have died
                _keep_text(error)
        # As Python prints a chain of errors.
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _keep_text(error: BaseException) -> None:
    kind, text = type(error), str(error)
    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    error.__class__ = type(kind.__name__, (kind,), {"__str__": lambda _: text, **named})


def foreign_session() -> str | None:
    """Name of a live Spark session in this process that init_spark did not start, or None."""
    if running_gateway() is None:
        return None
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None or context._jsc is None:
        return None
    return f"{context.appName!r} on master {context.master!r}"


def driver_environment(
    *, host: str, node_id: str, folder: str, configs: Mapping[str, str]
) -> dict[str, str]:
    """Environment of a driver JVM whose Spark listens on `host`, on the Ray node `node_id`."""
    environment = {
        "RAYDP_ML_NODE_ID": node_id,
        # Without it Spark looks its own host name up, which is slow or wrong on many machines.
        "SPARK_LOCAL_IP": host,
        # Spark's workers must import what this process imports; spark.pyspark.python alone does
        # not reach all of them.
        "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    if "SPARK_LOCAL_DIRS" not in os.environ and "spark.local.dir" not in configs:
        environment["SPARK_LOCAL_DIRS"] = folder
    return environment


def log4j_file(folder: str) -> Path:
    """Where a session's folder holds the logging configuration of its driver JVM."""
    return Path(folder, "log4j2.properties")


def _ignore_error(request: object, client_address: object) -> None:
    pass


def running_gateway() -> JavaGateway | None:
    """PySpark's gateway to a JVM that already runs in this process, or None."""
    if "pyspark.core.context" not in sys.modules:
        return None
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if process is not None and process.poll() is not None:
        forget_gateway(gateway)
        return None
    return gateway


def forget_gateway(gateway: JavaGateway) -> None:
    """Make PySpark forget a JVM that has ended."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession, SQLContext

    context = SparkContext._active_spark_context
    if context is not None and context._gateway is gateway:
        context._jsc = None  # nothing is left to be told to stop
        context.stop()
    SparkSession._instantiatedSession = None
    SparkSession._activeSession = None
    SQLContext._instantiatedContext = None
    with contextlib.suppress(Exception):
        gateway.close(keep_callback_server=True)
        gateway.shutdown_callback_server()
    if SparkContext._gateway is gateway:
        SparkContext._gateway = None
        SparkContext._jvm = None
