"""Logging configuration of the JVMs that we start, and what brings their lines to the terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_ml.session.launch import to_properties

if TYPE_CHECKING:
    from pyspark import SparkContext

_COMMON = """\
status = error
rootLogger.level = {level}
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{{yy/MM/dd HH:mm:ss}} %p %c{{1}}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.jetty.name = org.sparkproject.jetty
logger.jetty.level = warn
"""
_FILE = """\
rootLogger.appenderRef.stderr.level = {shown}
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.createOnDemand = true
appender.file.filePermissions = rw-------
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yy/MM/dd HH:mm:ss}} %p %c{{1}}: %m%n%ex
"""


def log4j_properties(level: str) -> str:
    """Text of a ``log4j2.properties`` that sends `level` and above to standard error.

    With a configuration of its own, Spark prints neither which profile it uses nor how to change
    the level.
    """
    return _COMMON.format(level=level)


def driver_properties(file: Path, shown: str = "error") -> str:
    """Text of a ``log4j2.properties`` that keeps warnings in `file`, and shows `shown` and above.

    A job that fails tells of it by an exception; an error of Spark's that is none of a job (an
    executor that was lost) is told by its line alone.
    """
    name = to_properties({"appender.file.fileName": str(file)})
    return log4j_properties("warn") + _FILE.format(shown=shown) + name


def driver_log(folder: str) -> Path:
    """Where the driver JVM's warnings go: Ray's log folder, or `folder` where that is another's."""
    from ray._private.worker import global_worker

    node = global_worker.node
    logs = Path(node.get_logs_dir_path()) if node is not None else None
    if logs is None or not os.access(logs, os.W_OK):
        logs = Path(folder)
    # Others can write to that folder: the name is not to be foreseen, like the session's folder's.
    return logs / f"spark-driver-{os.getpid()}-{folder.rpartition('-')[2]}.log"


def show_when_asked(context: SparkContext) -> None:
    """Have ``setLogLevel`` show on the terminal what it lets through, as with Spark alone."""
    set_level = context.setLogLevel

    def set_log_level(log_level: str) -> None:
        _show_all(context._jvm)
        set_level(log_level)

    context.setLogLevel = set_log_level  # type: ignore[method-assign, assignment]


def _show_all(jvm: Any) -> None:
    """Let the terminal's appender take every line that the levels of loggers let through."""
    log4j = jvm.org.apache.logging.log4j
    configuration = log4j.LogManager.getContext(False).getConfiguration()
    console, root = configuration.getAppender("stderr"), configuration.getRootLogger()
    if console is not None:  # otherwise the user's own configuration
        root.removeAppender("stderr")
        root.addAppender(console, None, None)
