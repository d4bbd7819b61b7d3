"""`SimpleImputer`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn import impute

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column, ColumnRoles
from raydp_ml.impute._missing import (
    MissingTests,
    as_number,
    column_sql,
    gap,
    is_null_like,
    present,
)
from raydp_ml.preprocessing._keys import typed
from raydp_ml.spark_jobs.expressions import literal
from raydp_ml.spark_jobs.quantiles import quantiles
from raydp_ml.spark_jobs.summaries import is_missing, most_frequent
from raydp_ml.transformers.base import InvertibleTransformer, SparkTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.spark_jobs.summaries import Cell


class SimpleImputer(InvertibleTransformer, MissingTests, impute.SimpleImputer):
    """Replace missing values by a statistic of each feature.

    Parameters, attributes and results are scikit-learn's; see `sklearn.impute.SimpleImputer`.

    Notes
    -----
    In Spark, null and NaN are missing unless ``missing_values`` names a value. Medians are exact:
    one job counts the values, and a few select from them. A function as the strategy is for data
    in memory only. A column of strings without any value, if it is kept with the strategy
    "most_frequent", is filled with "0", where scikit-learn's objects are the number 0.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.impute import SimpleImputer
    >>> SimpleImputer().fit_transform([[1.0], [np.nan], [3.0]])
    array([[1.],
           [2.],
           [3.]])
    """

    @property
    def _kinds(self) -> frozenset[str]:  # type: ignore[override]
        return NUMERIC | {"string"} if self.strategy in {"most_frequent", "constant"} else NUMERIC

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        if callable(self.strategy):
            raise ValueError(
                "A function as the strategy is for data in memory. For a Spark DataFrame choose "
                "'mean', 'median', 'most_frequent' or 'constant'."
            )
        columns = roles.features
        self._check_fill_value(columns)
        values, gaps = self._statistics(df, columns)
        made = {
            column.name: _stand_in(column, value, holes, self.missing_values)
            for column, value, holes in zip(columns, values, gaps, strict=True)
        }
        super(SparkTransformer, self).fit(pd.DataFrame(made))
        if self.strategy in {"mean", "median"}:
            # Not by the two values that stand in: a mean may be the value that means missing.
            held = [index for index, value in enumerate(values) if value is not None]
            self.statistics_[held] = [values[index] for index in held]

    def _check_fill_value(self, columns: Sequence[Column]) -> None:
        if self.strategy != "constant":
            return
        strings = [column.name for column in columns if column.kind == "string"]
        others = [column.name for column in columns if column.kind != "string"]
        apart = "Impute the two kinds apart, with a raydp_ml.compose.ColumnTransformer."
        if self.fill_value is None:
            if strings and others:
                raise SchemaError(
                    "Without a fill_value, scikit-learn fills columns of strings beside columns of "
                    f"numbers with 'missing_value', which does not fit the columns {others}. "
                    + apart
                )
            return
        is_text = isinstance(self.fill_value, str)
        unfit = others if is_text else strings
        if unfit:
            raise SchemaError(
                f"fill_value={self.fill_value!r} does not fit the columns {unfit}, which hold "
                f"{'numbers' if is_text else 'strings'}. {apart}"
            )

    def _statistics(
        self, df: DataFrame, columns: Sequence[Column]
    ) -> tuple[list[Cell], list[bool]]:
        """Return the statistic of each column (None without values), and whether any is missing.

        Of the strategy "constant", a value that is not missing stands for the statistic.
        """
        if self.strategy == "most_frequent":
            known = is_null_like(self.missing_values)
            found = most_frequent(df, columns, self._tests(columns), allow_null=known)
            return [value for value, _ in found], [holes for _, holes in found]
        table = self._held(df, columns)
        gaps = list(table["count"] < table["rows"])
        if self.strategy == "constant":
            held = zip(columns, table["count"], strict=True)
            return [present(c, self.missing_values) if n else None for c, n in held], gaps
        if self.strategy == "mean":
            return [None if np.isnan(value) else value for value in table["mean"]], gaps
        names = [column.name for column in columns]
        cells = None
        if not is_null_like(self.missing_values):
            pairs = zip(columns, self._tests(columns), strict=True)
            cells = [f"if({test}, null, {column_sql(c)})" for c, test in pairs]
        middle = [np.array([0.5])] * len(names)
        medians = quantiles(df, names, table["count"], middle, values=cells)
        return [None if np.isnan(value[0]) else value[0] for value in medians], gaps

    @property
    def _computes(self) -> bool:  # type: ignore[override]
        # What has to equal a number of no exact single precision is compared in that precision.
        value = self.missing_values
        return (
            not isinstance(value, float) or is_missing(value) or value == float(np.float32(value))
        )

    def _inputs(self, columns: Sequence[Column]) -> list[Column]:
        for column, value in zip(columns, self.statistics_, strict=True):
            filled = isinstance(value, str)
            # An empty column of strings that is kept has the statistic 0.
            known = filled or not (is_missing(value) or self._fit_dtype.kind == "O")
            if known and filled != (column.kind == "string"):
                raise SchemaError(
                    f"The column {column.name!r} of type {column.type_name} held "
                    f"{'strings' if filled else 'numbers'} when {type(self).__name__} was fitted. "
                    "Cast it, or fit again."
                )
        return list(columns)

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        tests = self._tests(inputs)
        made: list[list[str]] = []
        skipped = []
        for column, test, value in zip(inputs, tests, self.statistics_, strict=True):
            if is_missing(value) and not self.keep_empty_features:
                skipped.append(column.name)
                made.append([])
                continue
            x = column_sql(column)
            if column.kind == "string":
                made.append([f"if({test}, {literal(str(value))}, {x})"])
            elif is_null_like(self.missing_values):
                # Never null, which spares the checks for it in all that is computed from it.
                made.append([f"coalesce(nanvl({x}, null), {literal(float(value))})"])
            else:
                made.append([f"if({test}, {literal(float(value))}, {x})"])
        if skipped:
            warnings.warn(
                f"Skipping features without any observed values: {skipped}. At least one "
                f"non-missing value is needed for imputation with strategy={self.strategy!r}.",
                stacklevel=2,
            )
        if self.add_indicator:
            marks = [f"if({tests[i]}, 1.0D, 0.0D)" for i in self.indicator_.features_]
            made[-1] = made[-1] + marks
        return made

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        if not self.add_indicator:
            raise ValueError(
                "'inverse_transform' works only when 'SimpleImputer' is instantiated with "
                f"'add_indicator=True'. Got 'add_indicator={self.add_indicator}' instead."
            )
        count = len(inputs) - len(self.indicator_.features_)
        kept = iter(inputs[:count])
        marks = dict(zip(self.indicator_.features_.tolist(), inputs[count:], strict=True))
        known = is_null_like(self.missing_values)
        absent = literal(None if known else as_number(self.missing_values))
        made = []
        for index, value in enumerate(self.statistics_):
            if is_missing(value) and not self.keep_empty_features:
                made.append(absent)
            else:
                x = next(kept)
                made.append(f"if({marks[index]} = 1, {absent}, {x})" if index in marks else x)
        return [made, *([] for _ in inputs[1:])]


def _stand_in(column: Column, value: object, holes: bool, missing_values: object) -> np.ndarray:
    """Make two values that have the statistic, and are missing where the column's are."""
    none = gap(column, missing_values)
    first = none if value is None else value
    second = none if holes or value is None else value
    if column.kind == "string":
        return np.array([first, second], dtype=object)
    pair = [None if is_missing(item) else item for item in (first, second)]
    if isinstance(value, float) and column.type_name not in {"float", "double"}:
        return np.array([np.nan if item is None else item for item in pair])
    made = typed(column, pair)
    return made.astype(float) if made.dtype == object or made.dtype == bool else made
