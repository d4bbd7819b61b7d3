"""The class path of our JVMs, and an archive of its classes that halves their start.

The archive is the JVM's own class data sharing (JEP 350, Dynamic CDS Archives): classes parsed and
verified once per machine rather than in each JVM. It is made in the background, at the lowest
priority, while the first session on a machine runs, and lies in the user's cache folder. Without
it, or where it does not fit, JVMs start as they always do.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from raydp_ml.exceptions import SessionError
from raydp_ml.session.guard import OwnedProcess
from raydp_ml.session.java import java_executable
from raydp_ml.session.launch import spark_home

JAR = Path(__file__).parent.parent / "jvm" / "raydp_ml.jar"
_MAIN = "ml.raydp.startup.Rehearsal"
_DELAY_SECONDS = 10
# $0 is the archive to make, $1 the mark of a failure, $2 where Java writes it. A name of its own
# until it is whole: two processes that make it at once do no harm. Those of versions that nobody
# uses any more go.
_BUILD = """
failed=$1 new=$2
shift 2
if "$@"; then mv "$new" "$0.$$" && mv "$0.$$" "$0"; else : > "$failed"; fi
find "$(dirname "$0")" -maxdepth 1 -type f -name 'classes-*' -atime +7 -delete
"""


@functools.cache
def class_path() -> str:
    """Our jar, then Spark's, then Ray's, which bundles older copies of libraries of Spark's.

    Raises
    ------
    SessionError
        If our jar or Ray's is missing.
    """
    import ray

    ray_jar = Path(ray.__file__).parent / "jars" / "ray_dist.jar"
    for jar, remedy in ((ray_jar, "pip install ray"), (JAR, "pip install -e .")):
        if not jar.exists():
            raise SessionError(f"raydp_ml needs {jar}, which is missing: `{remedy}` makes it.")
    return os.pathsep.join([str(JAR), f"{spark_home()}/jars/*", str(ray_jar)])


def class_archive() -> str | None:
    """Path of the archive that fits `class_path` and the Java in use, or None."""
    path = _archive_path()
    return str(path) if path.exists() else None


class ArchiveBuilder:
    """Makes the archive in the background, unless there is one or another process makes it.

    It begins some seconds later and takes only CPU time that nobody else wants, so that a short
    session does not pay for it.

    Parameters
    ----------
    java_options : sequence of str
        Options without which Spark does not run on this Java.
    delay : float, default=10
        Seconds before it begins.
    """

    def __init__(self, java_options: Sequence[str], *, delay: float = _DELAY_SECONDS) -> None:
        self._java_options = java_options
        self._process: OwnedProcess | None = None
        self._stopped = False
        self._mutex = threading.Lock()
        self._timer = threading.Timer(delay, self._begin)
        self._timer.daemon = True
        self._timer.start()

    def _begin(self) -> None:
        target = _archive_path()
        failed = target.with_suffix(".failed")
        # A cache folder that cannot be written: then without.
        with self._mutex, contextlib.suppress(OSError):
            if self._stopped or target.exists() or failed.exists():
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            self._start(target, failed)

    def _start(self, target: Path, failed: Path) -> None:
        folder = tempfile.mkdtemp(prefix="raydp_ml-")
        java = [
            java_executable(),
            *self._java_options,
            "-Xlog:disable",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            f"-Djava.io.tmpdir={folder}",
            f"-XX:ArchiveClassesAtExit={folder}/new",
            "-cp",
            class_path(),
            _MAIN,
            folder,
        ]
        self._process = OwnedProcess(
            ["/bin/sh", "-c", _BUILD, str(target), str(failed), f"{folder}/new", *java],
            env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": folder},
            folder=folder,
            log_file=os.path.join(folder, "log"),
            when_idle=True,
        )

    def wait(self, timeout: float) -> None:
        """Wait for the end of the work, which takes some 20 seconds of an idle core."""
        self._timer.join(timeout)
        if self._process is not None:
            self._process.wait(timeout)

    def stop(self) -> None:
        """End the work if it is not done; another session begins anew."""
        self._timer.cancel()
        with self._mutex:
            self._stopped = True
            if self._process is not None:
                self._process.kill()


def _archive_path() -> Path:
    """Where the archive lies; another file for another Java, class path or version of a jar."""
    java = Path(java_executable()).resolve()
    digest = hashlib.sha256()
    for file in [java, *_jars()]:
        stat = file.stat()
        digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "raydp_ml" / f"classes-{digest.hexdigest()[:16]}.jsa"


def _jars() -> list[Path]:
    jars: list[Path] = []
    for entry in class_path().split(os.pathsep):
        path = Path(entry)
        jars += sorted(path.parent.glob("*.jar")) if path.name == "*" else [path]
    return jars
