"""Scores of predictions on a Spark DataFrame, computed by Spark; and NDCG in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from raydp_ml.base import require_column_name
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import check_exists, from_spark_schema, quoted
from raydp_ml.exchange.sql_text import aggregate, select, select_columns, vector_to_array, where
from raydp_ml.expressions import double, number
from raydp_ml.statistics import column_key

# Under a name that no frame has, so that a prediction column in the frame does no harm.
PREDICTION = "__raydp_ml_prediction__"
_WIDE = {"long", "decimal"}
_FLOATING = {"float", "double"}


def _parts(df: Any, y: Any, sample_weight: Any) -> tuple[str, str, str]:
    """Return SQL of the label and of the weight, and the label's name."""
    label = _named(df, y, "label")
    if label is None:
        raise ValueError(
            'score needs the label. Pass the name of its column, as in score(df, "label"), or '
            'mark it: raydp_ml.set_roles(df, label="label").'
        )
    weight = _named(df, sample_weight, "sample_weight")
    weights = "1.0D" if weight is None else double(weight)
    return column_key(df, label), weights, label


def _named(df: Any, name: Any, role: str) -> str | None:
    columns = from_spark_schema(df.schema)
    if name is None:
        return next((column.name for column in columns if column.role == role), None)
    require_column_name(name, "y" if role == "label" else role, df.columns)
    check_exists(name, columns, role)
    return name


def _check_complete(rows: int, nulls: int, label: str) -> None:
    if rows == 0:
        raise SchemaError(
            "The DataFrame to score has no rows. Check the filters and joins before it."
        )
    if nulls:
        raise SchemaError(
            f"The label {label!r} holds {nulls} null of {rows} values, which cannot be scored. "
            f"Drop such rows: df.na.drop(subset=[{label!r}])."
        )


def spark_r2(df: Any, predicted: Any, y: Any, sample_weight: Any, n_targets: int = 0) -> float:
    """Return R² of a regressor's predictions on a Spark DataFrame.

    With `n_targets`, label and predictions are arrays of that length, and the mean of the R² of
    their elements is returned.
    """
    target, weights, label = _parts(df, y, sample_weight)
    if not n_targets:
        return _spark_r2(predicted, target, PREDICTION, weights, label)
    kind = next(column.kind for column in from_spark_schema(df.schema) if column.name == label)
    if kind == "vector":
        from pyspark.sql import functions

        column = functions.col(quoted(label))
        made = functions.when(column.isNotNull(), vector_to_array(df)(column))
        predicted = select_columns(
            predicted, [functions.col("*"), made.alias(target := f"{PREDICTION}y")]
        )
    elif kind != "array":
        target = f"array({target})"
    # (What a shorter list does not hold is null.)
    scores = [
        _spark_r2(predicted, f"get({target}, {i})", f"{PREDICTION}[{i}]", weights, label)
        for i in range(n_targets)
    ]
    return sum(scores) / n_targets


def _spark_r2(predicted: Any, target: str, prediction: str, weights: str, label: str) -> float:
    texts = [f"cast({target} as double) AS y", f"{weights} AS w", f"{prediction} AS p"]
    pairs = select(predicted, *texts)
    # Sums around a value of the data itself: squares of large labels would cancel.
    first = where(pairs, "y is not null").head()
    shifted = f"(y - {number(0.0 if first is None else first['y'])})"
    sums = {
        "n": "count(1)",
        "nulls": "count_if(y is null)",
        "weight": "sum(w)",
        "residual": "sum(w * (y - p) * (y - p))",
        "linear": f"sum(w * {shifted})",
        "square": f"sum(w * {shifted} * {shifted})",
    }
    rows, nulls, weight, residual, linear, square = aggregate(pairs, [], sums).first()
    _check_complete(rows, nulls, label)
    if rows < 2 or not weight:
        return math.nan
    total = square - linear * linear / weight
    if total <= 0.0:
        return 1.0 if residual == 0.0 else 0.0
    return 1.0 - residual / total


def spark_accuracy(df: Any, predicted: Any, y: Any, sample_weight: Any) -> float:
    """Return the weighted share of right predictions of a classifier on a Spark DataFrame."""
    target, weights, label = _parts(df, y, sample_weight)
    pairs = select(predicted, f"{target} AS y", f"{weights} AS w", f"{PREDICTION} AS p")
    same = "y = p"
    kinds = {name: pairs.schema[name].dataType for name in ("y", "p")}
    if kinds["p"].typeName() in _WIDE and kinds["y"].typeName() in _FLOATING:
        # Spark compares them as doubles, of which one may stand for several labels.
        back = f"try_cast(cast(p as double) as {kinds['p'].simpleString()})"
        same = f"y = p and coalesce({back} = p, false)"
    sums = {
        "n": "count(1)",
        "nulls": "count_if(y is null)",
        "weight": "sum(w)",
        "hits": f"sum(case when {same} then w else 0.0D end)",
    }
    rows, nulls, weight, hits = aggregate(pairs, [], sums).first()
    _check_complete(rows, nulls, label)
    return hits / weight if weight else math.nan


def spark_ndcg(df: Any, predicted: Any, y: Any, group: Any) -> float:
    """Return the mean NDCG over the groups of a Spark DataFrame."""
    target, _, label = _parts(df, y, None)
    name = _named(df, group, "group")
    if name is None:
        raise ValueError(
            "score needs the groups. Pass the name of their column, as in "
            'score(df, "label", group="query"), or mark it: raydp_ml.set_roles(df, group="query").'
        )
    texts = [f"cast({target} as double) AS y", f"{column_key(df, name)} AS g", f"{PREDICTION} AS p"]
    pairs = select(predicted, *texts)

    def discounted(order: str) -> str:
        place = f"row_number() over (partition by g order by {order} desc)"
        return f"(pow(2.0D, y) - 1.0D) / log2({place} + 1.0D)"

    gains = select(pairs, "g", "y", f"{discounted('p')} AS d", f"{discounted('y')} AS i")
    sums = {"d": "sum(d)", "i": "sum(i)", "n": "count(1)", "nulls": "count_if(y is null)"}
    # A group without a relevant row is ranked as well as can be, as XGBoost has it.
    means = {
        "n": "coalesce(sum(n), 0L)",
        "nulls": "coalesce(sum(nulls), 0L)",
        "value": "avg(if(i > 0, d / i, 1.0D))",
    }
    rows, nulls, mean = aggregate(aggregate(gains, ["g"], sums), [], means).first()
    _check_complete(rows, nulls, label)
    return mean


def ndcg(y: np.ndarray, scores: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the mean NDCG over groups, with the exponential gain.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Relevance of each row.
    scores : ndarray of shape (n,)
        What the rows are ranked by, highest first.
    groups : ndarray of shape (n,) or None
        None for one group.

    Returns
    -------
    float
    """
    y = np.asarray(y, dtype=np.float64)
    ids = np.zeros(len(y)) if groups is None else np.asarray(groups)
    values = []
    for group in np.unique(ids):
        gains = 2.0 ** y[ids == group] - 1.0
        discounts = 1.0 / np.log2(np.arange(len(gains)) + 2.0)
        order = np.argsort(-scores[ids == group], kind="stable")
        best = (np.sort(gains)[::-1] * discounts).sum()
        values.append((gains[order] * discounts).sum() / best if best > 0 else 1.0)
    return float(np.mean(values))
