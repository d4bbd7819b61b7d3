"""Marks: columns that say which rows of a Spark DataFrame are in which part of which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import from_spark_schema, quoted
from raydp_ml.exchange.sql_text import select, where
from raydp_ml.spark_jobs.row_order import END
from raydp_ml.spark_jobs.summaries import column_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FOLD = "__raydp_ml_fold"
"""The mark of splitters that give each row one fold."""

VALUE = "__raydp_ml_value"
"""The column that `with_values` adds."""

_KEY = "__raydp_ml_key"


@dataclass(frozen=True)
class Rows:
    """Those rows whose mark has a value, or any other.

    Attributes
    ----------
    mark : str
    value : int
    equal : bool, default=True
    """

    mark: str
    value: int
    equal: bool = True

    @property
    def condition(self) -> str:
        """SQL of whether a row is one of them."""
        return f"{quoted(self.mark)} {'=' if self.equal else '<>'} {self.value}"

    def of_frame(self, df: DataFrame) -> DataFrame:
        """Return these rows of a DataFrame, lazily."""
        return where(df, self.condition)

    def mask(self, marks: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return which of the rows with these marks they are, shape (n_rows,)."""
        same: np.ndarray = marks[self.mark] == self.value
        return same if self.equal else ~same


@dataclass(frozen=True)
class Marked:
    """A DataFrame with marks, and its splits.

    Attributes
    ----------
    frame : pyspark.sql.DataFrame
    marks : tuple of str
        The columns that were added.
    splits : tuple of (Rows, Rows)
        The rows to train on and to test on.
    rows : int
        How many the DataFrame has.
    classes : list or None
        The values of the label, where the splitter has looked at them.
    partition : bool
        Whether each row is tested on in exactly one split.
    """

    frame: DataFrame
    marks: tuple[str, ...]
    splits: tuple[tuple[Rows, Rows], ...]
    rows: int
    classes: list[Any] | None = None
    partition: bool = False


def without_validation(rows: DataFrame, name: str | None) -> DataFrame:
    """Leave out the rows that a column marks for validation; all stay where it is None."""
    return rows if name is None else where(rows, f"NOT coalesce({quoted(name)}, false)")


def in_folds(
    df: DataFrame, fold: str, n_splits: int, rows: int, classes: list[Any] | None = None
) -> Marked:
    """Mark each row with the fold in which it is tested; SQL of an int."""
    marked = select(df, "*", f"cast({fold} as int) AS {FOLD}")
    return replace(folds_of(marked, FOLD, range(n_splits), rows), classes=classes, partition=True)


def folds_of(df: DataFrame, mark: str, values: Sequence[int], rows: int) -> Marked:
    """Train on all other rows than those of a fold, for each value of the mark in turn."""
    splits = tuple((Rows(mark, value, equal=False), Rows(mark, value)) for value in values)
    return Marked(df, (mark,), splits, rows)


def in_parts(df: DataFrame, parts: Sequence[str], rows: int) -> Marked:
    """Mark each row, for each split, with 1 to train on it and 2 to test on it; SQL of ints."""
    marks = tuple(f"__raydp_ml_split_{index}" for index in range(len(parts)))
    texts = [f"cast({part} as tinyint) AS {mark}" for part, mark in zip(parts, marks, strict=True)]
    splits = tuple((Rows(mark, 1), Rows(mark, 2)) for mark in marks)
    return Marked(select(df, "*", *texts), marks, splits, rows)


def part_of(x: str, places: Sequence[int]) -> str:
    """Return SQL of how many of the sorted places a value has reached: 0 to their number."""
    reached = [f"if({x} >= {place}L, 1, 0)" for place in places if place < END]
    return " + ".join(reached) or "0"


_UNHASHABLE = {"array", "binary", "map", "variant"}
"""What Python gets of such columns is no key of a dictionary."""


def key_of(df: DataFrame, name: str) -> str:
    """Return SQL of a column by whose values rows are told apart, as Python gets them.

    A time on the clock, which is what Python gets of a timestamp, may have been twice.

    Raises
    ------
    SchemaError
        For a column of arrays and the like.
    """
    (column,) = (item for item in from_spark_schema(df.schema) if item.name == name)
    kind = df.schema[name].dataType.typeName()
    if column.kind in {"array", "vector"} or kind in _UNHASHABLE:
        raise SchemaError(
            f"The column {name!r} is of type {column.type_name}, and rows are told apart by single "
            "values: those of a group, or of a label that is binary or multiclass. Rows with "
            "several labels are split by KFold, for which a number of folds stands then."
        )
    return f"unix_micros({quoted(name)})" if kind == "timestamp" else column_key(df, name)


def with_values(df: DataFrame, key: str, values: Mapping[Any, int | list[int]]) -> DataFrame:
    """Add the column `VALUE` of what a key stands for; the rows keep their order.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    key : str
        SQL of the key, which is never null.
    values : mapping
        A whole number, or a list of such, for each key.
    """
    from pyspark.sql import functions
    from pyspark.sql.types import ArrayType, LongType

    keyed = select(df, "*", f"{key} AS {_KEY}")
    several = any(isinstance(value, list) for value in values.values())
    kind = ArrayType(LongType()) if several else LongType()
    schema = keyed.select(_KEY).schema.add(VALUE, kind)
    few = functions.broadcast(df.sparkSession.createDataFrame(list(values.items()), schema))
    return select(keyed.join(few, [_KEY], "left"), *map(quoted, df.columns), VALUE)
