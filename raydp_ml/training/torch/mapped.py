"""Rows that a worker does not hold: its tensors lie in files of its temporary folder.

The files are mapped into memory, so that batches are taken from them as from any tensor, and the
shuffle is the same. They have no names: they end with the worker, however that ends.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import tempfile
from typing import IO

import numpy as np

from raydp_ml.session.full import disk_may_be_full
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.torch.spec import TorchSpec
from raydp_ml.training.torch.tensors import Rows, rows_of


def mapped_rows(part: Part, spec: TorchSpec) -> Rows:
    """Convert a part, some megabytes at a time, into arrays in files.

    Parameters
    ----------
    part : Part
    spec : TorchSpec

    Raises
    ------
    ResourceError
        If the disk has no room.
    """
    tables = part.tables()
    none = rows_of(next(tables), part.layout, spec)  # which tells how many arrays, and of what
    with disk_may_be_full(tempfile.gettempdir()), contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in _arrays(none)]
        for table in tables:
            rows = rows_of(table, part.layout, spec)
            for array, file in zip(_arrays(rows), files, strict=True):
                file.write(np.ascontiguousarray(array).data)
        count = part.num_rows()
        made = [_mapped(file, like, count) for file, like in zip(files, _arrays(none), strict=True)]
    *inputs, target = made if none.weight is None else made[:-1]
    return Rows(inputs, target, None if none.weight is None else made[-1])


def _arrays(rows: Rows) -> list[np.ndarray]:
    return [*rows.inputs, rows.target, *([] if rows.weight is None else [rows.weight])]


def _mapped(file: IO[bytes], like: np.ndarray, count: int) -> np.ndarray:
    shape = count, *like.shape[1:]
    if not math.prod(shape):  # nothing can be mapped
        return np.empty(shape, like.dtype)
    file.flush()
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    # Batches are rows from all over: the pages around one are not wanted soon.
    memory.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(memory, like.dtype).reshape(shape)
