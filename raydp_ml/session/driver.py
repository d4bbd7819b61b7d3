"""The driver of a session: its folder, its whole configuration, and its JVM."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from raydp_ml.session.class_path import class_archive, class_path
from raydp_ml.session.gateway import DriverJvm, driver_environment, log4j_file
from raydp_ml.session.options import SessionOptions, spark_conf

if TYPE_CHECKING:
    from py4j.java_gateway import JVMView


def start_driver(
    options: SessionOptions,
    *,
    master: str,
    host: str,
    secret: str | None = None,
    more_conf: Mapping[str, str] | None = None,
    on_launch: Callable[[JVMView], object] | None = None,
) -> DriverJvm:
    """Start a session's driver JVM, and Spark in it.

    Parameters
    ----------
    options : SessionOptions
        What the user asked for.
    master : str
        Spark's master URL.
    host : str
        Address of the driver, as the executors see it.
    secret : str, optional
        What executors in other processes authenticate themselves with.
    more_conf : mapping, optional
        Configuration that the mode adds.
    on_launch : callable, optional
        See `DriverJvm`.
    """
    import ray

    folder = tempfile.mkdtemp(prefix="raydp_ml-")
    conf = spark_conf(
        options,
        master=master,
        host=host,
        folder=folder,
        log4j_file=str(log4j_file(folder)),
        class_path=class_path(),
        class_archive=class_archive(),
    )
    try:
        return DriverJvm(
            {**conf, **(more_conf or {})},
            secrets={} if secret is None else {"spark.authenticate.secret": secret},
            environment=driver_environment(
                host=host,
                node_id=ray.get_runtime_context().get_node_id(),
                folder=folder,
                configs=options.configs,
            ),
            folder=folder,
            on_launch=on_launch,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # as where it could not be filled
        raise
