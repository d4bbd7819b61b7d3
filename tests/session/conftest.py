"""Programs run as a user runs them, with a search for whatever they leave behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from tests.fresh_folder import LEFT_SECONDS, marked, program_environment

# How long a test waits is a bound on a failure; what it waits for comes much sooner.


class Program:
    """A Python program in a process of its own; its descendants carry a mark in the environment.

    `folder` is its temporary folder and its Ray's, short enough for the paths of sockets. It may
    have `disks` of its own: folders, in `folder` or anywhere, and their sizes in bytes.
    """

    def __init__(self, source: str, folder: Path, disks: Mapping[str, int]) -> None:
        self.folder = folder
        self._token = uuid.uuid4().hex
        script = folder / "program.py"
        script.write_text(textwrap.dedent(source))
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        (folder / "tmp").mkdir()
        (folder / "work").mkdir()
        command = _with_disks({folder / name: size for name, size in disks.items()})
        environment = program_environment(self._token, folder / "tmp")
        environment |= {"RAY_TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
        with self._stdout.open("w") as stdout, self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [*command, sys.executable, str(script)],
                cwd=folder / "work",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def wait_for(self, text: str, timeout: float = 400) -> None:
        """Wait until the program has printed `text`."""
        assert eventually(lambda: text in self.stdout or self.process.poll() is not None, timeout)
        assert text in self.stdout, self.stderr

    def finish(self, timeout: float = 400) -> int:
        """Wait for the end of the program and return its exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"The program hangs.\n{self.stdout}\n{self.stderr}")

    def processes(self) -> list[psutil.Process]:
        """Living processes that the program started, itself included."""
        return marked(self._token)

    def left_files(self) -> list[str]:
        """What lies in the program's temporary and working folders, but torch's cache of code."""
        paths = [
            str(path.relative_to(self.folder))
            for name in ("tmp", "work")
            for path in below(self.folder / name)
        ]
        return sorted(path for path in paths if not path.startswith("tmp/torchinductor_"))

    def ray_files(self) -> list[str]:
        """What Spark's JVMs in Ray actors have in Ray's folders, other than logs."""
        return [
            str(path)
            for path in below(self.folder)
            if path.match("ray/session_*/spark-*") or path.name.startswith("hs_err")
        ]

    def assert_nothing_left(
        self, timeout: float = LEFT_SECONDS, *, but: Collection[int] = ()
    ) -> None:
        """Fail unless all of its processes and files are gone, or go within `timeout` seconds.

        A process whose id is in `but` may stay.
        """

        def left() -> list[object]:
            processes = [
                " ".join(each.info["cmdline"])[:200] or f"process {each.pid}"
                for each in self.processes()
                if each.pid not in but
            ]
            return [*processes, *self.left_files(), *self.ray_files()]

        assert eventually(lambda: not left(), timeout), left()


@pytest.fixture
def run_program():
    """Start a program; at the end of the test, end what is left of it."""
    programs: list[Program] = []

    def run(source: str, disks: Mapping[str, int] = MappingProxyType({})) -> Program:
        folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))
        programs.append(Program(source, folder, disks))
        return programs[-1]

    yield run
    for program in programs:
        for process in program.processes():
            process.kill()
        shutil.rmtree(program.folder, ignore_errors=True)


def _with_disks(disks: Mapping[Path, int]) -> list[str]:
    """Begin a command with small disks, which go with its last process."""
    if not disks:
        return []
    for folder in disks:
        folder.mkdir(exist_ok=True)
    mounts = [f"mount -t tmpfs -o size={size} small {folder}" for folder, size in disks.items()]
    command = ["unshare", "-m", "sh", "-ec", "; ".join([*mounts, 'exec "$@"']), "sh"]
    try:
        subprocess.run([*command, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk of its own needs root, util-linux, and a container that may mount")
    return command


def finished(program: Program) -> None:
    """Let a program end whose last line is ``done``."""
    assert program.finish() == 0, program.stderr
    assert program.stdout.endswith("done\n"), program.stderr
    program.assert_nothing_left()


def below(folder: Path) -> list[Path]:
    """All files and folders below `folder`, some of which may be vanishing meanwhile."""
    # Path.rglob raises for a folder that another process removes under its feet.
    return [
        Path(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
    ]


def eventually(condition, timeout: float) -> bool:
    """Whether `condition` comes true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
