"""The training actor: runs a plain function, and stays warm for the next one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import ray
from threadpoolctl import threadpool_limits

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
        self, function: Callable[..., _Result], args: tuple[object, ...], threads: int
    ) -> tuple[_Result, list[object]]:
        """Return the function's result and the events that nobody has fetched."""
        channel.use(self._channel)
        with _openmp_threads(threads):
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


@contextlib.contextmanager
def _openmp_threads(count: int) -> Iterator[None]:
    """Let OpenMP use so many threads, in libraries that are loaded and in those to come.

    Ray sets ``OMP_NUM_THREADS`` to 1 for an actor that asks it for no CPU, and XGBoost takes that
    for the most that its parameter ``nthread`` may be.
    """
    os.environ["OMP_NUM_THREADS"] = str(count)
    with threadpool_limits(limits=count, user_api="openmp"):
        yield
