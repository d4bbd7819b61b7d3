"""What a missing value is, in SQL: null, NaN, or the value that is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from raydp_ml.exchange.columns import Column
from raydp_ml.expressions import comparable, double, literal
from raydp_ml.statistics import is_missing
from raydp_ml.transformer import SparkTransformer

__all__ = ["MissingTests", "column_sql", "is_null_like", "missing_sql"]


class MissingTests(SparkTransformer):
    """Mixin of transformers whose SQL depends on the kind of each column."""

    def _inputs(self, columns: Sequence[Column]) -> list[Any]:
        return list(columns)


def is_null_like(missing_values: Any) -> bool:
    """Whether the missing values are null and NaN."""
    return missing_values is pd.NA or is_missing(missing_values)


def column_sql(column: Column) -> str:
    """Read a column of strings as keys, and any other as doubles."""
    return comparable(column) if column.kind == "string" else double(column.name)


def missing_sql(column: Column, missing_values: Any) -> str:
    """Give the SQL of whether a column's value is missing."""
    x = column_sql(column)
    if is_null_like(missing_values):
        return f"{x} is null" if column.kind == "string" else f"({x} is null or isnan({x}))"
    if isinstance(missing_values, str) != (column.kind == "string"):
        return "false"
    return f"coalesce({x} = {literal(missing_values)}, false)"


def gap(column: Column, missing_values: Any) -> Any:
    """Give the missing value as scikit-learn would meet it in such a column."""
    if not is_null_like(missing_values):
        return missing_values
    return None if column.kind == "string" and missing_values is None else np.nan
