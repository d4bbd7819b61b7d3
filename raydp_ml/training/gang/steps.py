"""The rounds or epochs of a training as the driver hears of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Step(Protocol):
    """A worker's report of a finished round or epoch."""

    @property
    def index(self) -> int:
        """Its number, from 0."""


_Step = TypeVar("_Step", bound=Step)


class Steps(Generic[_Step]):
    """Hands on each step once, over all attempts, until somebody asks to stop.

    Attributes
    ----------
    last : step or None
        The step after which training was asked to stop.
    """

    def __init__(self) -> None:
        self.last: _Step | None = None
        self._seen = 0

    def stops_at(self, step: _Step, tell: Callable[[_Step], bool]) -> bool:
        """Hand a step that the workers report to `tell`; True where that asks to stop after it."""
        # Steps come again after a restart, and workers run on while a stop is on its way.
        if self.last is not None or step.index < self._seen:
            return False
        self._seen = step.index + 1
        if not tell(step):
            return False
        self.last = step
        return True
