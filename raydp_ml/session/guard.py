"""Ties a process group and its folder to the life of the process that started it.

A guard is a small shell that reads a pipe whose other end only the owner holds. However the owner
ends (return, exception, kill -9), the pipe closes, and the guard ends the group and removes the
folder. Unlike Linux's parent-death signal, this reaches the whole group (a Worker's executors too)
and does not depend on which thread started it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

# $1 is the process group, or empty for none, $2 the folder. TERM first: a JVM then removes its own
# temporary files. An ended but unreaped member still counts for `kill -0`, hence the bound on the
# wait. The shell that does it is orphaned at once (a background job, whose pipe must be another
# than its standard input), because a Ray worker that exits kills its child processes.
_GUARD = """
exec 3<&0
(
    cat <&3 > /dev/null
    if [ -n "$1" ]; then
        kill -TERM "-$1" 2> /dev/null
        tries=0
        while kill -0 "-$1" 2> /dev/null && [ $tries -lt 50 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        kill -KILL "-$1" 2> /dev/null
    fi
    rm -rf "$2"
) &
"""

# The program starts only once its guard is there, so no moment is left unguarded.
_WAIT_FOR_GUARD = 'read -r go || exit 1; exec "$@" < /dev/null'


class Guard:
    """Ends the process group `group` and removes `folder` when this process ends or asks.

    Parameters
    ----------
    group : int or None
        Process group id; its leader was started with ``start_new_session=True``. None for a
        folder without processes.
    folder : str
        Removed, with all it holds, after the group has ended.
    """

    def __init__(self, group: int | None, folder: str) -> None:
        with subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                _GUARD,
                "raydp_ml-guard",
                "" if group is None else str(group),
                folder,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as starter:
            assert starter.stdin is not None
            assert starter.stdout is not None
            # The guard acts when the first of these pipes closes, and closes the second when done.
            self._lifeline = os.fdopen(os.dup(starter.stdin.fileno()), "wb")
            self._done = os.fdopen(os.dup(starter.stdout.fileno()), "rb")

    def release(self) -> None:
        """Let the guard end the group and remove the folder; return at once."""
        self._lifeline.close()

    def wait(self, timeout: float = 30) -> None:
        """Wait until the guard has finished."""
        if not self._done.closed:
            select.select([self._done], [], [], timeout)
            self._done.close()


class OwnedProcess:
    """A program in a process group of its own that ends when this process does.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    env : mapping
        Its whole environment.
    folder : str
        Folder of the program, removed when it ends.
    log_file : str
        Where its output goes.
    when_idle : bool, default=False
        Whether it runs only while nobody else wants the CPU (where the system can do that).
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: str,
        log_file: str,
        when_idle: bool = False,
    ) -> None:
        with open(log_file, "ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WAIT_FOR_GUARD, "raydp_ml-start", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
            )
        self._guard = Guard(self._process.pid, folder)
        if when_idle and hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(self.pid, os.SCHED_IDLE, os.sched_param(0))
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.close()
        # Someone must collect the exit status, or the guard waits for a process that is a zombie.
        threading.Thread(target=self._process.wait, daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id, which is the id of the process group too."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout: float | None) -> None:
        """Wait until the program has ended, at most `timeout` seconds (None: without limit)."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        """End the whole group at once, without a chance to clean up after itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End the whole group and remove the folder; returns when that is done."""
        self._guard.release()
        self._guard.wait()
        # The guard kills and does not collect: until the thread has, the program seems to run.
        self.wait(10)
