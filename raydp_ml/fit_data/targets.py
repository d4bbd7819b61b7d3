"""Checks of the arrays that are given beside X: labels, weights, groups."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, _num_samples

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.classes import exact_values, holds_decimals
from raydp_ml.training.rows.reports import singles

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from raydp_ml.exchange.data_kinds import Data, Values


def check_labels(
    y: Values | None, X: Data, task: str, several: bool = False, bounds: bool = False
) -> np.ndarray:
    """Check labels with scikit-learn's rules.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_targets)
    X : array or frame of n rows
    task : {"regression", "classification", "ranking"}
    several : bool
        Whether a row may have several labels, each of them 0 or 1.
    bounds : bool
        Whether a label may be infinite.

    Returns
    -------
    ndarray
        Of numbers, or of the classes.

    Raises
    ------
    ValueError
        As scikit-learn does for NaN, infinity, and targets of the wrong kind.
    SchemaError
        For times and durations, which are no labels in Spark either: they would be predicted there
        as texts of nanoseconds.
    """
    given: Any = plain_labels(y)
    shape: tuple[int, ...] = ()
    if several and task == "classification":
        shape = np.shape(given) if isinstance(given, list) else getattr(given, "shape", ())
    _refuse_times(given)
    labels: np.ndarray
    if len(shape) == 2 and shape[1] > 1:
        kind = type_of_target(given, input_name="y")
        if kind != "multilabel-indicator":
            raise ValueError(
                f"Unknown label type: {kind}. A y of several columns says with 0 and 1 which "
                "labels a row has; of several classes, fit one classifier for each column."
            )
        dense = given.toarray() if issparse(given) else given
        labels = np.asarray(dense, dtype=np.float64)
    elif task == "classification":
        labels = column_or_1d(given, warn=True)
        assert_all_finite(labels, input_name="y", estimator_name="XGBClassifier")
        labels = exact_values(labels)
        if not holds_decimals(labels):
            check_classification_targets(labels)
    else:
        if task == "ranking":
            given = column_or_1d(given, warn=True)
        labels = check_array(
            given, ensure_2d=False, dtype=np.float64, input_name="y", ensure_all_finite=not bounds
        )
    check_consistent_length(X, labels)
    return labels


def plain_labels(values: Any) -> Any:
    """Return a column of Arrow, polars or pandas so that scikit-learn leaves its values exact."""
    module = type(values).__module__
    if module.startswith("pyarrow"):
        import pyarrow as pa

        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        chunked = isinstance(values, pa.ChunkedArray)
        return values.to_numpy() if chunked else values.to_numpy(zero_copy_only=False)
    if module.startswith("polars"):
        return values.to_numpy()
    if module.startswith("pandas") and hasattr(values, "isna"):
        return _of_numpy(values)
    return values


def _refuse_times(given: Any) -> None:
    of_frame = getattr(given, "ndim", 1) == 2 and hasattr(given, "dtypes")
    held = np.asarray(given)
    times = {
        str(kind) for kind in (given.dtypes if of_frame else [held.dtype]) if kind.kind in "mM"
    }
    if held.dtype == object and held.ndim == 1:  # as NumPy has times of a zone
        first = held[:1].tolist()
        times |= {type(x).__name__ for x in first if isinstance(x, (date, timedelta))}
    if times:
        raise SchemaError(
            f"The labels are of type {', '.join(sorted(times))}, and must be numbers or strings. "
            "Cast them first, for example by y.astype(str)."
        )


def _of_numpy(values: Any) -> Any:
    """Turn pandas' own integers and Arrow's into NumPy's, where scikit-learn makes doubles."""
    columns = values.dtypes.to_dict() if values.ndim == 2 else {None: values.dtype}
    plain = {name: getattr(kind, "numpy_dtype", None) for name, kind in columns.items()}
    plain = {name: kind for name, kind in plain.items() if kind is not None and kind.kind in "iubO"}
    # With missing values it is left to scikit-learn to refuse them.
    if not plain or np.any(values.isna()):
        return values
    return values.astype(plain if values.ndim == 2 else plain[None])


def check_weights(weights: Values, X: Data, group: Values | None) -> np.ndarray:
    """Check weights of rows, or of groups (for ranking).

    Returns
    -------
    ndarray of shape (n,), float64
    """
    weights = plain_labels(weights)
    if isinstance(group, np.ndarray) and _num_samples(weights) != _num_samples(X):
        _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
        if _num_samples(weights) == len(first):
            # Weights come in the order in which the groups do.
            order = np.argsort(np.argsort(first))
            weights = np.asarray(weights, dtype=np.float64)[order][inverse]
    rows = np.empty((_num_samples(X), 0))
    return _check_sample_weight(weights, rows, dtype=np.float64, ensure_non_negative=True)


def check_margins(margins: Values, X: Data) -> np.ndarray:
    """Check where the boosting of each row begins.

    Returns
    -------
    ndarray of shape (n,) or (n, n_outputs), float64

    Raises
    ------
    SchemaError
        For numbers beyond single precision, which are infinite to XGBoost.
    """
    found: np.ndarray = check_array(
        plain_labels(margins), ensure_2d=False, dtype=np.float64, input_name="base_margin"
    )
    check_consistent_length(X, found)
    if beyond := int(np.isinf(singles(found)).sum()):
        raise SchemaError(
            f"The base margins hold {beyond} numbers beyond single precision of {found.size} "
            "values. They must be finite numbers: fix or drop such rows."
        )
    return found.ravel() if found.ndim == 2 and found.shape[1] == 1 else found


def check_group(group: Values | None, X: Data) -> np.ndarray:
    """Check the groups of rows: one id for each row.

    Returns
    -------
    ndarray of shape (n,)
    """
    groups = column_or_1d(plain_labels(group))
    check_consistent_length(X, groups)
    missing = int(np.sum(pd.isna(groups)))
    if missing:
        raise SchemaError(
            f"The groups hold {missing} missing of {len(groups)} values. Give each row a group, or "
            "drop such rows."
        )
    return groups


def groups_of_sizes(sizes: ArrayLike, rows: int) -> np.ndarray:
    """Turn the sizes of consecutive groups into one group id for each row.

    Raises
    ------
    ValueError
        Where they are no sizes, or do not add up to `rows`.
    """
    given = column_or_1d(np.asarray(sizes))
    is_count = given.dtype.kind in "iuf" and bool(np.all((given >= 0) & (given == given // 1)))
    if not is_count or sum(map(int, given)) != rows:
        raise ValueError(
            f"group must be the sizes of consecutive groups, which add up to the {rows} rows of X, "
            f"and starts with {given[:5].tolist()}. The group of each row is qid."
        )
    return np.repeat(np.arange(len(given)), given.astype(np.int64))
