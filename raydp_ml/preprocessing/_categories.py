"""What the encoders of categories share: the categories, and where a value is among them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column, ColumnRoles
from raydp_ml.preprocessing._keys import (
    Compared,
    compared,
    exact,
    exact_value,
    key,
    names_none,
    other_kind,
    recognized,
    typed,
)
from raydp_ml.preprocessing._names import DistinctNames
from raydp_ml.spark_jobs.expressions import Numbers, lookup, number, text
from raydp_ml.spark_jobs.summaries import category_counts, check_finite, no_rows
from raydp_ml.transformers.base import SparkTransformer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data
    from raydp_ml.spark_jobs.summaries import Cell


class CategoryEncoder(DistinctNames, SparkTransformer):
    """Mixin of encoders of columns of numbers, booleans and strings."""

    _kinds = NUMERIC | {"string"}
    _computes = False
    categories: str | list[ArrayLike]
    categories_: list[np.ndarray]

    def _compared(self, frame: pd.DataFrame) -> Collection[str]:
        return frame.columns

    def _fit(self, X: Data, *args: Any, **kwargs: Any) -> Any:
        """Run scikit-learn's own, for which `_check_X` must leave the values as they are."""
        self.__dict__.pop("categories_", None)
        self.__dict__.pop("_distinct_names", None)
        return super()._fit(X, *args, **kwargs)  # type: ignore[misc]

    def _check_X(self, X: Data, ensure_all_finite: bool | str = True) -> Any:  # noqa: N802
        columns, rows, count = super()._check_X(X, ensure_all_finite)  # type: ignore[misc]
        categories = getattr(self, "categories_", ())
        if len(categories) == len(columns):
            columns = [
                np.where(pd.isna(values), None, values)
                if self._fitted_on_spark and names_none(known)
                else recognized(values, known)
                for values, known in zip(columns, categories, strict=True)
            ]
        return columns, rows, count

    def _fit_categories(self, df: DataFrame, roles: ColumnRoles) -> None:
        """Let scikit-learn's ``fit`` see each distinct value once, and count them for it."""
        self._check_given_count(roles.features)
        found = category_counts(df, roles.features)
        frame = distinct_frame(roles.features, found)
        rows = sum(item[1] for item in found[0])
        self._counted = (rows, [{key(value): n for value, n in items} for items in found])
        try:
            with self._given_as_read(roles.features):
                super().fit(self._with_none(frame))
            if "_unknown" in self.__dict__:
                self._unknown = self._with_unknown(self._counted[1])
        finally:
            del self._counted
        self._tell_names_apart(df)

    def _with_unknown(self, counted: list[dict[Cell, int]]) -> list[int]:
        return [
            index
            for index, (counts, categories) in enumerate(
                zip(counted, self.categories_, strict=True)
            )
            if not counts.keys() <= {key(value) for value in categories}
        ]

    def _check_given_count(self, columns: Sequence[Column]) -> None:
        # scikit-learn would look after Spark has read the rows.
        if not isinstance(self.categories, str) and len(self.categories) != len(columns):
            raise ValueError(
                "Shape mismatch: if categories is an array, it has to be of shape (n_features,)."
            )

    def _with_none(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Write missing strings as None where that is what the given categories say."""
        if isinstance(self.categories, str):
            return frame
        return frame.assign(
            **{
                name: frame[name].where(frame[name].notna(), None)
                for name, given in zip(frame.columns, self.categories, strict=True)
                if not isinstance(given, str) and names_none(given)
            }
        )

    @contextmanager
    def _given_as_read(self, columns: Sequence[Column]) -> Iterator[None]:
        """Let scikit-learn see what was given for decimals as decimals, and None as NaN.

        Of strings, categories may name None as they may in memory, in any place.
        """
        given = {
            name: getattr(self, name) for name in ("categories", "drop") if hasattr(self, name)
        }
        try:
            if not isinstance(self.categories, str):
                self.categories = [
                    exact(*pair) for pair in zip(columns, given["categories"], strict=True)
                ]
            drop = given.get("drop")
            if drop is not None and not isinstance(drop, str) and len(drop) == len(columns):
                auto = isinstance(self.categories, str)
                known = [()] * len(columns) if auto else self.categories
                self.drop = [
                    None if x is None and names_none(values) else exact_value(column, x)
                    for column, x, values in zip(columns, drop, known, strict=True)
                ]
            yield
        finally:
            for name, value in given.items():
                setattr(self, name, value)

    def _fit_infrequent_category_mapping(
        self, n_samples: int, category_counts: list[np.ndarray], missing_indices: dict[int, int]
    ) -> None:
        counted = self.__dict__.get("_counted")
        if counted is not None:
            n_samples = counted[0]
            category_counts = [
                np.array([counts.get(key(value), 0) for value in categories])
                for counts, categories in zip(counted[1], self.categories_, strict=True)
            ]
        super()._fit_infrequent_category_mapping(n_samples, category_counts, missing_indices)  # type: ignore[misc]

    def _checked_features(self, df: DataFrame, names: Sequence[str]) -> list[Column]:
        picked = super()._checked_features(df, names)
        for column, categories in zip(picked, self.categories_, strict=True):
            if wanted := other_kind(column, categories):
                raise SchemaError(
                    f"The column {column.name!r} of type {column.type_name} held {wanted} when "
                    f"{type(self).__name__} was fitted. Cast it, for example with "
                    "df.withColumn(...)."
                )
        return picked

    def _inputs(self, columns: Sequence[Column]) -> list[Compared]:
        return [compared(*pair) for pair in zip(columns, self.categories_, strict=True)]

    def _find(self, x: Compared, index: int, results: Numbers, unknown: str, missing: str) -> str:
        """Give the SQL of the number that belongs to the category of `x`.

        Parameters
        ----------
        x : Compared
        index : int
            Of the feature.
        results : sequence of float
            For each of its categories.
        unknown, missing : str
            SQL for what is no category; `missing` where no category is the missing value.
        """
        for value, made in zip(self.categories_[index], results, strict=True):
            if key(value) is None:
                missing = number(made)
        pairs = [(k, made) for k, made in zip(x.keys, results, strict=True) if k is not None]
        found = lookup(x.sql, [k for k, _ in pairs], [made for _, made in pairs], unknown)
        return f"if({x.sql} is null, {missing}, {found})"

    def _fail(self, x: Compared, index: int) -> str:
        return (
            f"cast(raise_error(concat('Found unknown categories [', "
            f"coalesce(cast({x.sql} as string), 'nan'), {text(f'] in column {index} ')}, "
            "'during transform')) as double)"
        )


def distinct_frame(
    columns: Sequence[Column], found: Sequence[Sequence[tuple[Any, ...]]]
) -> pd.DataFrame:
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
