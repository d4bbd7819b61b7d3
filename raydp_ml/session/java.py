"""Finds the Java that runs Spark, before Spark's own scripts fail on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from raydp_ml.exceptions import SessionError

OLDEST_JAVA = 17
REMEDY = (
    f"Spark needs a Java runtime of version {OLDEST_JAVA} or newer: install one (Debian, Ubuntu: "
    "`apt install openjdk-17-jre-headless`; macOS: `brew install openjdk@17`; conda: "
    "`conda install openjdk=17`) and put its `java` on PATH, or set JAVA_HOME to its folder."
)


@dataclass(frozen=True)
class Java:
    """A Java runtime that was run once to learn its version."""

    executable: str
    version: int
    home: str | None  # the value of JAVA_HOME if it was found there


def find_java() -> Java:
    """Return the Java that Spark's scripts will use: JAVA_HOME's, else the one on PATH.

    Raises
    ------
    SessionError
        If there is none, if JAVA_HOME does not hold one, or if it is older than Java 17.
    """
    executable, home = _locate()
    version = _version_of(executable)
    if version < OLDEST_JAVA:
        where = f"JAVA_HOME={home!r}" if home is not None else "PATH"
        raise SessionError(
            f"Java {version}, found through {where} ({executable!r}), is too old. {REMEDY}"
        )
    return Java(executable, version, home)


def java_executable() -> str:
    """Path of the Java that `find_java` finds, without running it."""
    return _locate()[0]


def check_java_of_ray() -> None:
    """Check the Java that Ray runs its Java actors with: the one on PATH, whatever JAVA_HOME says.

    Raises
    ------
    SessionError
        If there is none, or it is older than Java 17.
    """
    executable = shutil.which("java")
    if executable is None:
        raise SessionError(
            "Ray runs its Java actors, and with them the executors of mode='native', with the "
            "`java` on PATH, and PATH has none. Put JAVA_HOME's bin folder on PATH before Ray "
            "starts (on every node)."
        )
    if executable == java_executable():
        return  # find_java has run it
    version = _version_of(executable)
    if version < OLDEST_JAVA:
        raise SessionError(
            f"Ray runs its Java actors with the `java` on PATH, which is {executable!r} of version "
            f"{version}: too old. {REMEDY}"
        )


def parse_version(text: str) -> int | None:
    """Major version in the output of ``java -version``; ``"1.8.0_402"`` is 8."""
    match = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if match is None:
        return None
    major = int(match[1])
    return int(match[2]) if major == 1 and match[2] else major


def _locate() -> tuple[str, str | None]:
    """Path of `java`, and the value of JAVA_HOME if it is there."""
    home = os.environ.get("JAVA_HOME") or None
    if home is not None:
        executable = str(Path(home) / "bin" / "java")
        if not os.access(executable, os.X_OK) or Path(executable).is_dir():
            raise SessionError(
                f"JAVA_HOME is {home!r}, but there is no program {executable!r}. {REMEDY}"
            )
        return executable, home
    found = shutil.which("java")
    if found is None:
        raise SessionError(
            f"No Java was found: JAVA_HOME is not set, and PATH has no `java`. {REMEDY}"
        )
    return found, None


def ask_java(executable: str, question: str) -> subprocess.CompletedProcess[str]:
    """Run a `java` with one option that makes it tell something of itself, and end.

    Raises
    ------
    OSError, subprocess.TimeoutExpired
        If it could not be run, or did not end.
    """
    return subprocess.run(
        [executable, question],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def _version_of(executable: str) -> int:
    try:
        result = ask_java(executable, "-version")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SessionError(f"{executable!r} could not be run ({error}). {REMEDY}") from None
    output = f"{result.stderr}\n{result.stdout}".strip()
    version = parse_version(output)
    if result.returncode != 0 or version is None:
        shown = output.splitlines()[0] if output else "no output"
        raise SessionError(
            f"`{executable} -version` did not answer with a version (exit status "
            f"{result.returncode}: {shown}). {REMEDY}"
        )
    return version
