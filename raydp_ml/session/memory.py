"""Sizes of memory: what a user writes, and what this machine has to spare."""

from __future__ import annotations

import os
import re
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


def available_mib() -> int:
    """MiB that a new process of this machine or container may still take."""
    room = [_machine_bytes()]
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            room.append(int(Path(limit).read_text()) - int(Path(usage).read_text()))
        except (OSError, ValueError):  # no such cgroup version, or its limit is "max"
            continue
    return max(0, min(room)) // 1024**2


def _machine_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
