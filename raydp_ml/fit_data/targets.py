"""Checks of the arrays that are given beside X: labels, weights, groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, _num_samples

from raydp_ml.exceptions import SchemaError


def check_labels(y: Any, X: Any, task: str) -> np.ndarray:
    """Check labels with scikit-learn's rules.

    Parameters
    ----------
    y : array-like of shape (n,) or, for a regression, (n, n_targets)
    X : array or frame of n rows
    task : {"regression", "classification", "ranking"}

    Returns
    -------
    ndarray
        Of numbers, or of the classes.

    Raises
    ------
    ValueError
        As scikit-learn does for NaN, infinity, and targets of the wrong kind.
    """
    y = _plain(y)
    if task == "classification":
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y", estimator_name="XGBClassifier")
        check_classification_targets(labels)
    else:
        if task == "ranking":
            y = column_or_1d(y, warn=True)
        labels = check_array(
            y, ensure_2d=False, dtype=np.float64, input_name="y", ensure_all_finite=True
        )
    check_consistent_length(X, labels)
    return labels


def _plain(values: Any) -> Any:
    """Return an Arrow or polars column as an array."""
    return (
        values.to_numpy() if type(values).__module__.startswith(("pyarrow", "polars")) else values
    )


def encode_labels(y: np.ndarray, labels: np.ndarray | None, what: str) -> np.ndarray:
    """Return the positions of labels among those of the training data.

    Raises
    ------
    SchemaError
        If one is not among them.
    """
    assert labels is not None
    unknown = np.setdiff1d(y, labels)
    if len(unknown):
        raise SchemaError(
            f"The {what} holds labels that the training data has not: {unknown[:10].tolist()} (it "
            f"has {labels[:10].tolist()}). Drop such rows, or train on some of them."
        )
    return np.searchsorted(labels, y)


def check_weights(weights: Any, X: Any, group: Any) -> np.ndarray:
    """Check weights of rows, or of groups (for ranking).

    Returns
    -------
    ndarray of shape (n,), float64
    """
    weights = _plain(weights)
    if isinstance(group, np.ndarray) and _num_samples(weights) != _num_samples(X):
        _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
        if _num_samples(weights) == len(first):
            # Weights come in the order in which the groups do.
            order = np.argsort(np.argsort(first))
            weights = np.asarray(weights, dtype=np.float64)[order][inverse]
    rows = np.empty((_num_samples(X), 0))
    return _check_sample_weight(weights, rows, dtype=np.float64, ensure_non_negative=True)


def check_group(group: Any, X: Any) -> np.ndarray:
    """Check the groups of rows: one id for each row.

    Returns
    -------
    ndarray of shape (n,)
    """
    groups = column_or_1d(_plain(group))
    check_consistent_length(X, groups)
    return groups


def groups_of_sizes(sizes: Any) -> np.ndarray:
    """Turn the sizes of consecutive groups into one group id for each row."""
    counts = column_or_1d(np.asarray(sizes))
    return np.repeat(np.arange(len(counts)), counts)
