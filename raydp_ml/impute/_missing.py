"""What a missing value is: null and NaN, or the value that is given."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raydp_ml.exchange.columns import Column, quoted
from raydp_ml.spark_jobs.expressions import comparable, double, literal
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.summaries import check_held, is_missing
from raydp_ml.transformers.base import SparkTransformer
from raydp_ml.transformers.precision import common_dtype

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data

__all__ = ["MissingTests", "as_number", "column_sql", "gap", "is_null_like", "present"]

_INTEGERS = frozenset({"tinyint", "smallint", "int", "bigint"})


class MissingTests(SparkTransformer):
    """Mixin of transformers that ask which values are missing."""

    missing_values: Any

    def _inputs(self, columns: Sequence[Column]) -> list[Column]:
        return list(columns)

    def _allows_missing(self) -> bool:
        return is_null_like(self.missing_values)

    def _as_computed(self, X: Data) -> Any:
        X = super()._as_computed(X)
        known = self._fitted_on_spark and is_null_like(self.missing_values)
        return _with_one_gap(X, None if self.missing_values is None else np.nan) if known else X

    def _tests(self, columns: Sequence[Column]) -> list[str]:
        """Give the SQL of whether a value is missing, for each column."""
        value = self.missing_values
        if isinstance(value, float) and not is_missing(value):
            value = float(common_dtype(columns)(value))
        return [_missing_sql(column, value) for column in columns]

    def _held(self, df: DataFrame, columns: Sequence[Column]) -> dict[str, np.ndarray]:
        """Compute the moments of the values that are not missing; strings count as zeros.

        Raises
        ------
        SchemaError
            For infinite values, no rows, and null or NaN where another value is the missing one.
        """
        names = [column.name for column in columns]
        values = ["0.0D" if c.kind == "string" else double(c.name) for c in columns]
        tests = self._tests(columns)
        if is_null_like(self.missing_values):
            # Null and NaN of numbers are left out anyway; each `if` would be compiled.
            strings = zip(columns, tests, values, strict=True)
            cells = [f"if({t}, null, {x})" if c.kind == "string" else x for c, t, x in strings]
            return moments(df, names, values=cells)
        cells = [f"if({test}, null, {x})" for test, x in zip(tests, values, strict=True)]
        pairs = zip(columns, values, strict=True)
        whole = [f"if({quoted(column.name)} is null, null, {x})" for column, x in pairs]
        found = moments(df, [*names, *names], values=[*whole, *cells])
        count = len(names)
        check_held(names, (found["rows"] - found["count"])[:count])
        return {kind: column[count:] for kind, column in found.items()}


def is_null_like(missing_values: object) -> bool:
    """Whether the missing values are null and NaN."""
    return missing_values is pd.NA or is_missing(missing_values)


def _with_one_gap(X: Data, absent: Any) -> Any:
    """Write None, NaN and NA among objects in the one way that scikit-learn will look for.

    They are one null in Spark, and pandas gets None for it among strings and decimals.
    """
    if isinstance(X, pd.DataFrame):
        X = X.copy(deep=False)
        for place, kind in enumerate(X.dtypes):
            if kind.kind == "O":
                values = X.iloc[:, place].to_numpy(dtype=object)
                X.isetitem(place, np.where(pd.isna(values), absent, values))
        return X
    values = X if hasattr(X, "dtype") else np.asarray(X)
    if isinstance(values, np.ndarray) and values.dtype == object:
        return np.where(pd.isna(values), absent, values)
    return X


def column_sql(column: Column) -> str:
    """Read a column of strings as keys, and any other as doubles."""
    return comparable(column) if column.kind == "string" else double(column.name)


def _missing_sql(column: Column, missing_values: object) -> str:
    x = column_sql(column)
    if is_null_like(missing_values):
        return f"{x} is null" if column.kind == "string" else f"({x} is null or isnan({x}))"
    if isinstance(missing_values, str) != (column.kind == "string"):
        return "false"
    missing_values = as_number(missing_values)
    if column.type_name in _INTEGERS and isinstance(missing_values, (int, np.integer)):
        x = quoted(column.name)
    return f"coalesce({x} = {literal(missing_values)}, false)"


def as_number(missing_values: object) -> object:
    """Give True as 1 and False as 0, which scikit-learn takes them for."""
    return int(missing_values) if isinstance(missing_values, bool) else missing_values


def gap(column: Column, missing_values: object) -> object:
    """Give the missing value as scikit-learn would meet it in such a column."""
    if not is_null_like(missing_values):
        return as_number(missing_values)
    return None if column.kind == "string" and missing_values is None else np.nan


def present(column: Column, missing_values: object) -> str | float:
    """Give some value of a column that is not the missing one."""
    if column.kind == "string":
        return "held" if isinstance(missing_values, str) and missing_values == "" else ""
    return 2 if isinstance(missing_values, Real) and missing_values == 1 else 1
