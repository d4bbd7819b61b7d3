"""CPU time and memory of all processes of a run: this one, the JVMs, Python workers, Ray."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

import psutil

_SAMPLE_SECONDS = 0.05


def processes_of_run() -> list[psutil.Process]:
    """Return our own process and all below it."""
    # Ray and the JVMs that a run starts are all descendants of this process.
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def cpu_seconds() -> float:
    """CPU seconds used so far by this process and all below it, ended ones included."""
    total = 0.0
    for process in processes_of_run():
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended meanwhile
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def machine_cpu_seconds() -> float:
    """CPU seconds used so far by everything on this machine."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


class Usage:
    """Seconds of a ``with`` block, and the CPU seconds of the run and of others in them."""

    def __init__(self) -> None:
        self.seconds = self.cpu_s = self.other_cpu_s = 0.0
        self._before = (0.0, 0.0, 0.0, 0.0)

    def __enter__(self) -> Usage:
        own = time.process_time()
        self._before = machine_cpu_seconds(), cpu_seconds(), own, time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        machine, ours, own, begin = self._before
        self.seconds = time.perf_counter() - begin
        # What an orphan has used is lost when it ends: at least this process's own is known.
        self.cpu_s = max(cpu_seconds() - ours, time.process_time() - own)
        # Above about 0.1 s of it per second, the times are those of a machine with others on it.
        self.other_cpu_s = max(0.0, machine_cpu_seconds() - machine - self.cpu_s)

    def summary(self) -> dict[str, Any]:
        """The three figures by name."""
        return {"seconds": self.seconds, "cpu_s": self.cpu_s, "other_cpu_s": self.other_cpu_s}


def role(process: psutil.Process) -> str:
    """What a process of the run is there for."""
    if process.pid == psutil.Process().pid:
        return "driver"
    command = process.cmdline()
    text = " ".join(command)
    if command and command[0].startswith("ray::"):
        return "ray workers"
    if "java" in process.name():
        return "jvm"
    if "pyspark" in text:
        return "spark python"
    # raylet, GCS, agents, idle pool workers: there whatever the contender does
    return "ray daemons"


class MemorySampler:
    """Watches the memory of all processes of the run for the time of a ``with`` block.

    PSS divides pages that several processes share (Ray's object store) among them, so that its
    sum is what the run really takes; RSS counts them in each.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before: dict[str, int] = {}
        self._peaks: dict[str, int] = defaultdict(int)
        self._peak_total = {"pss": 0, "rss": 0}
        self._start_total = 0
        self._samples = 0

    def __enter__(self) -> MemorySampler:
        self._before, rss = _memory()
        self._start_total = sum(self._before.values())
        self._keep(self._before, rss)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._keep(*_memory())

    def _watch(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            self._keep(*_memory())
            # Sampling must not take the greater part of a core from what it watches.
            self._stop.wait(max(_SAMPLE_SECONDS, time.monotonic() - begin))

    def _keep(self, pss: dict[str, int], rss: int) -> None:
        for role, size in pss.items():
            self._peaks[role] = max(self._peaks[role], size)
        total = self._peak_total
        total["pss"] = max(total["pss"], sum(pss.values()))
        total["rss"] = max(total["rss"], rss)
        self._samples += 1

    def summary(self) -> dict[str, Any]:
        """Peaks in MB: of all together, each role's own, and the rise of the whole."""
        return {
            "peak_pss_mb": _mb(self._peak_total["pss"]),
            "peak_rss_mb": _mb(self._peak_total["rss"]),
            "rise_pss_mb": _mb(self._peak_total["pss"] - self._start_total),
            "peak_pss_mb_by_role": {role: _mb(size) for role, size in sorted(self._peaks.items())},
            "samples": self._samples,
        }


def _memory() -> tuple[dict[str, int], int]:
    pss: dict[str, int] = defaultdict(int)
    rss = 0
    for process in processes_of_run():
        try:
            name, memory = role(process), process.memory_full_info()
        except psutil.Error:  # it has ended meanwhile
            continue
        pss[name] += memory.pss
        rss += memory.rss
    return pss, rss


def _mb(size: int) -> float:
    return round(size / 1e6, 1)
