"""The rounds or epochs of a training as the driver hears of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar


class Step(Protocol):
    """A worker's report of a finished round or epoch."""

    @property
    def index(self) -> int:
        """Its number, from 0."""


_Step = TypeVar("_Step", bound=Step)


class Steps(Generic[_Step]):
    """Hands on each step once, over all attempts, and passes a wish to stop to the workers.

    Parameters
    ----------
    tell : callable or None
        Called with each step; True asks to stop after it.

    Attributes
    ----------
    wanted : bool
        Whether steps need be reported.
    last : step or None
        The step after which training was asked to stop.
    """

    def __init__(self, tell: Callable[[_Step], bool] | None) -> None:
        self.wanted = tell is not None
        self.last: _Step | None = None
        self._tell = tell
        self._seen = 0

    def add(self, step: _Step, group: Any) -> None:
        """Take a step that the workers of `group` report."""
        # Steps come again after a restart, and workers run on while a stop is on its way.
        if self._tell is None or self.last is not None or step.index < self._seen:
            return
        self._seen = step.index + 1
        if self._tell(step):
            self.last = step
            group.request_stop()
