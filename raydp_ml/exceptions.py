"""The errors that raydp_ml raises.

Each text says what was wrong, what was given and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DataLostError",
    "RayDPMLError",
    "ResourceError",
    "SchemaError",
    "SessionError",
    "TrainingError",
]


class RayDPMLError(Exception):
    """Base of every error that raydp_ml raises itself."""


class SchemaError(RayDPMLError, ValueError):
    """The columns, types or values of the data do not fit what was asked for."""


class ResourceError(RayDPMLError, RuntimeError):
    """The Ray cluster cannot hold what was asked for."""


class SessionError(RayDPMLError, RuntimeError):
    """Spark or Ray is missing, closed, or in a state that the call cannot use."""


class TrainingError(RayDPMLError, RuntimeError):
    """Training failed on a worker; the worker's own exception is the cause."""


class DataLostError(RayDPMLError, RuntimeError):
    """Blocks in the object store were freed or lost and cannot be rebuilt."""


def name_hint(name: str, existing: Iterable[str]) -> str:
    """Say which names exist and which of them is nearest to `name`.

    Parameters
    ----------
    name : str
        The name that was not found.
    existing : iterable of str
        The names there are.

    Returns
    -------
    str
        For example ``"Did you mean 'fare'? The columns are: ['fare', 'tip']."``
    """
    names = list(existing)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    shown = str(names) if len(names) <= 30 else f"{names[:30]} and {len(names) - 30} more"
    nearest = f"Did you mean {close[0]!r}? " if close else ""
    return f"{nearest}The columns are: {shown}."
