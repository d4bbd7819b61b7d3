"""Metrics of classes: scikit-learn's own, of a row for each pair of label and predicted class."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from raydp_ml.metrics._columns import Columns
from raydp_ml.metrics._jobs import Computation, Function, Options, Sums
from raydp_ml.metrics._labels import label_arrays, label_key

__all__ = ["cell_rows", "from_cells", "from_cells_with_counts"]


def cell_rows(columns: Columns) -> Computation:
    """Find the pairs of label and predicted class, with the number or the weight of their rows.

    Returns
    -------
    (ndarray, ndarray, ndarray)
        Labels, predicted classes, weights (integers where the rows have none).
    """
    assert columns.prediction is not None
    keys = label_key("y", columns.label), label_key("p", columns.prediction)
    groups = yield Sums(keys, {"n": columns.total})
    y, p = label_arrays(*zip(*(key for key, _ in groups), strict=True))
    return y, p, np.array([found["n"] for _, found in groups])


def from_cells(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute a function of the confusion matrix."""
    cells = yield from cell_rows(columns)
    return _of_cells(cells, function, options)


def _of_cells(cells: tuple[Any, Any, Any], function: Function, options: Options) -> Any:
    y, p, weights = cells
    return function(y, p, sample_weight=weights, **options)


def from_cells_with_counts(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute a function that returns numbers of rows too.

    Weighted, they are doubles, and where no prediction is right, as in scikit-learn.
    """
    cells = yield from cell_rows(columns)
    made = _of_cells(cells, function, options)
    if columns.weight is not None or not np.any(cells[0] == cells[1]):
        return made
    if isinstance(made, str):
        # The last column of a report.
        return re.sub(r"(\d+)\.0$", lambda m: f"{m[1]:>{len(m[0])}}", made, flags=re.MULTILINE)
    if isinstance(made, tuple):
        return tuple(_whole(item) if i == 3 else item for i, item in enumerate(made))
    return _whole(made)


def _whole(item: Any) -> Any:
    return item.astype(np.int64) if isinstance(item, np.ndarray) else item
