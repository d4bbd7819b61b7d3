"""Values that JSON lacks, such as arrays, decimals and NaN, in JSON; nothing in them is code."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from raydp_ml.saving.json_estimators import Json, decode_object, encode_object, plain_dtype

__all__ = ["decode", "encode"]

_LONGEST = 1 << 31
_MOST_BYTES = 1 << 24
_DIGITS = 76
"""Of the longest decimals that Arrow has; Spark's have 38."""


def encode(value: object, what: str) -> Json:
    """Turn a value into JSON; what JSON has not becomes an object with one key that says so.

    Parameters
    ----------
    value : object
    what : str
        What it is, for the error.

    Raises
    ------
    ValueError
        If it cannot be written.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.ndarray):
        return _encode_array(value, what)
    if isinstance(value, np.generic):
        return {"$scalar": _encode_array(np.asarray(value), what)}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, list):
        return [encode(item, what) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, what) for item in value]}
    if isinstance(value, dict):
        return {"$dict": [[encode(k, what), encode(v, what)] for k, v in value.items()]}
    made = encode_object(value, what, encode)
    if made is not None:
        return made
    raise ValueError(
        f"Cannot save {what}: a {type(value).__name__} has no open format that loads without "
        "running code. Set it to a plain value first (for a random_state, an int), or pickle the "
        "estimator."
    )


def _encode_array(array: np.ndarray, what: str) -> dict[str, Json]:
    if array.dtype.kind not in "biufUO":
        raise ValueError(f"Cannot save {what}: an array of {array.dtype} has no open format.")
    values = [encode(item, what) for item in array.ravel().tolist()]
    return {"$array": values, "dtype": str(array.dtype), "shape": list(array.shape)}


def decode(value: object) -> Any:
    """Turn what `encode` wrote back into the value."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return _decode_array(value)
    if "$scalar" in value:
        return decode(value["$scalar"])[()]
    if "$float" in value:
        return float(value["$float"])
    if "$decimal" in value:
        return _decode_decimal(value["$decimal"])
    if "$tuple" in value:
        return tuple(decode(item) for item in value["$tuple"])
    if "$dict" in value:
        return {decode(key): decode(item) for key, item in value["$dict"]}
    return decode_object(value, decode)


def _decode_array(value: dict[str, Any]) -> np.ndarray:
    items, dtype = [decode(item) for item in value["$array"]], plain_dtype(value["dtype"])
    shape = value["shape"]
    if not isinstance(shape, list) or not all(
        type(size) is int and 0 <= size <= _LONGEST for size in shape
    ):
        raise ValueError(f"{str(shape)[:100]} is no shape of an array")
    if math.prod(shape) != len(items):
        raise ValueError(f"an array of shape {shape} and {len(items)} values")
    if dtype.kind == "O":
        # Filled one by one, since NumPy would make one array of arrays of equal length.
        made = np.empty(len(items), dtype=object)
        for index, item in enumerate(items):
            made[index] = item
        return made.reshape(shape)
    if dtype.kind == "U":
        _check_strings(items, dtype)
    return np.array(items, dtype=dtype).reshape(shape)


def _check_strings(items: list[Any], dtype: np.dtype[Any]) -> None:
    """Refuse strings that would take far more room than in the file: each takes the longest's."""
    letters = sum(map(len, items))
    if not all(isinstance(item, str) for item in items):
        raise ValueError("an array of strings that are none")
    if dtype.itemsize * len(items) > _MOST_BYTES + 16 * letters:
        raise ValueError(f"{len(items)} strings of {letters} characters as {dtype}")


def _decode_decimal(text: str) -> Decimal:
    made = Decimal(text)
    # (Written out, as an integer or in SQL, a large exponent takes all memory.)
    if made.is_finite() and (
        len(made.as_tuple().digits) > _DIGITS or abs(made.adjusted()) > _DIGITS
    ):
        raise ValueError(f"a decimal of more than {_DIGITS} digits")
    return made
