"""Logging configuration of the JVMs that we start."""

from __future__ import annotations

_TEMPLATE = """\
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


def log4j_properties(level: str) -> str:
    """Text of a ``log4j2.properties`` that sends `level` and above to standard error.

    With a configuration of its own, Spark prints neither which profile it uses nor how to change
    the level.
    """
    return _TEMPLATE.format(level=level)
