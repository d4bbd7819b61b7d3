"""What each feature adds to a booster's output, as XGBoost computes it, in memory and in Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.models.predictor import list_array
from raydp_ml.xgboost.output import best_rounds, finite, is_linear
from raydp_ml.xgboost.predict import OfBooster, features_of_rows

if TYPE_CHECKING:
    import xgboost
    from scipy.sparse import csr_array


def contributions(
    booster: xgboost.Booster,
    data: np.ndarray | csr_array | pa.Table,
    missing: float,
    interactions: bool = False,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Explain the best rounds of a booster.

    Parameters
    ----------
    booster : xgboost.Booster
    data : ndarray, CSR matrix or pyarrow.Table of n rows
    missing : float
    interactions : bool, default=False
    n_jobs : int or None, default=None
        Threads that read the data.

    Returns
    -------
    ndarray of shape (n, n_features + 1) or (n, n_outputs, n_features + 1), dtype float32
        With one more axis of n_features + 1 for interactions.

    Raises
    ------
    InvalidParameterError
        For trees with several outputs.
    """
    import xgboost

    if interactions and is_linear(booster):
        # XGBoost fails there: it holds room for other features than it returns.
        alone = contributions(booster, data, missing, n_jobs=n_jobs)
        return alone[..., None] * np.eye(alone.shape[-1], dtype=alone.dtype)
    matrix = xgboost.DMatrix(
        finite(data, missing), missing=missing, enable_categorical=True, nthread=n_jobs
    )
    try:
        return booster.predict(
            matrix,
            iteration_range=best_rounds(booster),
            pred_contribs=not interactions,
            pred_interactions=interactions,
            validate_features=False,
        )
    except xgboost.core.XGBoostError as error:
        if "multi-target" not in str(error):
            raise
    raise InvalidParameterError(
        "XGBoost cannot explain trees with several outputs. Fit with "
        "multi_strategy='one_output_per_tree' instead of 'multi_output_tree'."
    )


@dataclass(frozen=True)
class BoosterExplainer(OfBooster):
    """All that a Spark task needs besides the booster.

    Attributes
    ----------
    missing : float
    depth : int
        How deep the lists of a row are.
    """

    missing: float
    depth: int

    def compute(self, model: xgboost.Booster, rows: pa.StructArray) -> np.ndarray:
        """Return contributions or, for the output "interactions", those."""
        data = features_of_rows(rows, self.layout)
        return contributions(model, data, self.missing, self.output == "interactions", n_jobs=1)

    def predict(self, model: xgboost.Booster, rows: pa.StructArray) -> pa.Array:
        """Explain a batch of n rows, given as structs of the features."""
        return list_array(self.compute(model, rows)) if len(rows) else self.empty()

    def empty(self) -> pa.Array:
        """Return the explanation of no rows."""
        kind = pa.float64()
        for _ in range(self.depth):
            kind = pa.list_(kind)
        return pa.array([], kind)
