"""Universal Binary JSON as XGBoost writes it, read within the bounds of the file.

XGBoost's own reader takes each length in a file at its word, and calls itself for what is nested.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

__all__ = ["read_ubjson"]

_DEEPEST = 32
_BYTES_OF_A_VALUE = 8
"""On average, at least: a file of nothing but the shortest values takes XGBoost far more memory."""
_NUMBERS = {
    marker: (struct.Struct(f">{code}"), np.dtype(dtype))
    for marker, code, dtype in [
        (b"i", "b", ">i1"),
        (b"U", "B", ">u1"),
        (b"I", "h", ">i2"),
        (b"l", "i", ">i4"),
        (b"L", "q", ">i8"),
        (b"d", "f", ">f4"),
        (b"D", "d", ">f8"),
    ]
}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def read_ubjson(data: bytes) -> Any:
    """Read a document.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict, list, str, int, float, bool, None or ndarray
        Arrays of one type of numbers are arrays over `data`, without a copy.

    Raises
    ------
    ValueError
        For anything that XGBoost does not write: lengths beyond the end, names given twice, values
        nested deeper than any model's.
    """
    reader = _Reader(data)
    made = reader.value(0)
    if reader.at != len(data):
        raise ValueError(f"there are {len(data) - reader.at} bytes after its end")
    return made


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.left = len(data) // _BYTES_OF_A_VALUE + 64

    def take(self, count: int) -> int:
        """Return where the next `count` bytes begin, and go on behind them."""
        start = self.at
        if not 0 <= count <= len(self.data) - start:
            raise ValueError(f"{count} bytes at byte {start} of {len(self.data)}")
        self.at = start + count
        return start

    def marker(self) -> bytes:
        start = self.take(1)
        return self.data[start : self.at]

    def number(self, marker: bytes) -> Any:
        form = _NUMBERS[marker][0]
        return form.unpack_from(self.data, self.take(form.size))[0]

    def length(self) -> int:
        if self.marker() != b"L":
            raise ValueError(f"no length at byte {self.at - 1}")
        return int(self.number(b"L"))

    def text(self) -> str:
        start = self.take(self.length())
        return self.data[start : self.at].decode()

    def value(self, depth: int) -> Any:
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise ValueError("it is nested too deeply" if self.left >= 0 else "it has no content")
        marker = self.marker()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return self.number(marker)
        if marker == b"S":
            return self.text()
        if marker == b"{":
            return self.mapping(depth)
        if marker == b"[":
            return self.array(depth)
        raise ValueError(f"the unknown marker {marker!r} at byte {self.at - 1}")

    def mapping(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            name = self.text()
            if name in made:
                raise ValueError(f"{name!r} is given twice")
            made[name] = self.value(depth + 1)
        self.at += 1
        return made

    def array(self, depth: int) -> Any:
        marker = self.marker()
        if marker == b"$":
            of = self.marker()
            if of not in _NUMBERS or self.marker() != b"#":
                raise ValueError(f"no array of numbers at byte {self.at}")
            dtype = _NUMBERS[of][1]
            count = self.length()
            return np.frombuffer(self.data, dtype, max(count, 0), self.take(count * dtype.itemsize))
        if marker != b"#":
            raise ValueError(f"an array without a length at byte {self.at}")
        count = self.length()
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"{count} values at byte {self.at} of {len(self.data)}")
        return [self.value(depth + 1) for _ in range(count)]
