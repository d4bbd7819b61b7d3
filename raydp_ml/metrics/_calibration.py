"""How often the label is positive, by the probability that was predicted."""

from __future__ import annotations

import numpy as np

from raydp_ml.metrics._columns import Columns
from raydp_ml.metrics._jobs import Computation, Function, Options, Sums, Task
from raydp_ml.metrics._labels import among
from raydp_ml.metrics._probabilities import label_rows
from raydp_ml.metrics._ranking import held_labels, place_of
from raydp_ml.spark_jobs.expressions import position
from raydp_ml.spark_jobs.quantiles import quantiles

__all__ = ["calibration"]


def calibration(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `calibration_curve`."""
    labels = yield from label_rows(columns)
    positive = 1 if options.get("pos_label") is None else options["pos_label"]
    if columns.width == 2:
        columns = columns.of_class(place_of(positive, labels))
    labels.probe(columns, function, options, bounded=True)
    count = options.get("n_bins", 5)
    edges = np.linspace(0.0, 1.0, count + 1)
    if options.get("strategy", "uniform") == "quantile":
        rows = np.array([labels.rows.sum()])
        # scikit-learn asks for percentiles: the rounding decides which bin an edge belongs to.
        levels = edges * 100 / 100
        edges = yield Task(
            lambda df: quantiles(df, ["s"], rows, [levels], values=[columns.s])[0],
        )
    # An edge belongs to the bin below it, so that edges and scores are counted from the other end.
    inner = -edges[1:-1][::-1]
    key = f"{len(inner)} - {position(f'(- {columns.s})', inner)}"
    hits = f"sum(if({among(held_labels(labels, positive))}, 1L, 0L))"
    groups = yield Sums(
        (key,), {"rows": "count(1)", "hits": hits, "probability": f"sum({columns.s})"}
    )
    found = [values for _, values in sorted(groups, key=lambda group: group[0])]
    rows = np.array([item["rows"] for item in found])
    sums = [np.array([item[name] for item in found]) for name in ("hits", "probability")]
    return sums[0] / rows, sums[1] / rows
