"""What the driver JVM prints: passed on to our own output, and kept for error messages."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import threading
from typing import IO

# What no option turns off: the JVM prints the first whenever Spark's launcher is used, Ray the
# other when a JVM connects to it.
NOISE = (
    r"^WARNING: Using incubator modules: jdk\.incubator\.vector$"
    r"|^\[[^]]+ I \d+ \d+\] gcs_client\.cc"
)
_NOISE = re.compile(NOISE.encode())


class JvmOutput:
    """Passes what the JVM prints on to our own output, less the noise, and keeps the last lines."""

    def __init__(self) -> None:
        self._lines: collections.deque[bytes] = collections.deque(maxlen=20)
        self._threads: list[threading.Thread] = []
        self._is_ending = False
        self.stdout = self._pipe_to(1)
        self.stderr = self._pipe_to(2)

    def _pipe_to(self, target: int) -> int:
        read_end, write_end = os.pipe()
        thread = threading.Thread(
            target=self._pass_on, args=(os.fdopen(read_end, "rb"), target), daemon=True
        )
        thread.start()
        self._threads.append(thread)
        return write_end

    def _pass_on(self, stream: IO[bytes], target: int) -> None:
        with stream:
            for line in stream:
                if _NOISE.match(line.rstrip()) or (self._is_ending and target == 2):
                    continue
                self._lines.append(line)
                with contextlib.suppress(OSError):
                    os.write(target, line)

    def leave_to_jvm(self) -> None:
        """Close our ends of the pipes, so that the end of the JVM is their end."""
        for descriptor in (self.stdout, self.stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdout = self.stderr = -1

    def expect_end(self) -> None:
        """Drop the complaints of whatever was still running when the JVM was told to end."""
        self._is_ending = True

    def join(self) -> None:
        """Wait until all that the JVM printed has been passed on."""
        for thread in self._threads:
            thread.join(1)

    def tail(self) -> str:
        """Return the last lines that the JVM printed."""
        self.join()
        return b"".join(self._lines).decode(errors="replace").strip()
