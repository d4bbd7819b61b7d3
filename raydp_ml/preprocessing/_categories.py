"""What the encoders of categories share: the categories, and where a value is among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    Column,
    ColumnRoles,
    quoted,
)
from raydp_ml.expressions import Numbers, lookup, number, text
from raydp_ml.statistics import category_counts, check_finite, is_missing, no_rows
from raydp_ml.transformer import NUMERIC, SparkTransformer

# What pandas makes of Spark's columns, and so scikit-learn of the collected data.
_DTYPES = {
    "tinyint": np.int8,
    "smallint": np.int16,
    "int": np.int32,
    "bigint": np.int64,
    "float": np.float32,
}
_EXACT = 2**53


class CategoryEncoder(SparkTransformer):
    """Mixin of encoders of columns of numbers, booleans and strings."""

    _kinds = NUMERIC | {"string"}
    categories_: list[np.ndarray]

    def _fit_categories(self, df: Any, roles: ColumnRoles) -> None:
        """Let scikit-learn's ``fit`` see each distinct value once, and count them for it."""
        found = category_counts(df, roles.features)
        frame = distinct_frame(roles.features, found)
        rows = sum(item[1] for item in found[0])
        self._counted = (rows, [{_key(value): n for value, n in items} for items in found])
        try:
            super().fit(frame)
        finally:
            del self._counted

    def _fit_infrequent_category_mapping(
        self, n_samples: int, category_counts: list[Any], missing_indices: dict[int, int]
    ) -> None:
        counted = self.__dict__.get("_counted")
        if counted is not None:
            n_samples = counted[0]
            category_counts = [
                np.array([counts.get(_key(value), 0) for value in categories])
                for counts, categories in zip(counted[1], self.categories_, strict=True)
            ]
        super()._fit_infrequent_category_mapping(  # type: ignore[misc]
            n_samples, category_counts, missing_indices
        )

    def _checked_features(self, df: Any, names: Sequence[str]) -> list[Column]:
        picked = super()._checked_features(df, names)
        for column, categories in zip(picked, self.categories_, strict=True):
            if len(_held(categories)) and (column.kind == "string") != _is_text(categories):
                wanted = "strings" if _is_text(categories) else "numbers"
                raise SchemaError(
                    f"The column {column.name!r} of type {column.type_name} held {wanted} when "
                    f"{type(self).__name__} was fitted. Cast it, for example with "
                    "df.withColumn(...)."
                )
        return picked

    def _inputs(self, columns: Sequence[Column]) -> list[str]:
        return [
            category_sql(column.name, categories)
            for column, categories in zip(columns, self.categories_, strict=True)
        ]

    def _find(self, x: str, index: int, results: Numbers, unknown: str, missing: str) -> str:
        """Give the SQL of the number that belongs to the category of `x`.

        Parameters
        ----------
        x : str
        index : int
            Of the feature.
        results : sequence of float
            For each of its categories.
        unknown, missing : str
            SQL for what is no category; `missing` where no category is the missing value.
        """
        categories = self.categories_[index]
        pairs = list(zip(categories, results, strict=True))
        held = [(value, made) for value, made in pairs if not is_missing(_key(value))]
        for value, made in pairs:
            if is_missing(_key(value)):
                missing = number(made)
        keys = [_key(value) for value, _ in held]
        if not _is_text(categories) and not is_wide(categories):
            keys = [float(key) for key in keys]
        found = lookup(x, keys, [made for _, made in held], unknown)
        return f"if({x} is null, {missing}, {found})"

    def _fail(self, x: str, index: int) -> str:
        return (
            f"cast(raise_error(concat('Found unknown categories [', "
            f"coalesce(cast({x} as string), 'null'), {text(f'] in column {index} ')}, "
            "'during transform')) as double)"
        )


def category_sql(name: str, categories: np.ndarray) -> str:
    """Read a column as the kind of its categories, null where missing."""
    if _is_text(categories):
        # By bytes, whatever the column's collation.
        return f"cast({quoted(name)} as string)"
    if not _held(categories):
        # Whatever the column's type turns out to be, its values are unknown and NaN is missing.
        return f"nullif(cast({quoted(name)} as string), 'NaN')"
    if is_wide(categories):
        return f"cast({quoted(name)} as bigint)"
    return f"nanvl(cast({quoted(name)} as double), null)"


def distinct_frame(columns: Sequence[Column], found: list[list[Any]]) -> pd.DataFrame:
    """Make a frame of distinct values, with the types that pandas gives collected data.

    Raises
    ------
    SchemaError
        If there are none, or numbers are infinite.
    """
    if not found[0]:
        raise no_rows()
    length = max(len(items) for items in found)
    made = {}
    infinite = []
    for column, items in zip(columns, found, strict=True):
        values = [item[0] for item in items]
        infinite.append(
            sum(n for v, n, *_ in items if isinstance(v, float) and abs(v) == float("inf"))
        )
        # A value more often changes nothing, and all columns need one length.
        made[column.name] = typed(column, values + values[:1] * (length - len(values)))
    check_finite([column.name for column in columns], np.array(infinite))
    return pd.DataFrame(made)


def typed(column: Column, values: list[Any]) -> np.ndarray:
    """Give values the type that pandas gives a collected column."""
    missing = None in values
    if column.kind == "string":
        return np.array(values, dtype=object)
    if column.kind == "boolean":
        as_bool = [None if value is None else bool(value) for value in values]
        return np.array(as_bool, dtype=object if missing else bool)
    dtype = np.dtype(_DTYPES.get(column.type_name, np.float64))
    if missing and dtype.kind == "i":
        dtype = np.dtype(np.float64)
    return np.array([np.nan if value is None else value for value in values], dtype=dtype)


def _key(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if is_missing(value) else value


def _held(categories: np.ndarray) -> list[Any]:
    return [value for value in map(_key, categories) if value is not None]


def is_wide(categories: np.ndarray) -> bool:
    """Whether doubles would not tell the categories, which are integers, apart."""
    return any(isinstance(value, int) and abs(value) > _EXACT for value in _held(categories))


def _is_text(categories: np.ndarray) -> bool:
    return any(isinstance(value, str) for value in categories)
