"""mode="local": Spark's ``local[*]`` in the driver JVM, next to Ray."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from raydp_ml.session.gateway import DriverJvm, driver_environment, log4j_file
from raydp_ml.session.options import SessionOptions, spark_conf

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
        import ray

        self.options = options
        folder = tempfile.mkdtemp(prefix="raydp_ml-")
        conf = spark_conf(
            options,
            master="local[*]",
            host=_HOST,
            folder=folder,
            log4j_file=str(log4j_file(folder)),
        )
        node_id = ray.get_runtime_context().get_node_id()
        self._jvm = DriverJvm(
            conf,
            secrets={},
            environment=driver_environment(
                host=_HOST, node_id=node_id, folder=folder, configs=options.configs
            ),
            folder=folder,
        )

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

    def stop(self) -> None:
        """End the JVM."""
        self._jvm.stop()
