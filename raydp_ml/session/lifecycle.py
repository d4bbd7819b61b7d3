"""The one Spark session of this process: started, handed out again, and ended."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import SessionError
from raydp_ml.session import ray_runtime
from raydp_ml.session.class_path import ArchiveBuilder
from raydp_ml.session.full import disk_may_be_full
from raydp_ml.session.gateway import foreign_session
from raydp_ml.session.java import find_java
from raydp_ml.session.options import SessionOptions, check_options

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Session(Protocol):
    """What every mode's session offers."""

    options: SessionOptions

    @property
    def spark(self) -> SparkSession:
        """The Spark session."""

    def is_live(self) -> bool:
        """Whether Spark still works."""

    def executor_cpus(self) -> dict[str, float]:
        """Ray node id -> CPUs that this session's executors hold in Ray."""

    def java_options(self) -> list[str]:
        """Options without which Spark does not run on this Java."""

    def stop(self) -> None:
        """End everything that this session started; never raises."""


logger = logging.getLogger(__name__)
_lock = threading.RLock()
_active: Session | None = None
_archive: ArchiveBuilder | None = None


def init_spark(
    app_name: str = "raydp_ml",
    *,
    mode: str = "local",
    num_executors: int = 1,
    executor_cores: int = 1,
    executor_memory: str = "1g",
    driver_memory: str | None = None,
    executor_resources: Mapping[str, float] | None = None,
    placement_group_strategy: str | None = None,
    configs: Mapping[str, str | bool | int | float] | None = None,
    timeout: float = 120,
) -> SparkSession:
    """Start a Spark session next to (or on) Ray, or return the live one.

    Ray is started on this machine if this process is not connected to one. ``stop_spark()`` ends
    what this function started; so does the end of the interpreter.

    Parameters
    ----------
    app_name : str, default="raydp_ml"
        Name of the Spark application.
    mode : {"local", "standalone", "native"}, default="local"
        Where Spark runs. ``"local"``: in one JVM on this machine, with all its cores; the
        ``executor`` options and `placement_group_strategy` have no meaning there and are ignored.
        ``"standalone"``: a Spark standalone Master and one Worker per executor, each a process
        owned by a Ray actor. ``"native"``: every Spark executor is the JVM of a Ray Java actor;
        one more Ray actor, the AppMaster, starts, replaces and stops them, and Spark's dynamic
        allocation works.
    num_executors : int, default=1
        Number of Spark executors.
    executor_cores : int, default=1
        Cores, that is concurrent tasks, of one executor.
    executor_memory : str, default="1g"
        Heap of one executor, such as ``"512m"`` or ``"2g"``; it is also what the executor holds of
        Ray's resource ``memory``.
    driver_memory : str, default=None
        Heap of the driver JVM. None means a quarter of the memory that is available now in local
        mode, where the one JVM does all the work, and ``"1g"`` in the other modes. It has no
        effect in a JVM that an earlier session of your own (not from ``init_spark``) has left.
    executor_resources : dict, default=None
        Ray resources that each executor holds, for example ``{"CPU": 0.5, "special": 1}``. None
        means ``{"CPU": executor_cores}``. ``"memory"``, in bytes, is `executor_memory` unless it is
        given here.
    placement_group_strategy : {"PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"}, default=None
        Reserve the executors' resources together in a Ray placement group of this strategy. None
        lets Ray place each executor by itself.
    configs : dict, default=None
        Spark configuration, which wins over the defaults of this function. Keys that another
        parameter decides (``spark.master``, ``spark.executor.memory``, ...) are refused.
    timeout : float, default=120
        Seconds to wait for Ray to start, where it must, and then for the executors. Where Ray has
        an autoscaler, which adds nodes for executors that wait, the nodes' start is part of it.

    Returns
    -------
    pyspark.sql.SparkSession
        The session. Called again with the same options, the same session.

    Raises
    ------
    ResourceError
        If the Ray cluster can never hold the executors (and no autoscaler adds nodes to it), or
        has not within `timeout` seconds, or Ray itself did not start in time. Nothing is left
        behind.
    SessionError
        If Java is missing or too old, another Spark session is live in this process, the live one
        was started with other options, or Ray is connected through ``ray://``.
    sklearn.utils._param_validation.InvalidParameterError
        (a ValueError) if an argument is of the wrong type or range.

    Notes
    -----
    The terminal shows Spark's errors. Its warnings go to ``spark-driver-*.log`` in Ray's log folder
    (``/tmp/ray/session_latest/logs``); ``spark.sparkContext.setLogLevel("WARN")`` shows them too,
    as does `configs` ``{"spark.log.level": "WARN"}`` from the start. The logger ``raydp_ml`` tells
    at INFO of the session and where Spark's UI is, if there is one.

    See Also
    --------
    spark_session : The same as a context manager.
    stop_spark : End the session.

    Examples
    --------
    >>> import raydp_ml
    >>> spark = raydp_ml.init_spark("example")
    >>> spark.range(3).count()
    3
    >>> raydp_ml.stop_spark()
    """
    options = check_options(
        app_name=app_name,
        mode=mode,
        num_executors=num_executors,
        executor_cores=executor_cores,
        executor_memory=executor_memory,
        driver_memory=driver_memory,
        executor_resources=executor_resources,
        placement_group_strategy=placement_group_strategy,
        configs=configs,
        timeout=timeout,
    )
    global _active, _archive
    with _lock:
        session = _live_session(options)
        if session is None:
            _check_no_foreign_session()
            find_java()
            session = _active = _start(options, Stopwatch())
            _archive = ArchiveBuilder(session.java_options())
            # Registered last, so that it runs before the handlers of Ray and PySpark.
            atexit.unregister(_exit)
            atexit.register(_exit, os.getpid())
        else:
            ray_runtime.ensure_ray(options.timeout)  # the user may have ended the one there was
        return session.spark


def stop_spark() -> None:
    """End what ``init_spark`` started; without a session, do nothing.

    Spark, its JVM and its executors end, then the actors that raydp_ml started, then Ray, if
    raydp_ml started it and no ``Blocks`` are alive in it. A Ray that was already running stays.
    """
    with _lock:
        watch, session = Stopwatch(), _active
        _stop_session()
        ray_runtime.close()
        if session is not None:
            watch.tell(logger, "session_stop", mode=session.options.mode)


@contextlib.contextmanager
def spark_session(
    app_name: str = "raydp_ml",
    *,
    mode: str = "local",
    num_executors: int = 1,
    executor_cores: int = 1,
    executor_memory: str = "1g",
    driver_memory: str | None = None,
    executor_resources: Mapping[str, float] | None = None,
    placement_group_strategy: str | None = None,
    configs: Mapping[str, str | bool | int | float] | None = None,
    timeout: float = 120,
) -> Iterator[SparkSession]:
    """Context manager: ``init_spark`` on entry, ``stop_spark`` on exit.

    Takes the arguments of `init_spark`. Where the session was live before, it stays.

    Yields
    ------
    pyspark.sql.SparkSession
        The session.

    Examples
    --------
    >>> import raydp_ml
    >>> with raydp_ml.spark_session("example") as spark:
    ...     spark.range(3).count()
    3
    """
    was_live = _active is not None and _active.is_live()
    spark = init_spark(
        app_name,
        mode=mode,
        num_executors=num_executors,
        executor_cores=executor_cores,
        executor_memory=executor_memory,
        driver_memory=driver_memory,
        executor_resources=executor_resources,
        placement_group_strategy=placement_group_strategy,
        configs=configs,
        timeout=timeout,
    )
    try:
        yield spark
    finally:
        if not was_live:
            stop_spark()


def live_spark() -> SparkSession | None:
    """Return the session of this process that works, `init_spark`'s or the user's own, or None."""
    if _active is not None:
        return _active.spark if _active.is_live() else None
    if foreign_session() is None:
        return None
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def executor_cpus() -> dict[str, float]:
    """CPUs that the active session's executors hold in Ray, by Ray node id (hexadecimal).

    Empty without a session, in local mode, and for a session that ``init_spark`` did not start.
    """
    session = _active
    return {} if session is None else session.executor_cpus()


def _live_session(options: SessionOptions) -> Session | None:
    """Return the live session if it has these options; clear away a dead one."""
    if _active is None:
        return None
    if not _active.is_live():
        _stop_session()
        return None
    names = options.differences(_active.options)
    if names:
        asked = ", ".join(f"{name}={getattr(options, name)!r}" for name in names)
        live = ", ".join(f"{name}={getattr(_active.options, name)!r}" for name in names)
        raise SessionError(
            f"init_spark was asked for {asked}, but a session with {live} is live. Call "
            "raydp_ml.stop_spark() first, or repeat the live session's options."
        )
    return _active


def _check_no_foreign_session() -> None:
    from pyspark.sql import is_remote

    if is_remote():
        raise SessionError(
            "This process is a client of a Spark Connect server, and stays one until it ends; "
            "init_spark, in each of its modes, needs a JVM in it. Use the server's session "
            "directly (estimators take its DataFrames, without init_spark), or call init_spark in "
            "another Python process."
        )
    name = foreign_session()
    if name is not None:
        raise SessionError(
            f"This process has a Spark session of its own, {name}, and can have only one. Use that "
            "session directly (every estimator of raydp_ml works with it, without init_spark), or "
            "call its stop() before init_spark."
        )


def _start(options: SessionOptions, watch: Stopwatch) -> Session:
    had_ray = ray_runtime.is_ours()
    try:
        with disk_may_be_full():
            ray_runtime.ensure_ray(options.timeout)
            session = _of_mode(options)
    except BaseException:
        if not had_ray:  # otherwise others of this process use it
            ray_runtime.close()
        raise
    on_cluster = options.mode != "local"
    watch.tell(
        logger,
        "session_start",
        mode=options.mode,
        executors=options.num_executors if on_cluster else None,
        executor_cores=options.executor_cores if on_cluster else None,
        spark=session.spark.version,
        ui=session.spark.sparkContext.uiWebUrl,
    )
    return session


def _of_mode(options: SessionOptions) -> Session:
    """Start the session of the mode that was asked for."""
    if options.mode == "standalone":
        from raydp_ml.session.standalone import StandaloneSession

        return StandaloneSession(options)
    if options.mode == "native":
        from raydp_ml.session.native import NativeSession

        return NativeSession(options)
    from raydp_ml.session.local import LocalSession

    return LocalSession(options)


def _stop_session() -> None:
    global _active, _archive
    archive, _archive = _archive, None
    if archive is not None:
        archive.stop()
    session, _active = _active, None
    if session is not None:
        session.stop()


def _exit(pid: int) -> None:
    if pid == os.getpid():  # a forked child must not end its parent's session
        stop_spark()
