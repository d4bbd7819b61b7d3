"""Count, mean, variance and range of the features of a Spark DataFrame, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.jvm import doubles, java_object
from raydp_ml.spark_jobs.expressions import double
from raydp_ml.spark_jobs.summaries import (
    check_finite,
    check_held,
    check_weights,
    double_columns,
    feature_cells,
    first_values,
    no_rows,
    summarize,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["moments", "settle_constants"]

# As ml.raydp.columns.Moments packs them.
_KINDS = ("count", "infinite", "total", "mean", "squares", "low", "high", "rest")


def moments(
    df: DataFrame,
    names: Sequence[str],
    *,
    weight: str | None = None,
    values: Sequence[str] | None = None,
    allow_missing: bool = True,
) -> dict[str, np.ndarray]:
    """Compute the usual statistics of each feature.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
        The numeric features.
    weight : str or None
        The column of weights.
    values : sequence of str or None
        SQL of other values (doubles) than the features themselves.
    allow_missing : bool, default=True
        Whether null and NaN, which are missing values, may occur.

    Returns
    -------
    dict of str to ndarray of shape (n_features,)
        ``rows``; of the values that are not missing ``count``, ``total`` (the sum of their
        weights), ``mean``, ``var`` (of the population), and ``low`` and ``high``, the range of
        those of positive weight. NaN where there is no value.

    Raises
    ------
    SchemaError
        For infinite values, missing ones that are not allowed, bad weights, or no rows.
    """
    java = java_object(df.sparkSession, "columns.Moments")
    if java is None:
        return _in_sql(df, names, weight, values, allow_missing)
    cells = feature_cells(names, values)
    if weight is not None:
        cells.append(double(weight))
    packed = doubles(java.run(double_columns(df, cells), weight is not None))
    rows, bad = packed[:2].astype(np.int64).tolist()
    table = dict(zip(_KINDS, packed[2:].reshape(len(names), len(_KINDS)).T, strict=True))
    if not rows:
        raise no_rows()
    check_weights(weight, bad, rows)
    check_finite(names, table["infinite"])
    if not allow_missing:
        check_held(names, rows - table["count"])
    with np.errstate(invalid="ignore"):
        table["var"] = table["squares"] / table["total"]
    table["mean"] = np.where(table["total"] > 0, table["mean"], np.nan)
    table["rows"] = np.full(len(names), float(rows))
    settle_constants(table)
    return table


def settle_constants(table: dict[str, np.ndarray]) -> None:
    """Give constants their value as mean, and no variance, which rounding would leave them.

    scikit-learn's bound for such a variance holds for a sum in one piece, and not where weights
    make it a small one.
    """
    constant = table["low"] == table["high"]
    table["mean"] = np.where(constant, table["low"], table["mean"])
    table["var"] = np.where(constant, 0.0, table["var"])


def _in_sql(
    df: DataFrame,
    names: Sequence[str],
    weight: str | None,
    values: Sequence[str] | None,
    allow_missing: bool,
) -> dict[str, np.ndarray]:
    shared: dict[str, Any] = {"values": values, "allow_missing": allow_missing}
    if weight is None:
        found = summarize(
            df, names, **shared, mean="avg(x)", var="var_pop(x)", low="min(x)", high="max(x)"
        )
        settle_constants(found)
        return {**found, "total": found["count"]}
    # SQL has no weighted variance; sums of squares near a value of the data lose few digits.
    shifts = np.array(first_values(df, names, values))
    found = summarize(
        df,
        names,
        **shared,
        weight=weight,
        shifts=shifts.tolist(),
        total="sum(if(x is null, null, w))",
        first="sum(w * x)",
        second="sum(w * x * x)",
        low="min(if(w > 0, x, null))",
        high="max(if(w > 0, x, null))",
    )
    found["total"] = np.nan_to_num(found["total"])
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = found["first"] / found["total"]
        found["var"] = found["second"] / found["total"] - offset * offset
    found["mean"] = offset + shifts
    for end in ("low", "high"):
        found[end] = found[end] + shifts
    settle_constants(found)
    return found
