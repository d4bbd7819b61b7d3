"""Scores of predictions on a Spark DataFrame, computed by Spark; and NDCG in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import check_exists, from_spark_schema, quoted
from raydp_ml.fit_data.given import require_column_name

# Under a name that no frame has, so that a prediction column in the frame does no harm.
PREDICTION = "__raydp_ml_prediction__"


def _parts(df: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, str]:
    """Return the label and the weight as Spark columns, and the label's name."""
    from pyspark.sql import functions

    label = _named(df, y, "label")
    if label is None:
        raise ValueError(
            'score needs the label. Pass the name of its column, as in score(df, "label"), or '
            'mark it: raydp_ml.set_roles(df, label="label").'
        )
    weight = _named(df, sample_weight, "sample_weight")
    weights = functions.lit(1.0) if weight is None else functions.col(quoted(weight)).cast("double")
    return functions.col(quoted(label)), weights, label


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
    from pyspark.sql import functions as sql

    target, weights, label = _parts(df, y, sample_weight)
    prediction = sql.col(PREDICTION)
    if not n_targets:
        return _spark_r2(df, predicted, target, prediction, weights, label)
    if not df.schema[label].dataType.typeName().startswith("array"):
        from pyspark.ml.functions import vector_to_array

        target = vector_to_array(target)
    scores = [
        _spark_r2(df, predicted, target.getItem(i), prediction.getItem(i), weights, label)
        for i in range(n_targets)
    ]
    return sum(scores) / n_targets


def _spark_r2(
    df: Any, predicted: Any, target: Any, prediction: Any, weights: Any, label: str
) -> float:
    from pyspark.sql import functions as sql

    target = target.cast("double")
    pairs = predicted.select(target.alias("y"), weights.alias("w"), prediction.alias("p"))
    # Sums around a value of the data itself: squares of large labels would cancel.
    first = df.select(target.alias("y")).where("y is not null").head()
    around = 0.0 if first is None else float(first[0])
    shifted = sql.col("y") - sql.lit(around)
    rows, nulls, weight, residual, linear, square = pairs.agg(
        sql.count(sql.lit(1)),
        sql.count_if(sql.col("y").isNull()),
        sql.sum("w"),
        sql.sum(sql.col("w") * (sql.col("y") - sql.col("p")) * (sql.col("y") - sql.col("p"))),
        sql.sum(sql.col("w") * shifted),
        sql.sum(sql.col("w") * shifted * shifted),
    ).first()
    _check_complete(rows, nulls, label)
    if rows < 2 or not weight:
        return math.nan
    total = square - linear * linear / weight
    if total <= 0.0:
        return 1.0 if residual == 0.0 else 0.0
    return 1.0 - residual / total


def spark_accuracy(df: Any, predicted: Any, y: Any, sample_weight: Any) -> float:
    """Return the weighted share of right predictions of a classifier on a Spark DataFrame."""
    from pyspark.sql import functions as sql

    target, weights, label = _parts(df, y, sample_weight)
    pairs = predicted.select(target.alias("y"), weights.alias("w"), sql.col(PREDICTION).alias("p"))
    right = sql.when(sql.col("y") == sql.col("p"), sql.col("w")).otherwise(sql.lit(0.0))
    rows, nulls, weight, hits = pairs.agg(
        sql.count(sql.lit(1)), sql.count_if(sql.col("y").isNull()), sql.sum("w"), sql.sum(right)
    ).first()
    _check_complete(rows, nulls, label)
    return hits / weight if weight else math.nan


def spark_ndcg(df: Any, predicted: Any, y: Any, group: Any) -> float:
    """Return the mean NDCG over the groups of a Spark DataFrame."""
    from pyspark.sql import Window
    from pyspark.sql import functions as sql

    target, _, label = _parts(df, y, None)
    name = _named(df, group, "group")
    if name is None:
        raise ValueError(
            "score needs the groups. Pass the name of their column, as in "
            'score(df, "label", group="query"), or mark it: raydp_ml.set_roles(df, group="query").'
        )
    pairs = predicted.select(
        target.cast("double").alias("y"),
        sql.col(quoted(name)).alias("g"),
        sql.col(PREDICTION).alias("p"),
    )
    gain = sql.pow(sql.lit(2.0), sql.col("y")) - 1.0
    groups = Window.partitionBy("g")

    def discounted(order: str) -> Any:
        place = sql.row_number().over(groups.orderBy(sql.col(order).desc()))
        return gain / sql.log2(place + 1.0)

    sums = (
        pairs.select("g", "y", discounted("p").alias("d"), discounted("y").alias("i"))
        .groupBy("g")
        .agg(
            sql.sum("d").alias("d"),
            sql.sum("i").alias("i"),
            sql.count(sql.lit(1)).alias("n"),
            sql.count_if(sql.col("y").isNull()).alias("nulls"),
        )
    )
    # A group without a relevant row is ranked as well as can be, as XGBoost has it.
    value = sql.when(sql.col("i") > 0, sql.col("d") / sql.col("i")).otherwise(sql.lit(1.0))
    rows, nulls, mean = sums.agg(
        sql.coalesce(sql.sum("n"), sql.lit(0)),
        sql.coalesce(sql.sum("nulls"), sql.lit(0)),
        sql.avg(value),
    ).first()
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
