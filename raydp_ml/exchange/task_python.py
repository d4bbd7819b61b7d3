"""Which Python runs Spark's Python tasks, seen before a job fails in it."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from raydp_ml.exceptions import SessionError
from raydp_ml.exchange.jvm import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OURS = ("raydp_ml", "pyarrow", "sklearn")
"""What a task imports that runs code of this package."""

_PROBE_SECONDS = 60
_PROBE = """
import importlib.util, sys
lacking = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(*sys.version_info[:2], *lacking)
"""

_lock = threading.RLock()
_found: set[tuple[str, str, tuple[str, ...]]] = set()


@contextlib.contextmanager
def task_python(spark: SparkSession, modules: tuple[str, ...] = OURS) -> Iterator[None]:
    """Have the Python functions that are given to Spark within the block find what they import.

    Where `init_spark` started the session, they run in this program's Python. A session of the
    user's own may have another: where all its tasks run on this machine, the functions are given
    this program's.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
    modules : tuple of str
        What the functions import.

    Raises
    ------
    SessionError
        The executors' Python, which cannot be chosen any more, lacks a module.
    """
    if is_connect(spark) or spark.sparkContext.pythonExec == sys.executable:
        yield  # The Python of a Connect server is not for its clients to see.
        return
    context = spark.sparkContext
    if not str(context.master).startswith("local"):
        _require(spark, modules)
        yield
        return
    if not _problem_here(context.pythonExec, modules):
        yield
        return
    with _lock:  # of two threads, the second must not keep what the first has set
        theirs, context.pythonExec = context.pythonExec, sys.executable
        try:
            yield
        finally:
            context.pythonExec = theirs


@functools.cache
def _problem_here(executable: str, modules: tuple[str, ...]) -> str:
    """What keeps a Python of this machine from running the functions, or nothing."""
    path = shutil.which(executable)
    if path is None:
        return "it does not exist"
    try:
        done = subprocess.run(
            [path, "-c", _PROBE, *modules],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"it does not run: {error}"
    major, minor, *lacking = done.stdout.split()
    return _problem((int(major), int(minor)), lacking)


def _problem(version: tuple[int, ...], lacking: list[str]) -> str:
    if version != sys.version_info[:2]:
        return f"it is Python {version[0]}.{version[1]}"
    return f"it lacks the module {lacking[0]}" if lacking else ""


def _require(spark: SparkSession, modules: tuple[str, ...]) -> None:
    """Run one small job, once for a session, that looks at the executors' Python."""
    context = spark.sparkContext
    key = (str(context.applicationId), str(context.pythonExec), modules)
    if key in _found:
        return

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import importlib.util
        import sys

        for _ in batches:
            pass
        lacking = [name for name in modules if importlib.util.find_spec(name) is None]
        yield pa.RecordBatch.from_pydict(
            {
                "python": [sys.executable],
                "version": [list(sys.version_info[:2])],
                "lacking": [pa.array(lacking, pa.string())],
            }
        )

    schema = "python string, version array<bigint>, lacking array<string>"
    try:
        (row,) = spark.range(0, 1, 1, 1).mapInArrow(look, schema).collect()
    except Exception as error:
        said = str(error).strip().splitlines()
        reason = next((line for line in reversed(said) if "Error" in line), said[0] if said else "")
        raise SessionError(_text(context.pythonExec, f"a test of it failed: {reason}")) from error
    problem = _problem(tuple(row["version"]), list(row["lacking"]))
    if problem:
        raise SessionError(_text(row["python"], problem))
    _found.add(key)


def _text(executable: str, problem: str) -> str:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (
        f"The Python tasks of this Spark session run {executable!r}, and {problem}; this program "
        f"runs {sys.executable!r} (Python {version}). Install raydp_ml in the executors' Python, "
        "or choose one that has it before the session starts: set the environment variable "
        f"PYSPARK_PYTHON (here to {sys.executable!r}), or activate the environment."
    )
