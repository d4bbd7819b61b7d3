"""Programs run as a user runs them, from a fresh folder, and must leave nothing behind."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

from benchmarks.session import ensure_class_archive

EXAMPLES = Path(__file__).parent.parent / "examples"
MARK = "RAYDP_ML_TEST_PROGRAM"
# Until which what a program started must be gone. Ray's own agents take a while to see that their
# parent was killed: more than half a minute on a slow machine.
LEFT_SECONDS = 90


def program_environment(token: str, temporary: Path) -> dict[str, str]:
    """Environment of a program whose processes `marked` finds by `token`.

    Parameters
    ----------
    token : str
        What marks the program, and all that it starts.
    temporary : Path
        The folder of its temporary files.
    """
    _make_class_archive()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**environment, MARK: token, "TMPDIR": str(temporary)}


# It halves the start of every JVM after it. raydp_ml makes it with CPU time that nobody else wants;
# one test after the other leaves none.
_make_class_archive = functools.cache(ensure_class_archive)


def run_example(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``examples/NAME.py`` in `cwd`; see `run_python`."""
    return run_python(str(EXAMPLES / f"{name}.py"), *arguments, cwd=cwd)


def run_python(
    *arguments: str, cwd: Path, timeout: float = 500
) -> subprocess.CompletedProcess[str]:
    """Run Python in `cwd`, and fail if a process, a temporary file or new file in `cwd` is left.

    New files are allowed in a folder ``out`` of `cwd`, which examples are told to write to.
    """
    token = uuid.uuid4().hex
    before = {path.name for path in cwd.iterdir()} | {"out"}
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="x-", dir="/tmp", ignore_cleanup_errors=True) as ray:
        temporary = Path(ray, "tmp")
        temporary.mkdir()
        try:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=cwd,
                env=program_environment(token, temporary) | {"RAY_TMPDIR": ray},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
            deadline = time.monotonic() + LEFT_SECONDS
            while left := [*marked(token), *_files(temporary)]:
                assert time.monotonic() < deadline, f"left behind: {left}\n{done.stderr}"
                time.sleep(0.1)
        finally:
            for process in marked(token):
                process.kill()
    assert {path.name for path in cwd.iterdir()} <= before, "it left files in its folder"
    return done


def without(*packages: str) -> str:
    """Begin the text of a program in which there are no such packages."""
    return f"""
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ImportError(f"there is no {{name}} here")

sys.meta_path.insert(0, Without())
"""


def _files(temporary: Path) -> list[Path]:
    """Files and folders but torch's cache of compiled code, which any optimizer makes, to stay."""
    return [path for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]


def marked(token: str) -> list[psutil.Process]:
    """Living processes that were started with `token` in their environment.

    Their ``info`` has the ``name`` and ``cmdline`` of this moment: they may end in the next.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == token and process.status() != psutil.STATUS_ZOMBIE:
                process.info = process.as_dict(["name", "cmdline"], ad_value="")
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def assert_one_line_and_exit_code_2(done: subprocess.CompletedProcess[str], text: str) -> None:
    """Assert that the program said what was wrong with its arguments, and did nothing else."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert text in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
