"""Follows a round trip with a limit, so that nothing that hangs in it hangs the diagnosis."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_ml.diagnosis import rays
from raydp_ml.diagnosis.machine import ray_folder
from raydp_ml.diagnosis.report import Check, failure, not_tried
from raydp_ml.diagnosis.trip import SETTLED, STARTS, STOP, Trip, reports

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_Reports = queue.Queue[Check | None]

# Of the whole time, for one step.
_STEP_SHARE = 0.5
_END_SECONDS = 10.0
_TAIL_LINES = 10
_PROGRAM = "import sys; from raydp_ml.diagnosis.trip import main; main(int(sys.argv[1]))"
_BUSY = (
    "The machine may be busy or short of memory: end other work and try again, or give the "
    "diagnosis more time (--timeout, timeout=)."
)


def in_process_of_its_own(timeout: float) -> Iterator[Check]:
    """Make the round trip with a session of its own, in a process that leaves nothing."""
    from raydp_ml.session.guard import Guard

    folder = tempfile.mkdtemp(prefix="raydp_ml-", dir=_short_folder())
    read_end, write_end = os.pipe()
    log = Path(folder, "log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(write_end)],
            cwd=folder,
            env=_environment(folder),
            pass_fds=[write_end],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    os.close(write_end)
    guard = Guard(process.pid, folder)
    told: _Reports = queue.Queue()
    threading.Thread(target=_read, args=(read_end, told), daemon=True).start()
    has_stopped = False
    try:
        for check in _followed((*STARTS, *SETTLED, STOP), told, timeout, log):
            has_stopped = check.name == STOP and check.seconds is not None
            yield check
    finally:
        _end(process, patience=_END_SECONDS if has_stopped else 0)
        guard.release()
        guard.wait()
        shutil.rmtree(folder, ignore_errors=True)  # what ended last may have written once more


def in_session(spark: SparkSession, timeout: float) -> Iterator[Check]:
    """Make the round trip with a live session of this process."""
    told: _Reports = queue.Queue()

    def make() -> None:
        for check in reports(Trip(spark).steps()):
            told.put(check)

    threading.Thread(target=make, daemon=True).start()
    yield from _followed(SETTLED, told, timeout, None)


def _followed(
    names: Sequence[str], told: _Reports, timeout: float, log: Path | None
) -> Iterator[Check]:
    """Yield the reports as they come; of steps that do not report in time, say so."""
    deadline = time.monotonic() + timeout
    failed = ""
    for name in names:
        if failed:
            yield not_tried(failed, name)
            continue
        limit = max(0.0, min(timeout * _STEP_SHARE, deadline - time.monotonic()))
        try:
            check = told.get(timeout=limit)
        except queue.Empty:
            check = failure(f"did not end within {limit:.1f} s{_tail(log)}", _BUSY)
            failed = name
        if check is None:
            said = f"the process of the round trip ended{_tail(log)}"
            check = failure(said, f"If it was killed, it lacked memory. {_BUSY}")
            failed = name
        yield replace(check, name=name)


def _read(descriptor: int, told: _Reports) -> None:
    with os.fdopen(descriptor) as lines:
        for line in lines:
            told.put(Check(**json.loads(line)))
    told.put(None)


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of the round trip: with its temporary files in `folder`.

    So is a Ray that it starts. One that is there is found in its own folder.
    """
    own_ray = rays.address() is None
    return {
        **os.environ,
        "TMPDIR": folder,
        "RAY_TMPDIR": folder if own_ray else ray_folder(),
        **_import_path(),
    }


def _import_path() -> dict[str, str]:
    """Have a program import the raydp_ml that this one has imported, if that is not installed."""
    place = str(Path(__file__).parents[2])
    if place in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return {}
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [place, before]))}


def _short_folder() -> str:
    """Return where a folder's sockets have short paths: the place of temporary files, or /tmp."""
    place = tempfile.gettempdir()
    return place if len(place) <= len("/var/tmp/user") else "/tmp"


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Wait for the end of the round trip; then ask it to end, as Ctrl-C would; then end it."""
    for seconds, then in ((patience, process.terminate), (_END_SECONDS, process.kill)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        then()
    process.wait()


def _tail(log: Path | None) -> str:
    if log is None:
        return ""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(["; it said:", *lines]) if lines else ""
