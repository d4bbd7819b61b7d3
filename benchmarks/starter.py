"""Starts one kind of Spark twice in a fresh process: ``python -m benchmarks.starter KIND N FILE``.

It runs in the peer's virtual environment too, so it needs nothing but psutil until it knows the
kind. FILE gets a JSON object: what was seen, or the error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import Usage, cpu_seconds

_REST_WINDOW = 0.25
_REST_SHARE = 0.2  # of a core; Ray is never quite idle
_REST_LIMIT = 15.0
_LEAVE_SECONDS = 30.0


@dataclass(frozen=True)
class Kind:
    """How one kind of Spark is started.

    Attributes
    ----------
    start : callable
        Starts Spark under the given name; returns the session.
    stop : callable
        Ends the given session.
    executors : int
        Registered executors that a start ends with; 0 where the driver does the work.
    facts : callable
        What else is worth knowing of a start.
    """

    start: Callable[[str], Any]
    stop: Callable[[Any], Any]
    executors: int
    facts: Callable[[], dict[str, Any]] = dict


def _plain(executors: int, stop: Callable[[Any], Any] = lambda spark: spark.stop()) -> Kind:
    from pyspark.sql import SparkSession

    master = f"local[{executors}]"
    return Kind(
        start=lambda name: SparkSession.builder.master(master).appName(name).getOrCreate(),
        stop=stop,
        executors=0,
    )


def _plain_ending_jvm(executors: int) -> Kind:
    def stop(spark: Any) -> None:
        spark.stop()
        _end_gateway()

    return _plain(executors, stop)


def _ours(mode: str) -> Callable[[int], Kind]:
    def kind(executors: int) -> Kind:
        # Every kind has imported what it works with when it starts.
        import pyspark.sql  # noqa: F401
        import ray  # noqa: F401

        import raydp_ml
        from raydp_ml.session.class_path import class_archive

        return Kind(
            start=lambda name: raydp_ml.init_spark(name, mode=mode, num_executors=executors),
            stop=lambda _: raydp_ml.stop_spark(),
            executors=0 if mode == "local" else executors,
            facts=lambda: {"class archive": "no" if class_archive() is None else "yes"},
        )

    return kind


def _raydp(executors: int) -> Kind:
    import pyspark.sql  # noqa: F401
    import raydp

    return Kind(
        start=lambda name: raydp.init_spark(
            app_name=name, num_executors=executors, executor_cores=1, executor_memory="1g"
        ),
        stop=lambda _: raydp.stop_spark(),
        executors=executors,
    )


KINDS: dict[str, Callable[[int], Kind]] = {
    "plain": _plain,
    "plain, ending its JVM": _plain_ending_jvm,
    "local": _ours("local"),
    "standalone": _ours("standalone"),
    "native": _ours("native"),
    "raydp": _raydp,
}


def main() -> int:
    """Measure one kind and write what was seen."""
    name, executors, file = sys.argv[1:]
    record: dict[str, Any] = {}
    try:
        _measure(name, int(executors), record)
    except Exception as error:
        traceback.print_exc()
        record["error"] = f"{type(error).__name__}: {error}"
    Path(file).write_text(json.dumps(record))
    return 0


def _measure(name: str, executors: int, record: dict[str, Any]) -> None:
    begin = time.perf_counter()
    kind = KINDS[name](executors)
    imported = time.perf_counter() - begin
    facts: dict[str, Any] = {"pyspark": version("pyspark"), "import s": imported}
    if "ray" in sys.modules:  # plain pyspark does without
        facts["Ray s"] = _start_ray(executors)
    cold, spark = _start(kind, "cold")
    record["cold"] = cold | {"facts": facts | cold["facts"]}
    with Usage() as stopping:
        kind.stop(spark)
    _rest()
    warm, spark = _start(kind, "warm")
    record["warm"] = warm | {"facts": {"stop s": stopping.seconds} | warm["facts"]}
    record["warm"]["facts"]["left"] = _leave(kind, spark)


def _start_ray(cpus: int) -> float:
    """Start Ray and let it come to rest; returns the seconds of the former."""
    import ray

    begin = time.perf_counter()
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    seconds = time.perf_counter() - begin
    _rest()
    return seconds


def _start(kind: Kind, name: str) -> tuple[dict[str, Any], Any]:
    # Another name each time: RayDP's stop goes on in the background, and holds the first one.
    with Usage() as usage:
        spark = kind.start(name)
        while _registered(spark) < kind.executors:
            time.sleep(0.01)
    with Usage() as job:
        count = spark.range(1000).count()
    if count != 1000:
        raise RuntimeError(f"Spark counted {count} rows of 1000.")
    return usage.summary() | {"facts": {"first job s": job.seconds} | kind.facts()}, spark


def _registered(spark: Any) -> int:
    """Executors that have registered with the driver; 0 where it does the work itself."""
    backend = spark.sparkContext._jsc.sc().schedulerBackend()
    if backend.getClass().getSimpleName() == "LocalSchedulerBackend":
        return 0
    return backend.getExecutorIds().size()


def _rest() -> None:
    """Wait until what was started or stopped before no longer works beside what comes next."""
    end = time.monotonic() + _REST_LIMIT
    before = cpu_seconds()
    while time.monotonic() < end:
        time.sleep(_REST_WINDOW)
        now = cpu_seconds()
        # It falls where a process ends unseen, which is no rest either.
        if abs(now - before) < _REST_SHARE * _REST_WINDOW:
            return
        before = now


def _leave(kind: Kind, spark: Any) -> int:
    """Stop everything; returns how many processes had to be killed after half a minute."""
    below = psutil.Process().children(recursive=True)
    kind.stop(spark)
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    _end_gateway()
    _, left = psutil.wait_procs(below, timeout=_LEAVE_SECONDS)
    for process in left:
        process.kill()
    return len(left)


def _end_gateway() -> None:
    """End the JVM that PySpark itself keeps until Python's own end, and make it forget it."""
    from pyspark import SparkContext

    gateway: Any = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()
        SparkContext._gateway = SparkContext._jvm = None


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing is left that an exit handler could end, or could hang on
