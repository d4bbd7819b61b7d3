"""Boosted trees that Spark's JVM walks itself: no row goes to Python, and none comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.columns import Column, quoted
from raydp_ml.exchange.jvm import as_column, java_object
from raydp_ml.spark_jobs.expressions import double

if TYPE_CHECKING:
    import xgboost
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

_LINKS = {
    "reg:squarederror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "rank:ndcg": "identity",
    "rank:map": "identity",
    "rank:pairwise": "identity",
    "binary:logistic": "logistic",
    "multi:softprob": "softmax",
}
# What ml.raydp.trees.Forest takes.
_MOST_FEATURES, _MOST_NODES = 1 << 12, 1 << 20
_TOGETHER = 8

_NOTHING = np.zeros((1, 4), dtype=np.int64)
_METHODS = {"value": "value", "probability": "probabilities", "class": "likeliest"}


@dataclass(frozen=True)
class PackedTrees:
    """A booster as the Java class ``ml.raydp.trees.Forest`` reads it.

    Attributes
    ----------
    data : bytes
    n_features : int
    link : {"identity", "logistic", "softmax"}
    """

    data: bytes
    n_features: int
    link: str

    def column(
        self, df: DataFrame, columns: list[Column], missing: float, output: str
    ) -> SparkColumn | None:
        """Return the column of predictions, or None where the session cannot use our jar.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
        columns : list of Column
            The features, all of them numbers.
        missing : float
        output : {"value", "probability", "class"}
            "class" gives the class's place.
        """
        java = java_object(df.sparkSession, "trees.TreesColumn")
        if java is None or len(columns) != self.n_features:
            return None
        made = java.column(
            df.sparkSession,
            float_cells(columns),
            self.data,
            self.link,
            float(missing),
            _METHODS[output],
        )
        return as_column(made)


def float_cells(columns: list[Column]) -> str:
    """Return SQL of the features' values as the trees read them.

    Parameters
    ----------
    columns : list of Column
        All of them numbers.

    Returns
    -------
    str
        An array of floats.
    """
    cells = ",".join(f"cast({_number(column)} as float)" for column in columns)
    return f"array({cells})"


def _number(column: Column) -> str:
    # As on the way through Python, where Arrow's decimals become doubles first.
    return double(column.name) if column.kind == "decimal" else quoted(column.name)


def packed_trees(booster: xgboost.Booster) -> PackedTrees | None:
    """Pack a booster for the JVM.

    Parameters
    ----------
    booster : xgboost.Booster

    Returns
    -------
    PackedTrees or None
        None where it is no sum of trees with numeric splits, where its link function is none that
        the JVM has, or where it has too many nodes and features.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    link = _LINKS.get(learner["objective"]["name"])
    parameters, boosted = learner["learner_model_param"], learner["gradient_booster"]
    width = int(parameters["num_feature"])
    if link is None or boosted["name"] != "gbtree" or int(parameters["num_target"]) > 1:
        return None
    if width > _MOST_FEATURES:
        return None
    model = boosted["model"]
    best = booster.attr("best_iteration")
    count = model["iteration_indptr"][-1 if best is None else int(best) + 1]
    trees, groups = model["trees"][:count], np.array(model["tree_info"][:count], dtype=int)
    base = np.array(json.loads(parameters["base_score"]), dtype=np.float32)
    if any(any(tree["split_type"]) for tree in trees) or not np.all(np.isfinite(base)):
        return None
    if link == "logistic":
        # (The logarithm of a double, rounded: NumPy's of a float is another than XGBoost's.)
        odds = (np.float32(1) / base - np.float32(1)).astype(np.float64)
        base = -np.log(odds).astype(np.float32)
    base = np.resize(base, max(int(parameters["num_class"]), 1))
    head, roots, parts, at = [], [], [], 0
    for group, start in enumerate(base.view(np.int32)):
        walked = [_by_level(trees[index]) for index in np.flatnonzero(groups == group)]
        # Leaves of nothing: the Java class walks so many trees together.
        walked += [(_NOTHING, 0)] * (-len(walked) % _TOGETHER)
        head += [int(start), len(walked)]
        for nodes, depth in walked:
            parts.append(np.add(nodes, [0, 0, at, 0]))
            roots += [at, depth]
            at += len(nodes)
    if at > _MOST_NODES:
        return None
    packed = [np.array([width, len(base), at, *head, *roots]), *parts]
    return PackedTrees(b"".join(part.astype(">i4").tobytes() for part in packed), width, link)


def _by_level(tree: dict[str, Any]) -> tuple[np.ndarray, int]:
    """Lay a tree out by levels: threshold, feature, left child and leaf of each node; its depth.

    Two siblings lie side by side. A leaf is its own left child. Features of nodes where missing
    values go right have all their bits turned over.
    """
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    levels = [np.array([0])]
    while len(inner := levels[-1][left[levels[-1]] >= 0]):
        levels.append(np.column_stack([left[inner], right[inner]]).ravel())
    order = np.concatenate(levels)
    is_leaf = left[order] < 0
    numbers = np.array(tree["split_conditions"], dtype=np.float32)[order].view(np.int32)
    feature = np.array(tree["split_indices"])[order]
    goes_left = np.array(tree["default_left"])[order] != 0
    child = np.arange(len(order))
    child[~is_leaf] = 1 + 2 * np.arange(np.sum(~is_leaf))
    nodes = np.column_stack(
        [
            np.where(is_leaf, 0, numbers),
            np.where(is_leaf, 0, np.where(goes_left, feature, ~feature)),
            child,
            np.where(is_leaf, numbers, 0),
        ]
    )
    return nodes, len(levels) - 1
