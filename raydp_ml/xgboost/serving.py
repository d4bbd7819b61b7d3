"""The short way of plain rows in memory to the booster, for one row at a time.

scikit-learn's checks and Arrow's conversions take longer than the trees. Here the same rows pass
that those would pass, and come out as the same numbers; whatever is not plain goes the long way,
which also has the words for what is wrong.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.training.rows.layout import Feature

if TYPE_CHECKING:
    import pandas as pd
    import xgboost
    from sklearn.base import BaseEstimator

    from raydp_ml.exchange.data_kinds import Data

# Numbers up to which a copy costs less than the long way; 64 MiB.
_MOST_NUMBERS = 1 << 24
_codes: weakref.WeakKeyDictionary[xgboost.Booster, dict[str, dict[str, int]]] = (
    weakref.WeakKeyDictionary()
)


def plain_rows(model: BaseEstimator, X: Data) -> np.ndarray | None:
    """Return the features of plain rows as XGBoost takes them.

    Parameters
    ----------
    model : XGBModel
    X : object
        What ``predict`` was given.

    Returns
    -------
    ndarray of shape (n_samples, n_features), or None
        None for all that the long way must look at: a model that is not fitted, other shapes,
        names and types, infinite values.
    """
    if "_Booster" not in vars(model):
        return None
    matrix = None
    if type(X) is np.ndarray:
        matrix = _array(model, X)
    elif type(X).__name__ == "DataFrame" and type(X).__module__.partition(".")[0] == "pandas":
        matrix = _frame(model, X)
    if matrix is None or (matrix.dtype.kind == "f" and np.isinf(matrix).any()):
        return None
    return matrix


def _is_number(dtype: object) -> bool:
    return (
        isinstance(dtype, np.dtype)
        and dtype.isnative
        and (dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8)))
    )


def _array(model: BaseEstimator, X: np.ndarray) -> np.ndarray | None:
    if hasattr(model, "feature_names_in_") or X.ndim != 2 or not _is_number(X.dtype):
        return None
    if len(X) == 0 or X.shape[1] != model.n_features_in_ or X.size > _MOST_NUMBERS:
        return None
    return X


def _frame(model: BaseEstimator, X: pd.DataFrame) -> np.ndarray | None:
    layout = model._layout
    if not layout.named or X.empty or X.size > _MOST_NUMBERS:
        return None
    names = [feature.name for feature in layout.features]
    columns = X.columns.tolist()
    if columns != names:
        if [name for name in columns if name not in model._set_aside] != names:
            return None
        X = X[names]
    kinds = {feature.kind for feature in layout.features}
    dtypes = set(X.dtypes.tolist())
    if kinds == {"number"} and len(dtypes) == 1 and _is_number(next(iter(dtypes))):
        return X.to_numpy()
    # The codes of categories must not be taken for the number that stands for a missing one.
    if not kinds <= {"number", "category"} or (
        "category" in kinds and model.missing == model.missing
    ):
        return None
    matrix = np.empty(X.shape, dtype=np.float32)
    with np.errstate(over="ignore"):
        for place, feature in enumerate(layout.features):
            values = X[feature.name]
            if feature.kind == "category":
                found = _codes_of(model, feature, values.to_numpy())
            else:
                # Rounded once, each from its own type, as XGBoost does.
                plain = _is_number(values.dtype) or values.dtype == np.bool_
                found = values.to_numpy() if plain else None
            if found is None:
                return None
            matrix[:, place] = found
    return matrix


def _codes_of(model: BaseEstimator, feature: Feature, values: np.ndarray) -> list[float] | None:
    """Return the places of strings in a feature's dictionary, NaN for missing and unknown ones."""
    known = _codes.setdefault(model._Booster, {})
    if feature.name not in known:
        known[feature.name] = {value: code for code, value in enumerate(feature.categories or ())}
    codes, found = known[feature.name], []
    for value in values.tolist():
        if isinstance(value, str):
            found.append(codes.get(value, np.nan))
        elif value is None or value != value:
            found.append(np.nan)
        else:
            return None
    return found
