"""What a failure of workers means: pure decisions, acted upon by the group."""

from __future__ import annotations

from collections.abc import Sequence

from raydp_ml.exceptions import RayDPMLError, TrainingError
from raydp_ml.session.full import shortage_in

_SECONDARY = (
    "allreduce",
    "allgather",
    "broadcast failed",
    "rabit",
    "connection reset",
    "peer",
    "nccl",
)


class WorkerLostError(TrainingError):
    """A worker's process ended under it; the work may be tried again on a new gang."""


def error_of(failures: Sequence[tuple[int, BaseException]], size: int) -> Exception:
    """Choose the exception that explains the failure of a gang.

    Parameters
    ----------
    failures : sequence of (rank, exception)
        In the order of their arrival; each exception is the worker's own, or `WorkerLostError`
        where the process died.
    size : int
        Number of workers.

    Returns
    -------
    Exception
        With ``__cause__`` set to the worker's own exception.
    """
    for _, cause in failures:
        if isinstance(cause, WorkerLostError):
            return cause
    # When one worker raises, its peers fail in the collective a moment later.
    first = [failure for failure in failures if not _is_secondary(failure[1])] or list(failures)
    rank, cause = first[0]
    if isinstance(cause, RayDPMLError):
        return cause
    text = str(cause).strip().splitlines()
    error = shortage_in(str(cause)) or TrainingError(
        f"Worker {rank} of {size} failed: {type(cause).__name__}: {text[0] if text else ''}"
    )
    error.__cause__ = cause
    return error


def _is_secondary(error: BaseException) -> bool:
    text = str(error).lower()
    return any(mark in text for mark in _SECONDARY)
