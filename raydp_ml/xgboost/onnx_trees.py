"""A booster's trees as nodes of an ONNX graph."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.xgboost.boosted_trees import BoostedTrees, boosted_trees
from raydp_ml.xgboost.output import best_rounds

if TYPE_CHECKING:
    import xgboost

    from raydp_ml.conversion.onnx_nodes import Nodes

__all__ = ["write_booster"]

_ML = "ai.onnx.ml"
# What objectives make of the sum over the trees; all others leave it as it is.
_LINKS = {
    "binary:logistic": "Sigmoid",
    "reg:logistic": "Sigmoid",
    "count:poisson": "Exp",
    "reg:gamma": "Exp",
    "reg:tweedie": "Exp",
    "survival:aft": "Exp",
    "survival:cox": "Exp",
    "multi:softmax": "Softmax",
    "multi:softprob": "Softmax",
}
_IDENTITY = {
    "binary:logitraw",
    "rank:map",
    "rank:ndcg",
    "rank:pairwise",
    "reg:absoluteerror",
    "reg:expectileerror",
    "reg:pseudohubererror",
    "reg:quantileerror",
    "reg:squarederror",
    "reg:squaredlogerror",
}


def write_booster(
    booster: xgboost.Booster, missing: float, nodes: Nodes, x: str, classifies: bool
) -> tuple[str, int]:
    """Write a booster behind a tensor of float32.

    Parameters
    ----------
    booster : xgboost.Booster
    missing : float
        The value that stands for a missing one.
    nodes : Nodes
    x : str
        The features, of shape (n, n_features).
    classifies : bool
        Whether one output is the probability of the second of two classes.

    Returns
    -------
    str
        What it predicts, of shape (n, width).
    int
        The width.

    Raises
    ------
    TypeError
        If it is no sum of trees of numbers, or has a link function that ONNX has not.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective = learner["objective"]["name"]
    boosted = boosted_trees(learner)
    if boosted is None:
        raise TypeError(
            "A linear booster is not converted to ONNX: the coef_ and intercept_ of the estimator "
            "say all of it."
        )
    if objective not in _LINKS and objective not in _IDENTITY:
        raise TypeError(f"The objective {objective!r} of XGBoost is not converted to ONNX.")
    link = _LINKS.get(objective)
    if missing == missing:
        wanted = nodes.constant(np.float32(missing))
        x = nodes.add("Where", nodes.add("Equal", x, wanted), nodes.constant(np.float32("nan")), x)
    trees = _ensemble(booster, boosted, learner["learner_model_param"], link)
    values = nodes.add("TreeEnsembleRegressor", x, domain=_ML, **trees)
    if link == "Softmax":
        values = nodes.add(link, values, axis=1)
    elif link is not None:
        values = nodes.add(link, values)
    width = trees["n_targets"]
    if classifies and width == 1:
        other = nodes.add("Sub", nodes.constant(np.float32(1)), values)
        return nodes.add("Concat", other, values, axis=1), 2
    return values, width


def _ensemble(
    booster: xgboost.Booster, boosted: BoostedTrees, parameters: dict[str, Any], link: str | None
) -> dict[str, Any]:
    """Return the attributes of ONNX's ``TreeEnsembleRegressor``."""
    model = boosted.model
    end = model["iteration_indptr"][best_rounds(booster)[1] or -1]
    weights = np.array(boosted.weights or [1.0] * end, dtype=np.float32)
    targets = max(int(parameters["num_class"]), int(parameters["num_target"]), 1)
    base = np.resize(np.array(json.loads(parameters["base_score"]), np.float32), targets)
    if link == "Sigmoid":
        base = -np.log(1.0 / base.astype(np.float64) - 1.0).astype(np.float32)
    elif link == "Exp":
        base = np.log(base.astype(np.float64)).astype(np.float32)
    made: dict[str, list[Any]] = defaultdict(list)
    for index in range(end):
        tree = model["trees"][index]
        if any(tree["split_type"]):
            raise TypeError(
                "XGBoost's splits of categories are not converted to ONNX. Encode the categories "
                "as numbers (OneHotEncoder, OrdinalEncoder, TargetEncoder), and train anew."
            )
        _add_nodes(made, index, tree)
        _add_leaves(made, index, tree, model["tree_info"][index], weights[index])
    attributes = {name: _plain(values) for name, values in made.items()}
    return {**attributes, "n_targets": targets, "base_values": base.tolist()}


def _add_nodes(made: dict[str, list[Any]], index: int, tree: dict[str, Any]) -> None:
    left = np.array(tree["left_children"])
    inner = left >= 0
    count = len(left)
    columns = {
        "nodes_treeids": np.full(count, index),
        "nodes_nodeids": np.arange(count),
        "nodes_featureids": np.where(inner, tree["split_indices"], 0),
        "nodes_values": np.where(inner, np.array(tree["split_conditions"], np.float32), 0),
        "nodes_hitrates": np.ones(count, np.float32),
        "nodes_modes": np.where(inner, "BRANCH_LT", "LEAF"),
        "nodes_truenodeids": np.where(inner, left, 0),
        "nodes_falsenodeids": np.where(inner, tree["right_children"], 0),
        "nodes_missing_value_tracks_true": np.where(inner, tree["default_left"], 0),
    }
    for name, values in columns.items():
        made[name].append(values)


def _add_leaves(
    made: dict[str, list[Any]], index: int, tree: dict[str, Any], target: int, weight: np.float32
) -> None:
    leaves = np.flatnonzero(np.array(tree["left_children"]) < 0)
    width = int(tree["tree_param"]["size_leaf_vector"])
    if width > 1:
        # A leaf's place among the vectors stands where others have their right child.
        vectors = np.array(tree["leaf_weights"], np.float32).reshape(-1, width)
        held = vectors[np.array(tree["right_children"])[leaves]]
    else:
        held = np.array(tree["split_conditions"], np.float32)[leaves][:, None]
    targets = np.arange(width) if width > 1 else np.array([target])
    made["target_treeids"].append(np.full(held.size, index))
    made["target_nodeids"].append(np.repeat(leaves, len(targets)))
    made["target_ids"].append(np.tile(targets, len(leaves)))
    made["target_weights"].append((held * weight).ravel())


def _plain(parts: list[np.ndarray]) -> list[Any]:
    return [value for part in parts for value in part.tolist()]
