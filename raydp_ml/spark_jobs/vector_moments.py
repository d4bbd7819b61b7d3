"""Statistics of the entries of vectors, and products with their Gram matrix, in a Spark job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exceptions import SchemaError, SessionError
from raydp_ml.exchange.jvm import JavaObject, doubles, java_object
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import double
from raydp_ml.spark_jobs.moments import settle_constants
from raydp_ml.spark_jobs.summaries import check_weights, no_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["check_room", "gram_product", "require_java", "vector_moments"]

# As ml.raydp.columns.VectorMoments packs them.
_HEAD = 5
_KINDS = (
    "held",
    "missing",
    "infinite",
    "missing_weight",
    "total",
    "mean",
    "squares",
    "low",
    "high",
)

_MOST = 1 << 20
"""Entries of groups, whose statistics are 75 MB that each task returns."""


def require_java(spark: SparkSession, name: str) -> JavaObject:
    """Make an object of our Java classes, without which vectors cannot be features."""
    made = java_object(spark, name)
    if made is None:
        raise SessionError(
            "Vectors as features need raydp_ml's Java part, which this session cannot load. Use a "
            "classic session of Spark 4.0 to 4.3 (raydp_ml.init_spark), or columns of numbers "
            "(sparse_output=False, encode='onehot-dense')."
        )
    return made


def check_room(width: int, times: int, what: str, most: int) -> None:
    """Raise `SchemaError` where the vectors are too wide for what is computed of them."""
    if width * times > most:
        raise SchemaError(
            f"Vectors of {width} entries are too wide for {what}: at most {most // times} entries "
            "are possible. Make fewer, for example with max_categories, max_features or n_features "
            "of the step before."
        )


def vector_moments(
    df: DataFrame,
    x: str,
    *,
    weight: str | None = None,
    group: str = "0",
    groups: int = 1,
    allow_missing: bool = True,
) -> dict[str, np.ndarray]:
    """Compute the usual statistics of each entry of a vector, within groups of rows.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    x : str
        SQL of the vector.
    weight : str or None
        The column of weights.
    group : str
        SQL of the number of a row's group.
    groups : int
        How many there are.
    allow_missing : bool, default=True
        Whether NaN, a missing value, may occur in a vector.

    Returns
    -------
    dict of str to ndarray of shape (n_groups, n_entries)
        ``rows``; of the values that are not missing ``count``, ``total`` (the sum of their
        weights), ``mean``, ``var`` (of the population), ``low`` and ``high``. NaN where there is
        no value.

    Raises
    ------
    SchemaError
        For vectors that are null or of different sizes, infinite values, missing ones that are not
        allowed, bad weights, or no rows.
    """
    java = require_java(df.sparkSession, "columns.VectorMoments")
    w = "1.0D" if weight is None else double(weight)
    data = select(df, f"{x} AS x", f"cast({group} as int) AS g", f"{w} AS w")
    packed = doubles(java.run(data, groups, _MOST))
    rows, nulls, bad, least, most = packed[:_HEAD].tolist()
    if not rows:
        raise no_rows()
    check_weights(weight, int(bad), int(rows))
    if nulls:
        raise SchemaError(
            f"{int(nulls)} of {int(rows)} vectors are null. Drop such rows, for example with "
            "df.dropna(), or make them in the transformer before."
        )
    if least != most:
        raise SchemaError(
            f"The vectors of a column must be of one size, and there are some of {int(least)} and "
            f"some of {int(most)} entries."
        )
    check_room(int(least), groups, f"statistics in {groups} groups", _MOST)
    ends = [_HEAD + groups, _HEAD + 2 * groups]
    counts, weights = (part[:, None] for part in np.split(packed, [_HEAD, *ends])[1:3])
    kinds = packed[ends[1] :].reshape(groups, int(least), len(_KINDS))
    table = dict(zip(_KINDS, np.moveaxis(kinds, 2, 0), strict=True))
    _check_values(table, allow_missing)
    return _with_zeros(counts, weights, table)


def _check_values(table: dict[str, np.ndarray], allow_missing: bool) -> None:
    for kind, what, allowed in (
        ("infinite", "infinite values", False),
        ("missing", "missing values, NaN", allow_missing),
    ):
        found = table[kind].sum(axis=0)
        if found.any() and not allowed:
            places = {int(i): int(found[i]) for i in np.flatnonzero(found)[:10]}
            raise SchemaError(
                f"The vectors hold {what} (entry: count): {places}. Replace them before the "
                "vectors are made."
            )


def _with_zeros(
    counts: np.ndarray, weights: np.ndarray, table: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Merge as many zeros as there are into the moments of all other values."""
    total = weights - table["missing_weight"]
    zeros = np.maximum(total - table["total"], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = table["total"] / total
        squares = table["squares"] + table["mean"] ** 2 * zeros * share
        made = {"mean": table["mean"] * share, "var": squares / total}
    some = zeros > 0
    low = np.where(some, np.minimum(table["low"], 0.0), table["low"])
    high = np.where(some, np.maximum(table["high"], 0.0), table["high"])
    made |= {
        "total": total,
        "rows": np.broadcast_to(counts, total.shape),
        "count": counts - table["missing"],
        "low": np.where(total > 0, low, np.nan),
        "high": np.where(total > 0, high, np.nan),
    }
    settle_constants(made)
    return made


def gram_product(df: DataFrame, x: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the function that multiplies vectors by a matrix, in a job.

    It returns the product of their Gram matrix with the matrix, and for each column of the matrix
    the sum of squares of the vectors' products with it.
    """
    java = require_java(df.sparkSession, "columns.GramProduct")
    return partial(_multiplied, java, select(df, f"{x} AS x"))


def _multiplied(
    java: JavaObject, data: DataFrame, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    packed = np.ascontiguousarray(matrix, dtype=">f8").tobytes()
    product, squares = np.split(doubles(java.run(data, packed, matrix.shape[1])), [matrix.size])
    return product.reshape(matrix.shape), squares
