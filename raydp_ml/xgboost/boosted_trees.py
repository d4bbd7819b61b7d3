"""The trees in a booster's JSON, where each version of XGBoost has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BoostedTrees:
    """The trees of a learner.

    Attributes
    ----------
    model : dict
        With "trees", "tree_info" and "iteration_indptr".
    weights : list of float or None
        What the leaves of each tree are multiplied by, where trees were dropped in training (dart).
    """

    model: dict[str, Any]
    weights: list[float] | None


def boosted_trees(learner: dict[str, Any]) -> BoostedTrees | None:
    """Find the trees of a learner; None for a linear one."""
    boosted = learner["gradient_booster"]
    if boosted["name"] == "dart":  # before XGBoost 3.4
        return BoostedTrees(boosted["gbtree"]["model"], boosted["weight_drop"])
    if boosted["name"] == "gbtree":
        model = boosted["model"]
        return BoostedTrees(model, model.get("weight_drop") or None)
    return None


def holds_vectors(tree: dict[str, Any]) -> bool:
    """Whether a leaf of a tree holds a number for each output."""
    return int(tree["tree_param"]["size_leaf_vector"]) > 1
