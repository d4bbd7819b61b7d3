"""How code on a worker speaks with the driver: events go up, a wish to stop comes down."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Channel:
    """The worker's end; one per worker process, or one per fit within this process."""

    def __init__(self, deliver: Callable[[object], None] | None = None) -> None:
        self._events: deque[object] = deque()
        self._deliver = deliver or self._events.append
        self._stop = threading.Event()
        self._draining = threading.Lock()

    def report(self, event: object) -> None:
        """Hand an event to the driver."""
        self._deliver(event)

    def drain(self) -> list[object]:
        """Take the events that were not fetched yet."""
        events = []
        # Of two threads that drain, one takes all: the events keep their order.
        with self._draining:
            while self._events:
                events.append(self._events.popleft())
        return events

    def request_stop(self) -> None:
        """Ask the running function to end early."""
        self._stop.set()

    def stop_requested(self) -> bool:
        """Whether the driver asked to end early."""
        return self._stop.is_set()


_local = threading.local()


def use(channel: Channel | None) -> None:
    """Make `channel` the one that this thread's `report` writes to."""
    _local.channel = channel


def report(event: object) -> None:
    """Send `event`, any picklable object, to the driver; it arrives within about 0.1 s."""
    channel: Channel | None = getattr(_local, "channel", None)
    if channel is not None:
        channel.report(event)


def stop_requested() -> bool:
    """Whether the driver asked this worker to end early, keeping what it has."""
    channel: Channel | None = getattr(_local, "channel", None)
    return channel is not None and channel.stop_requested()
