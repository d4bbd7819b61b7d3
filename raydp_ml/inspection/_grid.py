"""The points of partial dependence: scikit-learn's grid, of the rows of a Spark DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column, quoted
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.spark_jobs.expressions import array_of, comparable, double, literal
from raydp_ml.spark_jobs.quantiles import order_statistics
from raydp_ml.spark_jobs.summaries import only_row

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_MOST_POINTS = 100_000


@dataclass(frozen=True)
class Axis:
    """The values that one feature takes in turn.

    Attributes
    ----------
    column : Column
    values : ndarray of shape (n_values,)
    sql_type : str or None
        The type that the values have in Spark; None for doubles.
    """

    column: Column
    values: np.ndarray
    sql_type: str | None

    def sql(self, place: str) -> str:
        """Return SQL of the value at a place, counted from 0."""
        if self.values.dtype.kind == "f":
            values = array_of(self.values)
        else:
            values = f"array({','.join(literal(value) for value in self.values.tolist())})"
        value = f"element_at({values}, cast({place} as int) + 1)"
        return f"cast({value} as {self.sql_type or 'double'})"


def grid_axes(
    df: DataFrame,
    columns: Sequence[Column],
    categorical: Sequence[bool],
    percentiles: tuple[float, float],
    resolution: int,
    custom_values: Mapping[str, Any],
) -> list[Axis]:
    """Choose the values of each feature, as scikit-learn chooses them.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    columns : sequence of Column
        The features.
    categorical : sequence of bool
        Of each feature, whether it takes all of its values.
    percentiles : pair of float
    resolution : int
    custom_values : mapping of str to array-like
        By the names of features.

    Returns
    -------
    list of Axis

    Raises
    ------
    SchemaError
        Where a feature has values that no grid can be made of, or the grid is too large.
    """
    axes: dict[str, Axis] = {}
    many: list[Column] = []
    for column, is_categorical in zip(columns, categorical, strict=True):
        name, kind = column.name, column.kind
        if name in custom_values:
            axes[name] = _custom(column, custom_values[name])
            continue
        found = _distinct(df, column, None if is_categorical else resolution)
        if found is None:
            many.append(column)
        else:
            keeps = is_categorical or kind not in NUMERIC
            sql_type = column.type_name if keeps or kind == "boolean" else None
            axes[name] = Axis(column, found, sql_type)
    if many:
        ends = empirical_quantiles(df, many, np.asarray(percentiles))
        for column, (low, high) in zip(many, ends, strict=True):
            axes[column.name] = Axis(column, _between(column, low, high, resolution), None)
    points = int(np.prod([float(len(axis.values)) for axis in axes.values()]))
    if points > _MOST_POINTS:
        raise SchemaError(
            f"The grid has {points:,} points, and each takes a prediction of every row; at most "
            f"{_MOST_POINTS:,} are computed. Pass a lower grid_resolution, or custom_values."
        )
    return [axes[column.name] for column in columns]


def empirical_quantiles(df: DataFrame, columns: Sequence[Column], levels: np.ndarray) -> np.ndarray:
    """Compute ``scipy.stats.mstats.mquantiles`` of columns of numbers, exactly.

    Missing values count as the largest, as they do there.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    columns : sequence of Column
    levels : ndarray of shape (n_levels,)

    Returns
    -------
    ndarray of shape (n_columns, n_levels)
        NaN where a quantile lies among missing values.
    """
    x = [double(column.name) for column in columns]
    held = {f"held{i}": f"count(nanvl({cell}, null))" for i, cell in enumerate(x)}
    counts = only_row(aggregate(df, [], {"n": "count(*)", **held}))
    n = counts["n"]
    # Hyndman and Fan's definition with alpha = beta = 0.4, mquantiles' own.
    place = n * levels + 0.4 + levels * 0.2
    low = np.floor(place.clip(1, n - 1)).astype(int)
    part = (place - low).clip(0, 1)
    ranks = [
        sorted({int(k) for k in (*(low - 1), *low) if k < counts[f"held{i}"]})
        for i in range(len(columns))
    ]
    found = order_statistics(df, [column.name for column in columns], ranks)
    made = np.empty((len(columns), len(levels)))
    for row, values in zip(made, found, strict=True):
        below = np.array([values.get(int(k) - 1, np.nan) for k in low])
        above = np.array([values.get(int(k), np.nan) for k in low])
        row[:] = np.where(part > 0, (1.0 - part) * below + part * above, below)
    return made


def _custom(column: Column, values: Any) -> Axis:
    made = np.asarray(values, dtype=object if any(isinstance(v, str) for v in values) else None)
    if made.ndim != 1 or not len(made):
        raise SchemaError(
            f"The custom_values of {column.name!r} must be a list of values, and their shape is "
            f"{made.shape}."
        )
    text = made.dtype.kind == "O" and all(isinstance(value, str) for value in made)
    if text != (column.kind == "string") or not (text or made.dtype.kind in "iufb"):
        raise SchemaError(
            f"The custom_values of {column.name!r} begin with {made[0]!r}, and the column is of "
            f"type {column.type_name}. Pass values of that type."
        )
    keeps = text or column.kind == "boolean"
    return Axis(column, made, column.type_name if keeps else None)


def _distinct(df: DataFrame, column: Column, below: int | None) -> np.ndarray | None:
    """Return the sorted distinct values if there are less than `below`, or None."""
    x = comparable(column)
    if below is not None and column.kind in {"number", "decimal"}:
        x = f"coalesce({double(column.name)}, double('NaN'))"
    elif column.type_name in {"float", "double"}:
        x = f"coalesce({quoted(column.name)}, double('NaN'))"
    most = _MOST_POINTS + 1 if below is None else below
    found = [row[0] for row in select(df, f"{x} AS x").distinct().limit(most).collect()]
    if len(found) >= most and below is not None:
        if column.kind not in {"number", "decimal"}:
            raise SchemaError(
                f"The column {column.name!r} of type {column.type_name} has {most} values or more, "
                "and no percentiles. Name it in categorical_features, or pass a greater "
                "grid_resolution, or its custom_values."
            )
        return None
    if any(value is None for value in found):
        raise SchemaError(
            f"The column {column.name!r} of type {column.type_name} holds nulls, which have no "
            "place among its values. Drop such rows (df.na.drop()), or pass its custom_values."
        )
    if column.kind == "decimal":
        found = [float(value) for value in found]
    return np.unique(np.array(found, dtype=object if column.kind == "string" else None))


def _between(column: Column, low: float, high: float, resolution: int) -> np.ndarray:
    if np.isnan(low) or np.isnan(high):
        raise SchemaError(
            f"A percentile of the column {column.name!r} lies among its missing values, which "
            "count as the largest. Pass lower percentiles, or its custom_values."
        )
    if np.allclose(low, high):
        raise SchemaError(
            f"The percentiles of the column {column.name!r} are too close to each other, at {low} "
            f"and {high}, to build a grid between them. Pass percentiles that are further apart, "
            "or its custom_values."
        )
    return np.linspace(low, high, num=resolution, endpoint=True)
