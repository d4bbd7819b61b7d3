"""The training actor: runs a plain function, and stays warm for the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import ray

from raydp_ml.training.gang import channel

_Result = TypeVar("_Result")


class Worker:
    """One member of a gang.

    `run` works in the actor's own thread; the methods of the concurrency group ``control`` answer
    beside it.
    """

    def __init__(self) -> None:
        self._channel = channel.Channel()

    def run(
        self, function: Callable[..., _Result], args: tuple[object, ...]
    ) -> tuple[_Result, list[object]]:
        """Return the function's result and the events that nobody has fetched."""
        channel.use(self._channel)
        return function(*args), self._channel.drain()

    @ray.method(concurrency_group="control")
    def prepare(self) -> None:
        """Forget what the last function left; also the sign of life."""
        self._channel = channel.Channel()

    @ray.method(concurrency_group="control")
    def events(self) -> list[object]:
        """Take the events reported so far."""
        return self._channel.drain()

    @ray.method(concurrency_group="control")
    def request_stop(self) -> None:
        """Ask the running function to end early."""
        self._channel.request_stop()
