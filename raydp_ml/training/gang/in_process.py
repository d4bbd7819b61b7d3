"""The gang of one that needs no actor: work in this process, for data in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from raydp_ml.training.gang import channel
from raydp_ml.training.gang.gang import OnEvent

_Result = TypeVar("_Result")


class InProcessGang:
    """A `Gang` of one worker and no actor."""

    size = 1
    host = "127.0.0.1"
    node_ids: Sequence[str] = ()
    in_process = True

    def __init__(self, cpus_per_worker: int | None = None) -> None:
        self.cpus_per_worker = cpus_per_worker or os.cpu_count() or 1
        self._channel = channel.Channel()

    def run(
        self,
        function: Callable[..., _Result],
        args: Sequence[tuple[object, ...]],
        *,
        on_event: OnEvent | None = None,
    ) -> list[_Result]:
        """Call the function; its exceptions pass through as they are."""
        self._channel = channel.Channel(lambda event: on_event and on_event(0, event))
        channel.use(self._channel)
        try:
            return [function(*args[0])]
        finally:
            channel.use(None)

    def request_stop(self) -> None:
        """Ask the running function to end early."""
        self._channel.request_stop()
