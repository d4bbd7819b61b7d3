"""Metrics of the order of scores: areas, and curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.metrics._columns import Columns
from raydp_ml.metrics._jobs import Computation, Function, Options, Ranking
from raydp_ml.metrics._labels import among
from raydp_ml.metrics._probabilities import Labels, label_rows
from raydp_ml.spark_jobs.ranked import Problem, Ranked

__all__ = [
    "MAX_POINTS",
    "area",
    "average_precision",
    "curve",
    "curve_and_areas",
    "held_labels",
    "place_of",
    "precision",
    "roc_auc",
]

MAX_POINTS = 100_000
_Value = Callable[[Ranked], float]


def roc_auc(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `roc_auc_score`."""
    labels = yield from _ranked_labels(columns)
    if columns.width == 2 and len(labels.values) <= 2 and options.get("labels") is None:
        columns = columns.of_class(1)
    value = labels.probe(columns, function, options)
    limit = options.get("max_fpr") or 1.0
    if columns.width is None:
        if math.isnan(value):
            return value
        _, positive = max(zip(labels.values.tolist(), labels.held, strict=True))
        found = yield Ranking((_problem(columns, [positive], max_fpr=limit),))
        return _partial_area(found[0], limit)
    classes = _by_class(labels, columns.width, options.get("labels"))
    average = options.get("average", "macro")
    if options["multi_class"] == "ovo":
        return (yield from _one_vs_one(columns, labels, classes, average == "weighted"))
    return (yield from _one_vs_rest(columns, labels, classes, average, area))


def average_precision(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `average_precision_score`."""
    labels = yield from _ranked_labels(columns)
    positive = options.get("pos_label", 1)
    if columns.width == 2 and len(labels.values) <= 2:
        columns = columns.of_class(place_of(positive, labels))
    labels.probe(columns, function, options)
    if columns.width is None:
        held = held_labels(labels, positive)
        found = yield Ranking((_problem(columns, held),))
        return precision(found[0])
    classes = _by_class(labels, columns.width, None)
    average = options.get("average", "macro")
    return (yield from _one_vs_rest(columns, labels, classes, average, precision))


def curve(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `roc_curve`, `precision_recall_curve` or `det_curve`."""
    points, _, _ = yield from curve_and_areas(columns, function, options)
    return points


def curve_and_areas(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute a curve.

    Returns
    -------
    points : tuple of ndarray
        As scikit-learn's function returns them.
    found : Ranked
        Of all scores, however few of them the points are.
    share : float
        How many of the rows are positive.
    """
    options = dict(options)
    most = options.pop("max_points", MAX_POINTS)
    if not isinstance(most, int) or most < 1:
        raise ValueError(f"max_points must be a whole number of at least 1. Got {most!r} instead.")
    labels = yield from _ranked_labels(columns)
    positive = 1 if options.get("pos_label") is None else options["pos_label"]
    if columns.width == 2:
        columns = columns.of_class(place_of(positive, labels))
    labels.probe(columns, function, options)
    held = held_labels(labels, positive)
    (found,) = yield Ranking((_problem(columns, held, points=most),))
    if found.distinct > most:
        warnings.warn(
            f"{function.__name__} was given {found.distinct} distinct scores: its points, each of "
            f"them exact, are those of {len(found.curve)} of these. Raise max_points={most} for "
            "more.",
            stacklevel=2,
        )
    rows = dict(zip(labels.held, labels.rows.tolist(), strict=True))
    share = sum(rows[label] for label in held) / sum(rows.values())
    options.pop("pos_label", None)
    classes = [1] * bool(held) + [0] * (len(held) < len(labels.held))
    return _drawn(found, classes, function, options), found, share


def _drawn(found: Ranked, classes: list[int], function: Function, options: Options) -> Any:
    """Give scikit-learn a positive and a negative row of each score."""
    scores, *passed = found.curve.T
    steps = [np.diff(upto, prepend=0.0) for upto in passed]
    # A class may occur without weight, and then counts as one that is there.
    y = np.concatenate([np.repeat([1, 0], len(scores)), classes])
    weights = np.concatenate([*steps, np.zeros(len(classes))])
    values = np.concatenate([scores, scores, np.full(len(classes), scores[0])])
    held = (weights != 0) | (np.arange(len(y)) >= 2 * len(scores))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They have been given already, by the labels.
        return function(y[held], values[held], sample_weight=weights[held], pos_label=1, **options)


def _ranked_labels(columns: Columns) -> Computation:
    lowest = {} if columns.weight is None else {"lowest": "min(w)"}
    labels = yield from label_rows(columns, lowest)
    if columns.weight is not None and min(item["lowest"] for item in labels.found) < 0:
        raise SchemaError(
            f"The sample_weight {columns.weight.name!r} holds negative values, and there is no "
            "curve of such rows. Drop them, or pass weights of at least 0."
        )
    return labels


def _problem(
    columns: Columns, held: Sequence[Any], *, max_fpr: float = 1.0, points: int = 0
) -> Problem:
    return Problem(((columns.s, among(held)),), columns.w, max_fpr, points)


def held_labels(labels: Labels, positive: Any) -> list[Any]:
    values = zip(labels.held, labels.values.tolist(), strict=True)
    return [held for held, value in values if value == positive]


def place_of(positive: Any, labels: Labels) -> int:
    """Say which of two scores is that of the positive class: the classes are sorted.

    Raises
    ------
    SchemaError
        Where all rows are of that class, and the other one is not known.
    """
    values = labels.values.tolist()
    if len(values) != 1:
        return 0 if len(values) == 2 and positive == min(values) else 1
    (only,) = values
    if positive == only:
        if isinstance(only, bool) or only == 1:  # the other one is False, True, 0 or -1
            return int(only)
        raise SchemaError(
            f"All rows are of the class {only!r}, and which of the two scores is its own cannot "
            "be told. Pass a column of the one score, such as get(probability, 1), as y_score."
        )
    # Another type than the labels' is scikit-learn's to refuse.
    return 0 if isinstance(positive, type(only)) and positive < only else 1


def _by_class(labels: Labels, width: int, given: Sequence[Any] | None) -> list[list[Any]]:
    """List the labels, as Spark gave them, of each class."""
    classes: list[list[Any]] = [[] for _ in range(width)]
    for held, at in zip(labels.held, labels.places(given), strict=True):
        classes[at].append(held)
    return classes


def area(found: Ranked) -> float:
    """Return the area under the ROC curve."""
    total = found.positive * found.negative
    return found.area / total if total else math.nan


def precision(found: Ranked) -> float:
    """Return the average precision."""
    return found.precision / found.positive if found.positive else 0.0


def _partial_area(found: Ranked, limit: float) -> float:
    if limit == 1.0:
        return area(found)
    # McClish (1989), "Analyzing a portion of the ROC curve".
    passed = found.partial / (found.positive * found.negative)
    least = 0.5 * limit**2
    return 0.5 * (1 + (passed - least) / (limit - least))


def _one_vs_rest(
    columns: Columns, labels: Labels, classes: list[list[Any]], average: str | None, value: _Value
) -> Computation:
    entries = tuple((f"get(s, {k})", among(held)) for k, held in enumerate(classes))
    if average == "micro":
        (found,) = yield Ranking((Problem(entries, columns.w),))
        return value(found)
    found = yield Ranking(tuple(Problem((entry,), columns.w) for entry in entries))
    values = np.array([value(item) for item in found])
    if average is None:
        return values
    if average != "weighted":
        return float(np.mean(values))
    weight = dict(zip(labels.held, labels.weights, strict=True))
    weights = np.array([sum(weight[label] for label in held) for held in classes], dtype=float)
    if np.isclose(weights.sum(), 0):
        return 0
    values[weights == 0] = 0
    return float(np.average(values, weights=weights))


def _one_vs_one(
    columns: Columns, labels: Labels, classes: list[list[Any]], weighted: bool
) -> Computation:
    """Average over pairs of classes, of which each is the positive one once (Hand, Till, 2001)."""
    present = [k for k, held in enumerate(classes) if held]
    pairs = list(combinations(present, 2))
    problems = []
    for one, other in pairs:
        for a, b in ((one, other), (other, one)):
            both = among([*classes[a], *classes[b]])
            positive = f"if({both}, {among(classes[a])}, null)"
            problems.append(Problem(((f"get(s, {a})", positive),), columns.w))
    found = yield Ranking(tuple(problems))
    areas = np.array([area(item) for item in found]).reshape(-1, 2).mean(axis=1)
    rows = dict(zip(labels.held, labels.rows, strict=True))
    shares = [sum(rows[label] for k in pair for label in classes[k]) for pair in pairs]
    return float(np.average(areas, weights=shares if weighted else None))
