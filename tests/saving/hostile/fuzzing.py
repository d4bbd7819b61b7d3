"""Tamper with saved folders at random, load them elsewhere, and judge what came of it.

``python -m tests.saving.hostile.fuzzing 3600`` does so for an hour; a second number is the seed.
"""

from __future__ import annotations

import collections
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tests.saving.hostile import real_folders
from tests.saving.hostile.tampering import anywhere

MOST_BYTES = 64 << 20
SECONDS = 120
"""In which an answer has come: nothing hangs."""


class Loader:
    """The process that loads; another one after each that crashed."""

    def __init__(self, warm):
        self._warm = warm
        self._start()

    def _start(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.saving.hostile.loading"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for folder in self._warm:  # imports take memory, and open files
            self._asked(folder)

    def _asked(self, folder):
        timer = threading.Timer(SECONDS, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(f"{folder}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
            timer.join()
        return json.loads(line) if line else None

    def load(self, folder):
        """Return what came of a folder, None if the process crashed, or did not answer in time."""
        made = self._asked(folder)
        if made is None:
            self.close()
            self._start()
        return made

    def close(self):
        """End the process; `said` tells how it ended."""
        _, said = self._process.communicate()
        self.said = f"exit status {self._process.returncode}: {said[-300:]}"


def wrong(made, size):
    """Say what is wrong with what came of a folder of so many bytes, or return None."""
    if made is None:
        return "crashed"
    if made["done"]:
        return f"did {made['done']}"
    if made["children"]:
        return f"left {made['children']}"
    if made["bytes"] > size + MOST_BYTES:
        return f"took {made['bytes'] >> 20} MB"
    error = made["load"]
    if error is not None:
        if error["ran_out"]:
            return f"ran out of memory: {error['text']}"
        if not {"ValueError", "FileNotFoundError"} & set(error["classes"]):
            return f"{error['classes'][0]}: {error['text']}"
    elif made["use"] is not None and made["use"]["ran_out"]:
        return f"ran out of memory in use: {made['use']['text']}"
    return None


def fuzz(seconds, seed, keep=None):
    """Tamper and load for so long.

    Returns
    -------
    (int, Counter, list)
        How many folders, what came of them, and what was wrong: (name, what was done, what came).
    """
    rng = np.random.default_rng(seed)
    counts, found, number = collections.Counter(), [], 0
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "real"
        names = real_folders.write(root)
        others = [path for path in root.rglob("*") if path.is_file()]
        loader = Loader([root / name for name in names])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = names[rng.integers(len(names))]
            folder = Path(scratch) / "tampered"
            shutil.copytree(root / name, folder)
            said = "; ".join(anywhere(rng, folder, others) for _ in range(rng.integers(1, 3)))
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            made = loader.load(folder)
            what = wrong(made, size)
            number += 1
            outcome = "loaded" if made and made["load"] is None else "refused"
            counts[outcome if what is None else "wrong"] += 1
            if made and made["use"]:
                counts[f"used: {made['use']['classes'][0]}"] += 1
            if what is not None:
                what += "" if made else f", {loader.said}"
                found.append((name, said, what))
                if keep is not None:
                    print(found[-1], flush=True)
                    shutil.copytree(folder, Path(keep) / f"{seed}-{number}-{name}")
            shutil.rmtree(folder)
        loader.close()
    return number, counts, found


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    kept = tempfile.mkdtemp(prefix="raydp_ml_fuzz_")
    print(*fuzz(given[0] if given else 60, given[1] if len(given) > 1 else 0, kept)[:2], kept)
