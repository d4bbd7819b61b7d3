"""Predictions of a Spark DataFrame's rows at each point of a grid: averages, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.inspection._grid import Axis
from raydp_ml.spark_jobs.expressions import double

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Names that no frame has.
_ROW, _POINT, _OUTPUT = (f"__raydp_ml_{what}__" for what in ("row", "point", "output"))
MOST_LINES = 10_000_000
"""Predictions that the driver collects; 80 MB for each output."""


@dataclass(frozen=True)
class Response:
    """What is predicted.

    Attributes
    ----------
    estimator : estimator or Pipeline
    method : {"predict", "predict_proba"}
    places : tuple of int or None
        Which of a prediction's values count, from 0, where it is an array; None for all.
    """

    estimator: Any
    method: str
    places: tuple[int, ...] | None

    def outputs(self, df: DataFrame) -> tuple[DataFrame, list[str]]:
        """Predict; returns a DataFrame, and SQL of each output."""
        made = getattr(self.estimator, self.method)(df)
        name = quoted(made.columns[-1])
        missing = {_POINT, *({_ROW} & set(df.columns))} - set(made.columns)
        if missing:
            raise SchemaError(
                "A step of the Pipeline aggregates, joins or selects columns, so that its rows "
                "cannot be followed. Apply it first: partial_dependence(pipe[1:], "
                "pipe[:1].transform(df), ...)."
            )
        if made.schema[-1].dataType.typeName() != "array":
            return made, [name]
        places = self.places
        if places is None:
            (length,) = select(made, f"size({name})").first() or (0,)
            places = tuple(range(length))
        return made, [f"element_at({name}, {place + 1})" for place in places]


def averages(
    df: DataFrame, axes: Sequence[Axis], response: Response, weight: str | None
) -> np.ndarray:
    """Average the predictions of all rows at each point of the grid, in one Spark job.

    Returns
    -------
    ndarray of shape (n_outputs, n_points)
    """
    made, outputs = response.outputs(_at_points(df, axes))
    if weight is None:
        means = {f"{_OUTPUT}{i}": f"avg({x})" for i, x in enumerate(outputs)}
    else:
        w = double(weight)
        means = {f"{_OUTPUT}{i}": f"sum({w} * {x}) / sum({w})" for i, x in enumerate(outputs)}
    rows = aggregate(made, [_POINT], means).collect()
    average = np.empty((len(outputs), len(rows)))
    for point, *values in rows:
        average[:, point] = values
    return average


def lines(df: DataFrame, axes: Sequence[Axis], response: Response, rows: int) -> np.ndarray:
    """Collect the predictions of each row at each point of the grid.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    axes : sequence of Axis
    response : Response
    rows : int
        How many the DataFrame has.

    Returns
    -------
    ndarray of shape (n_outputs, n_rows, n_points)
        Rows in the order in which Spark collects them.

    Raises
    ------
    SchemaError
        Where these are more numbers than `MOST_LINES`.
    """
    points = int(np.prod([len(axis.values) for axis in axes]))
    if rows * points > MOST_LINES:
        raise SchemaError(
            f"Individual lines of {rows:,} rows at {points:,} points are {rows * points:,} "
            f"predictions, and at most {MOST_LINES:,} are collected. Pass a sample of the rows "
            "(df.sample(...), df.limit(...)), a lower grid_resolution, or kind='average'."
        )
    numbered = select(df, "*", f"monotonically_increasing_id() AS {_ROW}")
    made, outputs = response.outputs(_at_points(numbered, axes))
    named = [f"cast({x} as double) AS {_OUTPUT}{i}" for i, x in enumerate(outputs)]
    table = select(made, _ROW, _POINT, *named).toArrow()
    row, point, *values = (column.to_numpy() for column in table.columns)
    order = np.lexsort((point, row))
    return np.array([value[order].reshape(rows, points) for value in values])


def _at_points(df: DataFrame, axes: Sequence[Axis]) -> DataFrame:
    """Repeat each row for each point of the grid, with the point in place of the features."""
    sizes = [len(axis.values) for axis in axes]
    repeated = select(df, "*", f"explode(sequence(0, {int(np.prod(sizes)) - 1})) AS {_POINT}")
    replaced = {}
    for place, axis in enumerate(axes):
        step = int(np.prod(sizes[place + 1 :]))
        # The last axis is the fastest.
        at = f"({_POINT} div {step}) % {len(axis.values)}"
        replaced[axis.column.name] = f"{axis.sql(at)} AS {quoted(axis.column.name)}"
    kept = [replaced.get(name, quoted(name)) for name in df.columns]
    return select(repeated, *kept, _POINT)
