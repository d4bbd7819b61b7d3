"""What a fit asks of its workers, be they actors or this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

_Result = TypeVar("_Result")

OnEvent = Callable[[int, object], None]
"""Takes the rank of a worker, and what it reports."""


class Gang(Protocol):
    """Workers that run one function each, together.

    Attributes
    ----------
    size : int
        Number of workers; their ranks are 0 to size - 1.
    host : str
        Address of the driver's node, where the workers can reach a tracker.
    cpus_per_worker : int
        Threads that each may use.
    node_ids : sequence of str
        Ray node of each worker.
    in_process : bool
        Whether the one worker is this process.
    """

    size: int
    host: str
    cpus_per_worker: int
    node_ids: Sequence[str]
    in_process: bool

    def run(
        self,
        function: Callable[..., _Result],
        args: Sequence[tuple[object, ...]],
        *,
        on_event: OnEvent | None = None,
    ) -> list[_Result]:
        """Run ``function(*args[rank])`` on each worker and wait for all; the results by rank."""

    def request_stop(self) -> None:
        """Ask the running function to end early on every worker."""
