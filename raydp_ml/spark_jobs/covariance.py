"""Means and co-moments of the features of a Spark DataFrame, exactly and in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exchange.jvm import doubles, java_object
from raydp_ml.spark_jobs.expressions import double
from raydp_ml.spark_jobs.summaries import (
    check_finite,
    check_held,
    double_columns,
    feature_cells,
    first_values,
    no_rows,
    summarize,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["co_moments"]


def co_moments(df: DataFrame, names: Sequence[str]) -> tuple[int, np.ndarray, np.ndarray]:
    """Compute what covariance and Gram matrix follow from.

    Returns
    -------
    rows : int
    mean : ndarray of shape (n_features,)
    products : ndarray of shape (n_features, n_features)
        Sums of products of deviations from the mean.

    Raises
    ------
    SchemaError
        For missing or infinite values, or no rows.
    """
    width = len(names)
    upper = np.triu_indices(width)
    products = np.zeros((width, width))
    java = java_object(df.sparkSession, "columns.Covariance")
    if java is None:
        rows, mean, triangle = _in_sql(df, names, upper)
    else:
        data = double_columns(df, feature_cells(names))
        packed = doubles(java.run(data))
        rows, mean, triangle = int(packed[0]), packed[1 : 1 + width], packed[1 + 3 * width :]
        missing, infinite = packed[1 + width : 1 + 3 * width].reshape(2, width)
        check_finite(names, infinite)
        check_held(names, missing)
        if not rows:
            raise no_rows()
    products[upper] = triangle
    products.T[upper] = triangle
    return rows, mean, products


def _in_sql(
    df: DataFrame, names: Sequence[str], upper: tuple[np.ndarray, np.ndarray]
) -> tuple[int, np.ndarray, np.ndarray]:
    # Sums of products near a value of the data lose few digits.
    shifts = first_values(df, names)
    found = summarize(df, names, allow_missing=False, shifts=shifts, mean="avg(x)")
    rows, offsets = int(found["rows"][0]), found["mean"]
    moved = [f"({double(name)} - {s!r}D)" for name, s in zip(names, shifts, strict=True)]
    pairs = list(zip(*(index.tolist() for index in upper), strict=True))
    sums = summarize(
        df,
        [f"{names[i]} * {names[j]}" for i, j in pairs],
        values=[f"{moved[i]} * {moved[j]}" for i, j in pairs],
        total="sum(x)",
    )["total"]
    return rows, offsets + shifts, sums - rows * offsets[upper[0]] * offsets[upper[1]]
