"""mode="local": Spark's ``local[*]`` in the driver JVM, next to Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_ml.session.driver import start_driver
from raydp_ml.session.options import SessionOptions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Nothing outside this machine takes part, so nothing listens outside it.
_HOST = "127.0.0.1"


class LocalSession:
    """A Spark session in one JVM of this machine.

    Parameters
    ----------
    options : SessionOptions
        The checked options.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.options = options
        self._jvm = start_driver(options, master="local[*]", host=_HOST)

    @property
    def spark(self) -> SparkSession:
        """The Spark session."""
        return self._jvm.spark

    def is_live(self) -> bool:
        """Whether Spark still works."""
        return self._jvm.is_live()

    def executor_cpus(self) -> dict[str, float]:
        """Nothing: the driver JVM holds no Ray resources."""
        return {}

    def java_options(self) -> list[str]:
        """Options without which Spark does not run on this Java."""
        return self._jvm.java_options()

    def stop(self) -> None:
        """End the JVM."""
        self._jvm.stop()
