"""Scores of a classifier at thresholds: two jobs for the test rows of all splits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.models.wrapped import last_step, writing_to
from raydp_ml.spark_jobs.expressions import position
from raydp_ml.spark_jobs.scores import weight_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SCORES = "__raydp_ml_threshold_scores"


def split_scores(
    df: DataFrame, fitted: Any, label: str, weight: str | None, place: int
) -> DataFrame:
    """Return rows of the label ``y``, the probability ``s`` of one class, and the weight ``w``."""
    made = writing_to(fitted, "probability_col", _SCORES).predict_proba(df)
    w = "1.0D" if weight is None else weight_text(made, weight)
    score = f"element_at({_SCORES}, {place + 1})"
    return select(made, f"{quoted(label)} AS y", f"{score} AS s", f"{w} AS w")


def scored(
    splits: Sequence[DataFrame],
    fitted: Any,
    place: int,
    thresholds: Any,
    scorer: Any,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Score the test rows of each split at each threshold.

    Parameters
    ----------
    splits : sequence of DataFrame
        See `split_scores`.
    fitted : fitted estimator
        Any of those of the splits, which knows the classes.
    place : int
        Of the positive class.
    thresholds : int or array-like
        Their number, evenly from the least to the greatest score of each split; or themselves.
    scorer : sklearn.metrics._scorer._BaseScorer
        Its metric takes weights.

    Returns
    -------
    thresholds, scores : list of ndarray
        For each split.
    """
    numbered = [select(df, "*", f"{split} AS i") for split, df in enumerate(splits)]
    rows = reduce(lambda one, other: one.unionAll(other), numbered)
    if isinstance(thresholds, Integral):
        ends = {i: (low, high) for i, low, high in _ends(rows)}
        if len(ends) < len(splits):
            raise SchemaError(f"A split has no rows to test on: one of the {len(splits)} folds.")
        every = [np.linspace(*ends[split], int(thresholds)) for split in range(len(splits))]
    else:
        every = [np.asarray(thresholds, dtype=float)] * len(splits)
    counted = [
        select(df, "i", "y", "w", f"{position('s', np.unique(every[split]))} AS reached")
        for split, df in enumerate(numbered)
    ]
    cells = reduce(lambda one, other: one.unionAll(other), counted)
    sums = {"n": "count(1)", "weight": "sum(w)"}
    classes = last_step(fitted)._class_array().to_pylist()
    found: list[list[tuple[int, int, float]]] = [[] for _ in splits]
    for i, y, reached, _, weight in aggregate(cells, ["i", "y", "reached"], sums).collect():
        if y not in classes:
            raise SchemaError(
                f"The label holds {y!r}, and the classes of the estimator are {classes}. Drop such "
                "rows."
            )
        found[i].append((classes.index(y), reached, weight))
    return every, [
        _scores(np.array(held).T, each, fitted.classes_, place, scorer)
        for held, each in zip(found, every, strict=True)
    ]


def _ends(rows: DataFrame) -> list[Any]:
    return aggregate(rows, ["i"], {"low": "min(s)", "high": "max(s)"}).collect()


def _scores(
    cells: np.ndarray, thresholds: np.ndarray, classes: np.ndarray, place: int, scorer: Any
) -> np.ndarray:
    """Let the scorer see one row for each class and interval of thresholds, with their weight."""
    labels, reached, weights = cells
    y = classes[labels.astype(int)]
    # How many of the distinct thresholds, ascending, are at most this one.
    ranks = np.searchsorted(np.unique(thresholds), thresholds, side="right")
    values = []
    for rank in ranks:
        predicted = classes[np.where(reached >= rank, place, 1 - place)]
        value = scorer._score_func(y, predicted, sample_weight=weights, **scorer._kwargs)
        values.append(scorer._sign * value)
    return np.array(values)
