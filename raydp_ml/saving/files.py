"""The files of a saved folder, read as what a stranger may have put there."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["FolderError", "is_file", "json_of", "open_file", "read_bytes", "read_json"]


class FolderError(ValueError):
    """A saved folder that cannot be loaded; the text names it."""


def is_file(path: Path) -> bool:
    """Whether there is something of that name, whatever it is."""
    return os.path.lexists(path)


def open_file(path: Path) -> BinaryIO:
    """Open a file of a saved folder to read it.

    Raises
    ------
    OSError
        If there is none.
    ValueError
        If it is no regular file: a pipe would hang, and a device never end.
    """
    # (A pipe without a writer opens at once this way.)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError(f"{path.name} is no regular file")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path) -> bytes:
    """Read a file of a saved folder; as `open_file` otherwise."""
    with open_file(path) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """Read a file of JSON.

    Raises
    ------
    OSError, ValueError
        As `open_file`, and if it is no JSON, or is nested too deeply.
    """
    return json_of(read_bytes(path).decode(), path.name)


def json_of(text: str, what: str) -> Any:
    """Read a text of JSON, which has no numbers such as NaN.

    Parameters
    ----------
    text : str
    what : str
        What it is, for the error.

    Raises
    ------
    ValueError
        If it is no JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
