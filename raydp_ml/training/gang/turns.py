"""Fits of one program take turns: each waits for those before it, and knows whether they still run.

One fit at a time asks Ray for what it needs. Two that asked at once could each get a part of it,
and wait for the other's for ever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator

_TELL_SECONDS = 10.0

logger = logging.getLogger(__name__)
_changed = threading.Condition()
_asking: deque[Turn] = deque()  # the first one asks Ray; the others wait for it
_running: set[Turn] = set()


class Turn:
    """One fit's place among those of this program."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._since = time.monotonic()
        self._told = False

    def others_run(self) -> bool:
        """Whether other fits of this program hold something, and will give it back.

        A fit does not wait for one that itself waits for this one: that of the thread's own
        callback, or one whose thread asks for another.
        """
        with _changed:
            stuck = {turn._thread for turn in _asking}
            return any(turn is not self and turn._thread not in stuck for turn in _running)

    def tell(self) -> None:
        """Say, once and after a while, what is waited for."""
        if not self._told and time.monotonic() - self._since > _TELL_SECONDS:
            self._told = True
            logger.warning(
                "A fit waits for %d other fit(s) of this program, which hold the CPUs (or other "
                "resources) that it needs. It begins when they have ended.",
                len(_running) or 1,
            )

    def got_all(self) -> None:
        """Let the next fit ask: this one has what it needs, until the end of its turn."""
        with _changed:
            _asking.remove(self)
            _running.add(self)
            _changed.notify_all()

    def _await(self) -> None:
        with _changed:
            while _asking[0] is not self:
                _changed.wait(1.0)
                self.tell()


@contextlib.contextmanager
def take_turn() -> Iterator[Turn]:
    """Wait until the fits that asked earlier have what they need; leave at the end of the fit."""
    turn = Turn()
    with _changed:
        _asking.append(turn)
    try:
        turn._await()
        yield turn
    finally:
        with _changed:
            _running.discard(turn)
            if turn in _asking:
                _asking.remove(turn)
            _changed.notify_all()
