"""Losses of probabilities, and how often the label is among the likeliest classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydp_ml.metrics._columns import Columns
from raydp_ml.metrics._jobs import Computation, Function, Options, Sums
from raydp_ml.metrics._labels import label_arrays, label_key, place
from raydp_ml.spark_jobs.expressions import number

__all__ = ["Labels", "brier_loss", "label_rows", "logarithmic_loss", "top_k_accuracy"]

Term = Callable[[Columns, str], str]
"""Gives the SQL of a row's loss, by that of the place of its class."""


@dataclass(frozen=True)
class Labels:
    """The labels that occur.

    Attributes
    ----------
    held : list
        As Spark gave them.
    values : ndarray
        As scikit-learn has them, in the same order.
    rows, weights : ndarray
        How many rows have them, and of which weight.
    low, high : float
        The range of all scores.
    excess : float
        By how much the scores of a row differ from a sum of one, at most.
    found : list of dict
        What else was asked for, for each label.
    """

    held: list[Any]
    values: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    low: float
    high: float
    excess: float
    found: list[dict[str, Any]]

    def probe(
        self,
        columns: Columns,
        function: Function,
        options: Options,
        *,
        bounded: bool = False,
    ) -> Any:
        """Let scikit-learn say what it has against labels and options, by few rows.

        What depends on the scores means nothing in the value that it returns.
        """
        twice = 1 + int(self.rows.sum() > 1)
        count = twice * len(self.values)
        scores = np.full(count, 0.5)
        if columns.width is not None:
            scores = np.full((count, columns.width), 1 / columns.width)
            scores[0, 0] += self.excess
        for end in (self.low, self.high) if bounded else ():
            if not 0 <= end <= 1:
                scores.flat[0] = end
        if columns.weight is not None:
            options = {**options, "sample_weight": np.tile(self.weights, twice)}
        return function(np.tile(self.values, twice), scores, **options)

    def places(self, labels: Sequence[Any] | None) -> list[int]:
        """Give the place of each label among the classes; -1 of those that are none of them."""
        classes = np.unique(np.asarray(self.values if labels is None else labels))
        order = {value: k for k, value in enumerate(classes.tolist())}
        return [order.get(value, -1) for value in self.values.tolist()]


def label_rows(columns: Columns, values: dict[str, str] | None = None) -> Computation:
    """Find the labels, with aggregates of the rows of each; returns `Labels`."""
    wide = columns.width is not None
    total = "aggregate(s, 0D, (a, x) -> a + x)"
    chosen = {
        "rows": "count(1)",
        "weight": columns.total,
        "low": f"min({'array_min(s)' if wide else columns.s})",
        "high": f"max({'array_max(s)' if wide else columns.s})",
        **(values or {}),
    }
    if wide:
        chosen |= {"least": f"min({total} - 1D)", "most": f"max({total} - 1D)"}
    groups = yield Sums((label_key("y", columns.label),), chosen)
    found = [values for _, values in groups]
    held = [key[0] for key, _ in groups]
    (labels,) = label_arrays(held)
    return Labels(
        held,
        labels,
        np.array([item["rows"] for item in found]),
        np.array([item["weight"] for item in found]),
        min(item["low"] for item in found),
        max(item["high"] for item in found),
        max((item[end] for item in found for end in ("least", "most") if wide), key=abs, default=0),
        found,
    )


def logarithmic_loss(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `log_loss` or `d2_log_loss_score`."""
    labels, loss = yield from _losses(columns, function, options, _log_term, _place_of_labels)
    if loss is None:
        return float("nan")
    if function.__name__ == "log_loss":
        return loss / labels.weights.sum() if options.get("normalize", True) else loss
    # Shares of classes are doubles, whatever the scores are.
    null, eps = labels.weights / labels.weights.sum(), np.finfo(float).eps
    clipped = np.clip(null, eps, 1 - eps)
    return float(1 - loss / -(labels.weights * np.log(clipped)).sum())


def brier_loss(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `brier_score_loss` or `d2_brier_score`."""
    of_label = _place_of_labels if columns.width is not None else _is_positive
    labels, loss = yield from _losses(columns, function, options, _brier_term, of_label)
    if loss is None:
        return float("nan")
    weight = labels.weights.sum()
    if function.__name__ == "brier_score_loss":
        halved = options.get("scale_by_half", "auto")
        if halved == "auto":
            halved = columns.width is None or columns.width < 3
        return loss / weight * (0.5 if halved else 1.0)
    null = labels.weights / weight
    if columns.width is None:
        # No row may be of the class that is the positive one.
        share = null[np.array(of_label(labels, options)) == 1].sum()
        null = np.array([share, 1 - share])
    # The sum over the classes of share * ((1 - share)^2 + the squares of the other shares).
    return float(1 - loss / (weight * (null * (1 - null)).sum()))


def _log_term(columns: Columns, at: str) -> str:
    low, high = number(columns.eps), number(1 - columns.eps)
    return f"-ln(least(greatest({_probability(columns, at)}, {low}), {high}))"


def _brier_term(columns: Columns, at: str) -> str:
    if columns.width is None:
        return f"2D * pow(1D - {_probability(columns, at)}, 2D)"
    squares = f"transform(s, (x, i) -> pow(if(i = {at}, 1D, 0D) - x, 2D))"
    return f"aggregate({squares}, 0D, (a, x) -> a + x)"


def _probability(columns: Columns, at: str) -> str:
    if columns.width is None:
        return columns.s if at == "1" else f"(1D - {columns.s})"
    return f"get(s, {at})"


def _losses(
    columns: Columns,
    function: Function,
    options: Options,
    term: Term,
    of_label: Callable[[Labels, dict[str, Any]], list[int]],
) -> Computation:
    """Sum a loss; returns the labels and the sum, None where there are too few rows for one."""
    # Two classes need not be known to sum both of their losses, which spares a job.
    two = columns.width in {None, 2}
    sums = {f"loss{k}": f"sum({columns.w} * {term(columns, str(k))})" for k in (0, 1)}
    labels = yield from label_rows(columns, sums if two else {})
    if _too_few(labels, columns, function, options):
        return labels, None
    places = of_label(labels, options)
    if two:
        pairs = zip(labels.found, places, strict=True)
        return labels, sum(item[f"loss{at}"] for item, at in pairs)
    loss = term(columns, place(labels.held, places))
    ((_, found),) = yield Sums((), {"loss": f"sum({columns.w} * {loss})"})
    return labels, found["loss"]


def _too_few(labels: Labels, columns: Columns, function: Function, options: Options) -> bool:
    value = labels.probe(columns, function, options, bounded=True)
    return labels.rows.sum() < 2 and isinstance(value, float) and value != value


def _place_of_labels(labels: Labels, options: Options) -> list[int]:
    return labels.places(options.get("labels"))


def _is_positive(labels: Labels, options: Options) -> list[int]:
    values, positive = labels.values.tolist(), options.get("pos_label")
    if positive is None:
        positive = 1 if set(values) <= {0, 1} or set(values) <= {-1, 1} else max(values)
    return [int(value == positive) for value in values]


def top_k_accuracy(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `top_k_accuracy_score`."""
    labels = yield from label_rows(columns)
    if columns.width == 2 and options.get("labels") is None:
        columns = columns.of_class(1)
    labels.probe(columns, function, options)
    k, places = options.get("k", 2), labels.places(options.get("labels"))
    at = place(labels.held, places)
    if columns.width is None:
        threshold = 0.5 if labels.low >= 0 and labels.high <= 1 else 0.0
        hit = f"if({columns.s} > {number(threshold)}, 1, 0) = {at}" if k == 1 else "true"
    else:
        # Of equal scores, the last comes first.
        ahead = f"(x, i) -> x > get(s, {at}) or (x = get(s, {at}) and i > {at})"
        hit = f"size(filter(s, {ahead})) < {k}"
    ((_, found),) = yield Sums((), {"hits": f"sum(if({hit}, {columns.w}, 0D))"})
    hits = float(found["hits"])
    return hits / labels.weights.sum() if options.get("normalize", True) else hits
