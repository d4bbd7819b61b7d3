"""Sizes of memory: what a user writes, and what this machine has to spare."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_UNITS_IN_KIB = {"k": 1, "m": 1024, "g": 1024**2, "t": 1024**3}
_SIZE = re.compile(r"([1-9]\d*)([kmgt])", re.IGNORECASE)

# Spark refuses a heap below 450 MiB, and the JVM reports a little less than -Xmx.
SMALLEST_HEAP_MIB = 512


def parse_mib(size: str) -> int | None:
    """Whole MiB of a JVM-style size such as ``"512m"`` or ``"2g"``; None if it is not one."""
    match = _SIZE.fullmatch(size)
    if match is None:
        return None
    return int(match[1]) * _UNITS_IN_KIB[match[2].lower()] // 1024


# Limit and use of the container's memory, in both versions of cgroups.
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_mib() -> int:
    """MiB that a new process of this machine or container may still take."""
    room = [_machine_bytes(), *(limit - used for limit, used in _container())]
    return max(0, min(room)) // 1024**2


def container_mib() -> int | None:
    """MiB that the container may hold, or None where nothing but the machine is the limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [limit // 1024**2 for limit, _ in _container() if limit < machine]
    return min(limits, default=None)


def _container() -> Iterator[tuple[int, int]]:
    for limit, used in _CGROUPS:
        try:
            yield int(Path(limit).read_text()), int(Path(used).read_text())
        except (OSError, ValueError):  # no such cgroup version, or its limit is "max"
            continue


def shared_memory_bytes() -> tuple[int, int]:
    """Size of ``/dev/shm``, where Ray has its object store, and what is free of it."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:  # not Linux
        return 0, 0
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _machine_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
