"""How XGBoost's own objects read a sparse matrix, when the model was fitted on Spark's vectors."""

from __future__ import annotations

import json
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.training.rows.layout import Layout
from raydp_ml.xgboost.boosted_trees import boosted_trees

if TYPE_CHECKING:
    import xgboost


def model_that_reads_sparse(booster: xgboost.Booster, layout: Layout, missing: float) -> bytearray:
    """Save a booster such that to it, what a sparse matrix does not hold is zero, if it can be.

    XGBoost sends what is missing the way that each split has learnt. A split on a feature that was
    never missing has learnt none, and can send it where zero goes.

    Parameters
    ----------
    booster : xgboost.Booster
    layout : Layout
        Of what it was fitted on. Without vectors, nothing is changed.
    missing : float
        The value that stands for a missing one.

    Returns
    -------
    bytearray
        As ``load_model`` takes it. Warns of features that were missing in training.
    """
    # Where zero is missing itself, it makes no difference what stands for it.
    if not layout.has_vectors or missing == 0:
        return bytearray(booster.save_raw("ubj"))
    model = json.loads(booster.save_raw("json"))
    boosted = boosted_trees(model["learner"])
    if boosted is None:
        return bytearray(booster.save_raw("ubj"))
    unclear = [item.name for item in layout.features if item.missing or not math.isnan(missing)]
    if unclear:
        warnings.warn(
            f"The features {unclear} were fitted with missing values. To XGBoost's own object, "
            "what a sparse matrix does not hold is missing in them, and to this estimator it is "
            "zero: give that object dense rows.",
            UserWarning,
            stacklevel=3,
        )
    clear = np.array([item.name not in unclear for item in layout.features for _ in item.names])
    for tree in boosted.model["trees"]:
        numeric = np.array(tree["split_type"]) == 0
        of_zero = np.array(tree["split_conditions"]) > 0
        changed = clear[tree["split_indices"]] & numeric
        learnt = np.array(tree["default_left"]) != 0
        tree["default_left"] = np.where(changed, of_zero, learnt).astype(int).tolist()
    return bytearray(json.dumps(model).encode())
