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
_END = b"\0raydp_ml: the JVM is told to end\n"


class JvmOutput:
    """Passes what the JVM prints on to our own output, less the noise, and keeps the last lines."""

    def __init__(self) -> None:
        self._lines: collections.deque[bytes] = collections.deque(maxlen=20)
        self._threads: list[threading.Thread] = []
        self._is_ending = False
        self.stdout = self._pipe_to(1)
        self.stderr = self._pipe_to(2)
        # Ours alone: a write to it never blocks.
        self._mark = os.open(f"/proc/self/fd/{self.stderr}", os.O_WRONLY | os.O_NONBLOCK)

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
            for whole in stream:
                line = whole.removesuffix(_END)
                dropped = _NOISE.match(line.rstrip()) or (self._is_ending and target == 2)
                self._is_ending |= line != whole
                if dropped or not line:
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
        """Drop the complaints of whatever is still running when the JVM is told to end."""
        # What it has printed by now may be on its way: the mark travels behind it.
        if self._mark >= 0:
            try:
                os.write(self._mark, _END)
            except BlockingIOError:  # nobody reads what we print
                self._is_ending = True

    def join(self) -> None:
        """Wait until all that the JVM, which has ended, printed has been passed on."""
        if self._mark >= 0:
            os.close(self._mark)
            self._mark = -1
        for thread in self._threads:
            thread.join(1)

    def tail(self) -> str:
        """Return the last lines that the JVM printed."""
        self.join()
        return b"".join(self._lines).decode(errors="replace").strip()
