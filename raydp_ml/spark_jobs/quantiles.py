"""Exact quantiles of the features of a Spark DataFrame, as NumPy computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exchange.jvm import JavaObject, doubles, java_object
from raydp_ml.exchange.sql_text import aggregate, select, where
from raydp_ml.spark_jobs.expressions import array_of, double
from raydp_ml.spark_jobs.summaries import double_columns, feature_cells, long_form

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["order_statistics", "quantiles", "weighted_quantiles"]

# Hyndman and Fan (1996), "Sample quantiles in statistical packages", types 4 to 9.
_ALPHA_BETA = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def quantiles(
    df: DataFrame,
    names: Sequence[str],
    counts: np.ndarray,
    levels: Sequence[np.ndarray],
    method: str = "linear",
    *,
    values: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Compute quantiles of each feature over its values that are not missing.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
    counts : ndarray of shape (n_features,)
        How many values each feature has that are not missing.
    levels : sequence of ndarray
        For each feature, numbers from 0 to 1.
    method : str, default="linear"
        As in `numpy.quantile`.
    values : sequence of str or None
        SQL of other values than the features themselves.

    Returns
    -------
    list of ndarray
        NaN for a feature without values.
    """
    places = [
        _places(int(n), np.asarray(level), method) if n else None
        for n, level in zip(counts, levels, strict=True)
    ]
    wanted = [[] if p is None else sorted({*p[0].tolist(), *p[1].tolist()}) for p in places]
    found = order_statistics(df, names, wanted, values=values)
    made = []
    for place, held, level in zip(places, found, levels, strict=True):
        if place is None:
            made.append(np.full(len(level), np.nan))
            continue
        low, high, part = place
        a = np.array([held[k] for k in low.tolist()])
        b = np.array([held[k] for k in high.tolist()])
        gap = b - a
        made.append(np.where(part < 0.5, a + gap * part, b - gap * (1 - part)))
    return made


def weighted_quantiles(
    df: DataFrame,
    names: Sequence[str],
    weight: str,
    levels: Sequence[np.ndarray],
    *,
    average: bool = False,
) -> list[np.ndarray]:
    """Compute quantiles of each feature over its values that are not missing, by their weights.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
    weight : str
        The column of weights, numbers of at least 0.
    levels : sequence of ndarray
        For each feature, numbers from 0 to 1.
    average : bool, default=False
        Where a level ends exactly at a value, whether to go half-way to the next one: the method
        "averaged_inverted_cdf" rather than "inverted_cdf" of `numpy.quantile`.

    Returns
    -------
    list of ndarray
        NaN for a feature without values of positive weight.
    """
    among = " ".join(f"when {i} then {array_of(level)}" for i, level in enumerate(levels))
    rows = where(long_form(df, names, [f"{double(weight)} AS w"]), "x is not null and w > 0")
    sums = aggregate(rows, ["i", "x"], {"w": "sum(w)"})
    sums = select(sums, "i", "x", "sum(w) over (partition by i order by x) AS upto")
    among_sums = select(
        sums,
        *("i", "x", "upto", f"case i {among} end AS wanted"),
        "lag(upto, 1, 0D) over (partition by i order by x) AS before",
        "lead(x, 1, x) over (partition by i order by x) AS above",
        "max(upto) over (partition by i) AS total",
    )
    # A level between two sums of weights belongs to the second; the least value has level 0.
    kept = where(
        among_sums,
        "upto = total or exists(wanted, q -> "
        "q * total <= upto and (q * total > before or before = 0))",
    )
    found = kept.select("i", "x", "upto", "above", "total").collect()
    made = []
    for index, level in enumerate(levels):
        held = np.array([tuple(row)[1:] for row in found if row["i"] == index], dtype=float)
        if not len(held):
            made.append(np.full(len(level), np.nan))
            continue
        x, upto, above, total = held[np.argsort(held[:, 0])].T
        rank = np.asarray(level) * total[0]
        place = np.minimum(np.searchsorted(upto, rank), len(x) - 1)
        # scikit-learn's own bound, for weights whose sums are rounded.
        ends = average & (rank > 0) & (upto[place] - rank <= np.finfo(float).eps)
        made.append(np.where(ends, (x[place] + above[place]) / 2, x[place]))
    return made


def _places(n: int, q: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which two order statistics each level lies between, and where between them."""
    if method in _ALPHA_BETA:
        alpha, beta = _ALPHA_BETA[method]
        index = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
        low = np.floor(index)
        part = index - low
    elif method == "closest_observation":
        index = n * q - 1.5
        low = np.floor(index)
        part = np.where((index == low) & (low % 2 == 1), 0.0, 1.0)
    else:
        index = n * q - 1
        low = np.floor(index)
        tie = 0.5 if method == "averaged_inverted_cdf" else 0.0
        part = np.where(index == low, tie, 1.0)
    edges = (index < 0) | (index >= n - 1)
    part = np.where(edges, 0.0, part)
    low = np.clip(low, 0, n - 1).astype(np.int64)
    return low, np.minimum(low + 1, n - 1), part


def order_statistics(
    df: DataFrame,
    names: Sequence[str],
    ranks: Sequence[Sequence[int]],
    *,
    values: Sequence[str] | None = None,
) -> list[dict[int, float]]:
    """Find the k-th smallest values of each feature, exactly.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
    ranks : sequence of sequence of int
        For each feature, the wanted places among its sorted values that are not missing, from 0.
    values : sequence of str or None
        SQL of other values than the features themselves.

    Returns
    -------
    list of dict of int to float
    """
    count = len(names)
    keys = {rank * count + i for i, wanted in enumerate(ranks) for rank in wanted}
    if not keys:
        return [{} for _ in names]
    java = java_object(df.sparkSession, "columns.OrderStatistics")
    if java is not None:
        return _selected(java, df, names, ranks, values)
    rows = where(long_form(df, names, values=values), "x is not null")
    ranked = select(rows, "i", "x", "row_number() over (partition by i order by x) - 1 AS k")
    listed = ",".join(f"{key}L" for key in sorted(keys))
    kept = where(ranked, f"cast(k as bigint) * {count} + i in ({listed})")
    found: list[dict[int, float]] = [{} for _ in names]
    for row in kept.collect():
        found[row["i"]][row["k"]] = row["x"]
    return found


def _selected(
    java: JavaObject,
    df: DataFrame,
    names: Sequence[str],
    ranks: Sequence[Sequence[int]],
    values: Sequence[str] | None,
) -> list[dict[int, float]]:
    data = double_columns(df, feature_cells(names, values))
    packed = np.concatenate([[len(wanted), *sorted(wanted)] for wanted in ranks])
    found = iter(doubles(java.run(data, packed.astype(">i8").tobytes())).tolist())
    return [{rank: next(found) for rank in sorted(wanted)} for wanted in ranks]
