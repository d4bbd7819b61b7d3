"""Categories as keys: exact values, compared alike in Spark and in memory.

Both sides compare a column of floats as doubles, and any other by the exact values of its type: a
double would make one of integers, or decimals, that differ beyond its 53 bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import Column, decimal_digits, quoted
from raydp_ml.spark_jobs.expressions import comparable
from raydp_ml.spark_jobs.summaries import is_missing

if TYPE_CHECKING:
    from raydp_ml.spark_jobs.summaries import Cell

__all__ = [
    "Compared",
    "compared",
    "exact",
    "exact_value",
    "held",
    "is_text",
    "key",
    "names_none",
    "other_kind",
    "recognized",
    "typed",
]

# What pandas makes of Spark's columns, and so scikit-learn of the collected data.
_DTYPES = {
    "tinyint": np.int8,
    "smallint": np.int16,
    "int": np.int32,
    "bigint": np.int64,
    "float": np.float32,
}
_EXACT = 2**53
_BIGINT = range(-(2**63), 2**63)
# More digits than any of Spark's decimals has.
_DIGITS = Context(prec=100)


@dataclass(frozen=True)
class Compared:
    """A column of a Spark DataFrame, read so that it can be compared with categories.

    Attributes
    ----------
    sql : str
        Its value, null where it is missing.
    keys : list
        What each category is in that reading; None for the missing value, and for what no value
        of the column can equal.
    """

    sql: str
    keys: Sequence[Cell]


def compared(column: Column, categories: np.ndarray) -> Compared:
    """Read a column so that it can be compared with categories exactly."""
    values = [key(value) for value in categories]
    present = held(categories)
    name = quoted(column.name)
    as_double = f"nanvl(cast({name} as double), null)"
    floating = column.type_name in {"float", "double"}
    if column.kind == "string" or not present:
        return Compared(as_double if floating else comparable(column), values)
    if column.kind == "decimal" and not any(isinstance(value, float) for value in present):
        precision, scale = decimal_digits(column.type_name)
        return Compared(name, [_decimal(value, precision, scale) for value in values])
    if floating or column.kind in {"boolean", "decimal"}:
        return Compared(as_double, _doubles(values))
    return Compared(f"cast({name} as bigint)", [_integer(value) for value in values])


def _decimal(value: Any, precision: int, scale: int) -> Decimal | None:
    if value is None:
        return None
    made = Decimal(value).quantize(Decimal(1).scaleb(-scale), context=_DIGITS)
    return made if made == value and abs(made) < Decimal(10) ** (precision - scale) else None


def _doubles(values: Sequence[Any]) -> list[float | None]:
    made = [None if value is None else float(value) for value in values]
    if several := [value for value, n in Counter(made).items() if value is not None and n > 1]:
        raise _several(several[0])
    return made


def _several(value: float) -> SchemaError:
    return SchemaError(
        f"The float {value!r} stands for several of the categories, which are integers or decimals "
        "of more digits than a float holds. Pass them in their own type: in pandas, integers "
        "beside missing values as objects (dtype=object), of which it would make floats."
    )


def _integer(value: Any) -> int | None:
    if value is None or not abs(value) < 2**64 or value != int(value):
        return None
    return int(value) if int(value) in _BIGINT else None


def recognized(values: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Make values in memory find their categories as those of a Spark DataFrame do.

    None is missing, as NaN is, to categories that hold NaN and not None; numbers find decimals,
    and decimals numbers.
    """
    if not len(categories):
        return values
    if categories.dtype.kind in "iu":
        _refuse_shared(values, categories)
    if values.dtype.kind in "biufUS" and categories.dtype.kind != "O":
        return values
    if categories.dtype.kind != "O":
        decimals = any(isinstance(value, Decimal) for value in values)
        return np.array([_plain(value) for value in values]) if decimals else values
    first = categories[0]
    if values.dtype.kind in "biuf" and not isinstance(first, str):
        values = values.astype(object)
    if values.dtype.kind != "O":
        return values
    if is_missing(categories[-1]) and None not in categories[-2:].tolist():
        gone = pd.isna(values)
        if gone.any():
            values = np.where(gone, np.nan, values)
    if isinstance(first, (int, Decimal)):
        present = held(categories)
        as_floats = {float(value): value for value in present}
        if len(as_floats) < len(present):
            _refuse_shared(values, present)
        found = (as_floats.get(v, v) if isinstance(v, float) else v for v in values)
        values = np.fromiter(found, dtype=object, count=len(values))
    return values


def _refuse_shared(values: np.ndarray, categories: Sequence[Any] | np.ndarray) -> None:
    """Raise `SchemaError` for a float among the values that several categories round to."""
    if values.dtype.kind not in "fO":
        return
    rounded, counts = np.unique(np.asarray(categories, dtype=float), return_counts=True)
    if counts.max() == 1:
        return
    floats = [value for value in values.tolist() if isinstance(value, float)]
    several = np.intersect1d(floats, rounded[counts > 1])
    if several.size:
        raise _several(float(several[0]))


def _plain(value: object) -> object:
    """Turn a Decimal into an integer where it is one, else into a float."""
    if not isinstance(value, Decimal):
        return np.nan if value is None else value
    return int(value) if value == value.to_integral_value() else float(value)


def typed(column: Column, values: list[Any]) -> np.ndarray:
    """Give values the type that pandas gives a collected column, with NaN where they are missing.

    Integers beyond 2**53 beside missing ones stay integers, which pandas would make doubles.
    """
    missing = None in values
    filled = [np.nan if value is None else value for value in values]
    if column.kind in {"string", "decimal"}:
        return np.array(filled, dtype=object)
    if column.kind == "boolean":
        as_bool = [np.nan if value is None else bool(value) for value in values]
        return np.array(as_bool, dtype=object if missing else bool)
    dtype = np.dtype(_DTYPES.get(column.type_name, np.float64))
    if missing and dtype.kind == "i":
        wide = any(value is not None and abs(value) > _EXACT for value in values)
        dtype = np.dtype(object if wide else np.float64)
    return np.array(filled, dtype=dtype)


def exact(column: Column, given: Any) -> Any:
    """Read categories that a user gave for a column of a Spark DataFrame as its values are read."""
    if isinstance(given, str) or not any(
        value is None or column.kind == "decimal" for value in given
    ):
        return given
    if column.kind == "string" and names_none(given):
        return given
    return [exact_value(column, value) for value in given]


def names_none(given: Any) -> bool:
    """Whether categories hold None and no NaN: None is the missing value to them."""
    missing = [value for value in given if is_missing(value)]
    return bool(missing) and all(value is None for value in missing)


def exact_value(column: Column, value: object) -> object:
    """Read one such category, or one to drop."""
    if is_missing(value):
        return np.nan
    if column.kind != "decimal" or not isinstance(value, (int, float, np.number)):
        return value
    # The digits that a float is written with are those that its user means.
    return Decimal(str(value)) if isinstance(value, (float, np.floating)) else Decimal(int(value))


def key(value: object) -> Any:
    """Turn a category into a Python value, None where it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if is_missing(value) else value


def held(categories: np.ndarray) -> list[Any]:
    """Return the categories that are no missing values."""
    return [value for value in map(key, categories) if value is not None]


def is_text(categories: np.ndarray) -> bool:
    """Whether the categories are strings."""
    return any(isinstance(value, str) for value in categories)


def other_kind(column: Column, categories: np.ndarray) -> str | None:
    """Say what the categories are, strings or numbers, where the column holds the other."""
    if not held(categories) or (column.kind == "string") == is_text(categories):
        return None
    return "strings" if is_text(categories) else "numbers"
