"""Scores of predictions on a Spark DataFrame, computed by Spark; and NDCG in memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.base import require_column_name
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, check_exists, from_spark_schema, quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.refused_values import refused_values
from raydp_ml.exchange.sql_text import aggregate, select, select_columns, vector_to_array, where
from raydp_ml.spark_jobs.expressions import double, number
from raydp_ml.spark_jobs.summaries import column_key, only_row

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

# Under a name that no frame has, so that a prediction column in the frame does no harm.
PREDICTION = "__raydp_ml_prediction__"
_WIDE = {"long", "decimal"}
_FLOATING = {"float", "double"}


def _parts(df: DataFrame, y: object, sample_weight: object) -> tuple[str, str, str]:
    """Return SQL of the label and of the weight, and the label's name."""
    require_batch(df)
    label = named_column(df, y, "label")
    if label is None:
        raise ValueError(
            'score needs the label. Pass the name of its column, as in score(df, "label"), or '
            'mark it: raydp_ml.set_roles(df, label="label").'
        )
    weight = named_column(df, sample_weight, "sample_weight")
    text = "1.0D" if weight is None else weight_text(df, weight)
    return column_key(df, label), text, label


def weight_text(df: DataFrame, name: str) -> str:
    """Read a column of weights as doubles; raise `SchemaError` where it holds no numbers."""
    (column,) = (item for item in from_spark_schema(df.schema) if item.name == name)
    if column.kind not in NUMERIC:
        raise SchemaError(
            f"The sample_weight {name!r} is of type {column.type_name}, and weights are numbers. "
            f"Cast it: df.withColumn({name!r}, df[{name!r}].cast('double'))."
        )
    return double(name)


def named_column(df: DataFrame, name: object, role: str) -> str | None:
    """Return the name of a column; for None that of the column that bears the role, if any."""
    columns = from_spark_schema(df.schema)
    if name is None:
        return next((column.name for column in columns if column.role == role), None)
    require_column_name(name, "y" if role == "label" else role, df.columns)
    assert isinstance(name, str)
    check_exists(name, columns, role)
    return name


_INFINITE = "double('Infinity')"
# What scikit-learn refuses to weigh by.
_WEIGHTS = {
    "bad_weights": f"count_if(w is null or isnan(w) or abs(w) = {_INFINITE})",
    "weighted": "count_if(w != 0)",
}


def check_weights(bad: int, weighted: int, rows: int) -> None:
    """Raise `SchemaError` for weights by which scikit-learn refuses to weigh."""
    if bad:
        raise SchemaError(
            f"The sample_weight holds {bad} missing or infinite of {rows} values. Replace them, or "
            "drop such rows."
        )
    if rows and not weighted:
        raise SchemaError("Sample weights must contain at least one non-zero number.")


def check_complete(rows: int, nulls: int, label: str) -> None:
    """Raise `SchemaError` where there are no rows, or labels are missing."""
    if rows == 0:
        raise SchemaError(
            "The DataFrame to score has no rows. Check the filters and joins before it."
        )
    if nulls:
        raise SchemaError(
            f"The label {label!r} holds {nulls} null of {rows} values, which cannot be scored. "
            f"Drop such rows: df.na.drop(subset=[{label!r}])."
        )


@refused_values()
def spark_r2(
    df: DataFrame, predicted: DataFrame, y: object, sample_weight: object, n_targets: int = 0
) -> float:
    """Return R² of a regressor's predictions on a Spark DataFrame.

    With `n_targets`, label and predictions are arrays of that length, and the mean of the R² of
    their elements is returned.
    """
    target, weights, label = _parts(df, y, sample_weight)
    _require_alike(df, predicted, label, n_targets)
    if not n_targets:
        return _spark_r2(predicted, target, PREDICTION, weights, label)
    predicted, target = _with_array(df, predicted, label, target)
    # (What a shorter list does not hold is null.)
    scores = [
        _spark_r2(predicted, f"get({target}, {i})", f"{PREDICTION}[{i}]", weights, label)
        for i in range(n_targets)
    ]
    return sum(scores) / n_targets


def _require_alike(df: DataFrame, predicted: DataFrame, label: str, n_targets: int) -> None:
    """Raise `SchemaError` where labels or predictions are arrays, and the others are not."""
    kind = next(column.kind for column in from_spark_schema(df.schema) if column.name == label)
    labels = kind in {"array", "vector"}
    predictions = predicted.schema[PREDICTION].dataType.typeName() == "array"
    # One target may be an array of one element, or that element.
    if labels == predictions == (n_targets > 0) or n_targets == 1:
        return
    shapes = {True: "an array", False: "a single value"}
    remedy = (
        "Of predictions without a label each, as of several quantiles, score one at a time: "
        f"predict, and a metric of prediction[0] beside {label!r}."
        if predictions and not n_targets
        else "Score with labels of the shape that the estimator was fitted on."
    )
    raise SchemaError(
        f"y_true and y_pred have different number of output: the label {label!r} is "
        f"{shapes[labels]}, and a prediction is {shapes[predictions]}. {remedy}"
    )


def _with_array(
    df: DataFrame, predicted: DataFrame, label: str, target: str
) -> tuple[DataFrame, str]:
    """Return predictions and the SQL of a label as an array, whatever it is."""
    kind = next(column.kind for column in from_spark_schema(df.schema) if column.name == label)
    if kind == "array":
        return predicted, target
    if kind != "vector":
        return predicted, f"array({target})"
    from pyspark.sql import functions

    column = functions.col(quoted(label))
    made = functions.when(column.isNotNull(), vector_to_array(df)(column))
    name = f"{PREDICTION}y"
    return select_columns(predicted, [functions.col("*"), made.alias(name)]), name


def _spark_r2(
    predicted: DataFrame, target: str, prediction: str, weights: str, label: str
) -> float:
    texts = [f"cast({target} as double) AS y", f"{weights} AS w", f"{prediction} AS p"]
    pairs = select(predicted, *texts)
    # Sums around a value of the data itself: squares of large labels would cancel.
    first = where(pairs, "y is not null").head()
    shifted = f"(y - {number(0.0 if first is None else first['y'])})"
    sums = {
        "n": "count(1)",
        "nulls": "count_if(y is null)",
        "bad": f"count_if(isnan(y) or abs(y) = {_INFINITE})",
        **_WEIGHTS,
        "weight": "sum(w)",
        "residual": "sum(w * (y - p) * (y - p))",
        "linear": f"sum(w * {shifted})",
        "square": f"sum(w * {shifted} * {shifted})",
    }
    found = only_row(aggregate(pairs, [], sums)).asDict()
    rows = found["n"]
    check_complete(rows, found["nulls"], label)
    _check_finite(found["bad"], rows, label)
    check_weights(found["bad_weights"], found["weighted"], rows)
    weight, residual, linear, square = (
        found[name] for name in ("weight", "residual", "linear", "square")
    )
    if rows < 2 or not weight:
        return math.nan
    total = square - linear * linear / weight
    if total <= 0.0:
        return 1.0 if residual == 0.0 else 0.0
    return 1.0 - float(residual / total)


@refused_values()
def spark_accuracy(
    df: DataFrame, predicted: DataFrame, y: object, sample_weight: object, n_targets: int = 0
) -> float:
    """Return the weighted share of right predictions of a classifier on a Spark DataFrame.

    With `n_targets`, label and predictions are arrays of that length, all of which must be right.
    """
    target, weights, label = _parts(df, y, sample_weight)
    _require_alike(df, predicted, label, n_targets)
    if n_targets:
        predicted, target = _with_array(df, predicted, label, target)
        target = f"transform({target}, x -> cast(x as double))"
    pairs = select(predicted, f"{target} AS y", f"{weights} AS w", f"{PREDICTION} AS p")
    given, own = (pairs.schema[name].dataType for name in ("y", "p"))
    same = "y = transform(p, x -> cast(x as double))" if n_targets else _same(given, own, label)
    sums = {
        "n": "count(1)",
        "nulls": "count_if(y is null)",
        "bad": f"count_if({_no_class(given)})",
        **_WEIGHTS,
        "weight": "sum(w)",
        "hits": f"sum(case when {same} then w else 0.0D end)",
    }
    found = only_row(aggregate(pairs, [], sums)).asDict()
    rows, weight = found["n"], found["weight"]
    check_complete(rows, found["nulls"], label)
    _check_finite(found["bad"], rows, label)
    check_weights(found["bad_weights"], found["weighted"], rows)
    return float(found["hits"] / weight) if weight else math.nan


def _no_class(given: DataType) -> str:
    """Give the SQL of whether a label y holds NaN, infinity, or in an array null."""
    bad = f"isnan({{0}}) or abs({{0}}) = {_INFINITE}"
    if given.typeName() == "array":
        return f"exists(y, x -> x is null or {bad.format('x')})"
    return bad.format("y") if given.typeName() in _FLOATING else "false"


def _check_finite(bad: int, rows: int, label: str) -> None:
    if bad:
        raise SchemaError(
            f"The label {label!r} holds {bad} NaN or infinite of {rows} values, which cannot be "
            "scored. Drop such rows."
        )


def _same(given: DataType, own: DataType, label: str) -> str:
    """Give the SQL that compares a label y with a class p exactly, whatever the types of both."""
    kinds = given.typeName(), own.typeName()
    if kinds.count("string") == 1:
        raise SchemaError(
            f"The label {label!r} is of type {given.simpleString()}, and the classes are of type "
            f"{own.simpleString()}. Score with a label of the type that the classifier was fitted "
            "with."
        )
    if kinds.count("boolean") == 1:
        return "cast(y as double) = cast(p as double)"
    if kinds[1] in _WIDE and kinds[0] in _FLOATING:
        # Spark compares them as doubles, of which one may stand for several labels.
        back = f"try_cast(cast(p as double) as {own.simpleString()})"
        return f"y = p and coalesce({back} = p, false)"
    if kinds == ("decimal", "decimal") and given != own:
        # Spark compares them in a common type, which may have fewer digits after the point.
        there, back = (f"try_cast({{}} as {kind.simpleString()})" for kind in (own, given))
        there = there.format("y")
        return f"coalesce({there} = p and {back.format(there)} = y, false)"
    return "y = p"


@refused_values()
def spark_ndcg(df: DataFrame, predicted: DataFrame, y: object, group: object) -> float:
    """Return the mean NDCG over the groups of a Spark DataFrame."""
    target, _, label = _parts(df, y, None)
    _require_alike(df, predicted, label, 0)
    name = named_column(df, group, "group")
    if name is None:
        raise ValueError(
            "score needs the groups. Pass the name of their column, as in "
            'score(df, "label", group="query"), or mark it: raydp_ml.set_roles(df, group="query").'
        )
    floating = df.schema[name].dataType.typeName() in _FLOATING
    missing = "g is null or isnan(g)" if floating else "g is null"
    gain = "pow(2.0D, cast(y as double)) - 1.0D"
    pairs = select(
        select(predicted, f"{target} AS y", f"{column_key(df, name)} AS g", f"{PREDICTION} AS p"),
        *("g", "y", "p", f"{gain} AS gain", f"{missing} AS missing"),
    )

    # Rows of one score share their places, as in scikit-learn: no order of the rows matters.
    shared = _discounted("avg(gain) over (partition by g, p)", "p")
    gains = select(
        pairs, "g", "y", "missing", f"{shared} AS d", f"{_discounted('gain', 'gain')} AS i"
    )
    sums = {
        "d": "sum(d)",
        "i": "sum(i)",
        "n": "count(1)",
        "nulls": "count_if(y is null)",
        "lost": "count_if(missing)",
    }
    # A group without a relevant row is ranked as well as can be, as XGBoost has it.
    means = {
        "n": "coalesce(sum(n), 0L)",
        "nulls": "coalesce(sum(nulls), 0L)",
        "lost": "coalesce(sum(lost), 0L)",
        "value": "avg(if(i > 0, d / i, 1.0D))",
    }
    rows, nulls, lost, mean = only_row(aggregate(aggregate(gains, ["g"], sums), [], means))
    check_complete(rows, nulls, label)
    if lost:
        raise SchemaError(
            f"The group column {name!r} holds {lost} missing of {rows} values. Give each row a "
            "group, or drop such rows."
        )
    return float(mean)


def _discounted(value: str, order: str) -> str:
    place = f"row_number() over (partition by g order by {order} desc)"
    return f"{value} / log2({place} + 1.0D)"


def ndcg(y: np.ndarray, scores: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the mean NDCG over groups, with the exponential gain.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Relevance of each row.
    scores : ndarray of shape (n,)
        What the rows are ranked by, highest first; rows of one score share their places.
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
        _, ties, counts = np.unique(-scores[ids == group], return_inverse=True, return_counts=True)
        shared = (np.bincount(ties, gains) / counts)[np.sort(ties)]
        best = (np.sort(gains)[::-1] * discounts).sum()
        values.append((shared * discounts).sum() / best if best > 0 else 1.0)
    return float(np.mean(values))
