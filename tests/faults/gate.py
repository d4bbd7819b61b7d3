"""A place in the middle of a phase, where a process waits for its fault.

Tasks of Spark and training workers import this file: it imports next to nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

WAITS = 300.0
"""Seconds after which a phase counts as hanging."""


class Gate:
    """A place in the middle of a phase; None for `folder` is an open one."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder

    def __call__(self) -> None:
        if self.folder is None:
            return
        try:
            with open(f"{self.folder}/pid", "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return  # another came first, or this one is its successor
        os.rename(f"{self.folder}/pid", f"{self.folder}/begun")
        Path(self.folder, "pid").touch()
        deadline = time.monotonic() + WAITS
        while not os.path.exists(f"{self.folder}/go") and time.monotonic() < deadline:
            time.sleep(0.05)

    def held(self) -> int:
        """Wait until a process is in the gate, and return its number."""
        while not os.path.exists(f"{self.folder}/begun"):
            time.sleep(0.02)
        return int(Path(f"{self.folder}/begun").read_text())

    def open(self) -> None:
        Path(f"{self.folder}/go").touch()


def through(gate: Gate):
    """Return a function for `mapInArrow` that changes nothing and comes to the gate."""

    def pass_on(batches):
        for batch in batches:
            gate()
            yield batch

    return pass_on
