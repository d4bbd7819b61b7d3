"""Labels as Spark gives them back -> arrays that scikit-learn compares exactly."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import Column
from raydp_ml.spark_jobs.expressions import literal

__all__ = ["among", "label_arrays", "label_key", "place"]

_EXACT = 2**53
_INT64 = 2**63


def label_key(name: str, column: Column) -> str:
    """Give the SQL to group a label by.

    Numbers that are not whole are no classes: all of them are grouped as one, since scikit-learn
    refuses one as well as millions.
    """
    if column.type_name in {"float", "double"}:
        return f"if({name} = rint({name}), cast({name} as double), 0.5D)"
    return name


def label_arrays(*columns: Sequence[Any]) -> list[np.ndarray]:
    """Make arrays of labels and predicted classes, of types between which nothing is rounded.

    Whole decimals become integers, other decimals their text.

    Raises
    ------
    SchemaError
        Where one column holds strings and another does not.
    """
    kinds = [{type(value) for value in column} for column in columns]
    if any(str in kind for kind in kinds):
        if any(kind != {str} for kind in kinds):
            raise SchemaError(
                "The labels and the predicted classes are not of the same type: one column holds "
                "strings, and the other does not. Cast one of them."
            )
        return [np.array(column, dtype=object) for column in columns]
    every: list[Any] = [value for column in columns for value in column]
    exact = [value for value in every if not isinstance(value, float)]
    if any(value != int(value) or abs(value) >= _INT64 for value in exact):
        texts = [[f"{Decimal(value).normalize():f}" for value in column] for column in columns]
        return [np.array(column, dtype=object) for column in texts]
    wide = any(abs(value) >= _EXACT for value in exact)
    return [np.array([_plain(value, wide) for value in column]) for column in columns]


def _plain(value: Any, wide: bool) -> bool | int | float:
    if isinstance(value, Decimal) or (wide and isinstance(value, float) and value == int(value)):
        return int(value)
    return value


def among(values: Sequence[Any]) -> str:
    """Give the SQL of whether the label ``y`` is one of `values`, as Spark gave them."""
    return " or ".join(f"y = {literal(value)}" for value in values) or "false"


def place(values: Sequence[Any], places: Sequence[int]) -> str:
    """Give the SQL of the place of the label ``y``, by the values that Spark gave."""
    cases = (f"when y = {literal(v)} then {k}" for v, k in zip(values, places, strict=True))
    return f"case {' '.join(cases)} end"
