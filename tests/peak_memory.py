"""How far a process's memory rises above what it holds, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path


class Peak:
    """The peak from now on of a process: this one, or that of a number."""

    def __init__(self, process: int | str = "self") -> None:
        self._folder = Path("/proc", str(process))
        (self._folder / "clear_refs").write_text("5")  # the peak begins anew
        self._before = self._bytes("VmRSS")

    def rise(self) -> int:
        """Bytes above what was held at the beginning."""
        return self._bytes("VmHWM") - self._before

    def _bytes(self, name: str) -> int:
        (kilobytes,) = re.findall(rf"{name}:\s+(\d+) kB", (self._folder / "status").read_text())
        return int(kilobytes) << 10
