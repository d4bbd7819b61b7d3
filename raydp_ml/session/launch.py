"""What starting any of Spark's JVMs takes: private files, and an environment of its own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

# Master, Worker and Spark's launcher do little: without the second compiler and the concurrent
# collector they take half the CPU to start, while the driver and the executors start too.
LIGHT_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def spark_home() -> str:
    """Folder of the Spark that belongs to the imported pyspark; another would not fit it."""
    from pyspark.find_spark_home import _find_spark_home

    with patched_environment({"SPARK_HOME": None}):
        return _find_spark_home()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def to_properties(conf: Mapping[str, str]) -> str:
    """Spell `conf` as a Java properties file."""
    return "".join(
        f"{_escape(key, is_key=True)}={_escape(value, is_key=False)}\n"
        for key, value in conf.items()
    )


def _escape(text: str, *, is_key: bool) -> str:
    text = text.replace("\\", "\\\\")
    for character, name in (("\n", "n"), ("\r", "r"), ("\t", "t"), ("\f", "f")):
        text = text.replace(character, f"\\{name}")
    return re.sub(r"[ :=#!]" if is_key else r"^ ", lambda match: "\\" + match[0], text)


@contextlib.contextmanager
def patched_environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change environment variables (None removes one) and put them back afterwards."""
    before = {name: os.environ.get(name) for name in changes}
    try:
        _apply(changes)
        yield
    finally:
        _apply(before)


def _apply(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
