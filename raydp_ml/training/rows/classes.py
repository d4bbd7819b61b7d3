"""Classes as values that tell them apart: decimals and wide integers are not made doubles."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError

_INT64 = np.iinfo(np.int64)


def exact_values(values: np.ndarray) -> np.ndarray:
    """Return decimals as int64 where all of them are whole and fit, else as they are.

    Parameters
    ----------
    values : ndarray of shape (n,)
        What holds no `decimal.Decimal` is returned as it is.
    """
    if not holds_decimals(values):
        return values
    whole = all(
        isinstance(value, (int, Decimal))
        and value == int(value)
        and _INT64.min <= value <= _INT64.max
        for value in values
    )
    return np.array([int(value) for value in values], dtype=np.int64) if whole else values


def holds_decimals(values: np.ndarray) -> bool:
    """Say whether there are decimals among values, of which scikit-learn knows nothing."""
    return values.dtype == object and any(isinstance(value, Decimal) for value in values)


def sorted_values(array: pa.Array) -> np.ndarray:
    """Return distinct labels as ``classes_`` holds them, sorted.

    Parameters
    ----------
    array : pyarrow.Array
        Without nulls.

    Returns
    -------
    ndarray of shape (n_classes,)
        Decimals are int64 where they are whole and fit, else objects of `decimal.Decimal`.
    """
    values = array.to_numpy(zero_copy_only=False)
    if pat.is_decimal(array.type):
        return np.sort(exact_values(values))
    # Strings from Arrow are objects; scikit-learn's classes_ of strings are of a string type.
    return np.unique(values.astype(str) if values.dtype == object else values)


Label = str | bool | int | float | Decimal
"""A class, as Python has it."""


def values_of(classes: np.ndarray, data_type: pa.DataType) -> pa.Array:
    """Return the classes as an Arrow array of a type, with null for what it cannot hold exactly."""
    return pa.array([_held(value, data_type) for value in classes.tolist()], data_type)


def _held(value: Label, data_type: pa.DataType) -> Label | None:
    is_text = pat.is_string(data_type) or pat.is_large_string(data_type)
    if isinstance(value, str) or is_text:
        return value if isinstance(value, str) and is_text else None
    if pat.is_decimal(data_type):
        made: Label = Decimal(value)
    elif pat.is_floating(data_type):
        made = float(value)
    elif pat.is_boolean(data_type):
        made = bool(value)
    else:
        made = int(value)
    if made != value:
        return None
    try:
        pa.scalar(made, data_type)
    except (pa.ArrowInvalid, OverflowError):
        return None
    return made


def positions(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the position of each value among the classes, -1 for one that is none of them.

    Compared as Python does, exactly: NumPy would make doubles of int64 beside uint64.
    """
    places = {value: place for place, value in enumerate(classes.tolist())}
    distinct, inverse = np.unique(values, return_inverse=True)
    found = np.array([places.get(value, -1) for value in distinct.tolist()], dtype=np.int64)
    return found[inverse.reshape(-1)]


def encode_labels(
    y: np.ndarray, labels: np.ndarray | None, what: str, of: str = "the training data"
) -> np.ndarray:
    """Return the positions of labels among known ones, by default the training data's.

    Raises
    ------
    SchemaError
        If one is not among them.
    """
    assert labels is not None
    codes = positions(y, labels)
    if len(unknown := np.unique(y[codes < 0])):
        raise SchemaError(
            f"The {what} holds labels that {of} has not: {unknown[:10].tolist()} (it "
            f"has {labels[:10].tolist()}). Drop such rows, or train on some of them."
        )
    return codes
