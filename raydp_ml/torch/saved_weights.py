"""What a file of weights says that it holds, before any of them is read."""

from __future__ import annotations

import os
from pathlib import Path

from raydp_ml.saving.files import json_of, open_file

__all__ = ["WEIGHTS", "saved_shapes"]

WEIGHTS = "module.safetensors"


def saved_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a file of the format safetensors, by their names.

    Raises
    ------
    OSError, ValueError
        If there is no such file, or it is none.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > size:
            raise ValueError(f"{path.name} begins with {length} bytes of {size}")
        header = json_of(file.read(length).decode(), path.name)
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} names no arrays")
    return {name: tuple(about["shape"]) for name, about in header.items() if name != "__metadata__"}
