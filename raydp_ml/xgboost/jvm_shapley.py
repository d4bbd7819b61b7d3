"""Shapley values of boosted trees that Spark's JVM computes itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.jvm import as_column, is_connect, java_object
from raydp_ml.exchange.sql_text import server_column
from raydp_ml.xgboost.boosted_trees import boosted_trees, holds_vectors
from raydp_ml.xgboost.jvm_rows import JvmRows
from raydp_ml.xgboost.jvm_trees import CATEGORY, category_sets, packed_sets
from raydp_ml.xgboost.packed import kept_with

if TYPE_CHECKING:
    import xgboost
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

# As ml.raydp.trees.ShapleyTree reads a node.
_NODE = np.dtype(
    [
        ("left", ">i4"),
        ("right", ">i4"),
        ("feature", ">i4"),
        ("threshold", ">i4"),
        ("value", ">f8"),
        ("cover", ">f8"),
    ]
)
# Its tables take 96 bytes for each node and point: 96 MiB.
_MOST_NODES = 1 << 20
# Levels of a tree: the JVM's stack is as deep, and half as many points are exact enough.
_MOST_LEVELS = 128


@dataclass(frozen=True)
class PackedShapley:
    """A booster as the Java class ``ml.raydp.trees.ShapleyForest`` reads it.

    Attributes
    ----------
    data : bytes
    n_features : int
    """

    data: bytes
    n_features: int

    def column(
        self, df: DataFrame, rows: JvmRows, missing: float, several: bool
    ) -> SparkColumn | None:
        """Return the column of contributions, or None where the session cannot use our jar.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
        rows : JvmRows
        missing : float
        several : bool
            Whether a row gets an array for each output.
        """
        if rows.n_features != self.n_features:
            return None
        texts = (rows.numbers, rows.texts)
        constants = (rows.categories, self.data, missing, "each" if several else "one")
        if is_connect(df):
            return server_column(df, "raydp_ml_contributions_1", texts, constants)
        java = java_object(df.sparkSession, "trees.ExplainColumn")
        if java is None:
            return None
        return as_column(java.column(df.sparkSession, *texts, *constants))


def packed_shapley(booster: xgboost.Booster, bias: np.ndarray) -> PackedShapley | None:
    """Pack a booster for the JVM, once for all explanations.

    Parameters
    ----------
    booster : xgboost.Booster
    bias : ndarray of shape (n_outputs,)
        What XGBoost itself gives for no feature: the base score before the link function, and the
        means of the trees.

    Returns
    -------
    PackedShapley or None
        None where it is no sum of trees, where leaves hold vectors or nodes have no cover, or
        where there are too many of them.
    """
    key = ("contributions", bias.tobytes())
    return kept_with(booster, key, lambda: _pack(booster, bias))


def _pack(booster: xgboost.Booster, bias: np.ndarray) -> PackedShapley | None:
    learner = json.loads(booster.save_raw("json"))["learner"]
    boosted = boosted_trees(learner)
    if boosted is None or any(map(holds_vectors, boosted.model["trees"])):
        return None
    model, weights = boosted.model, boosted.weights
    best = booster.attr("best_iteration")
    count = model["iteration_indptr"][-1 if best is None else int(best) + 1]
    width = int(learner["learner_model_param"]["num_feature"])
    packed: list[list[bytes]] = [[] for _ in bias]
    sets: list[int] = []
    cost = 0
    for index, group in enumerate(model["tree_info"][:count]):
        tree = model["trees"][index]
        nodes = _nodes(tree, 1.0 if weights is None else weights[index], sets)
        levels = _levels(nodes)
        if nodes is None or levels > _MOST_LEVELS:
            return None
        points = (min(levels, width) + 1) // 2
        cost += points * len(nodes) // 2
        if levels:
            packed[group].append(_packed(nodes, points))
    if cost > _MOST_NODES:
        return None
    parts = [_integers(width, len(bias)), packed_sets(sets)]
    for start, trees in zip(bias, packed, strict=True):
        parts += [np.array(start, dtype=">f8").tobytes(), _integers(len(trees)), *trees]
    return PackedShapley(b"".join(parts), width)


def _nodes(tree: dict[str, Any], weight: float, sets: list[int]) -> np.ndarray | None:
    """Return the nodes of a tree, or None for one whose values the covers do not define.

    The sets of those that ask for a category are added to `sets`.
    """
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    starts = category_sets(tree, sets)
    feature = np.array(tree["split_indices"]) | np.where(starts >= 0, CATEGORY, 0)
    nodes = np.empty(len(left), dtype=_NODE)
    nodes["left"], nodes["right"] = left, tree["right_children"]
    nodes["feature"] = np.where(np.array(tree["default_left"]) != 0, feature, ~feature)
    nodes["threshold"] = np.where(starts >= 0, starts, conditions.view(np.int32))
    nodes["value"] = conditions.astype(float) * weight
    nodes["cover"] = tree["sum_hessian"]
    return None if np.any(nodes["cover"][left >= 0] <= 0) else nodes


def _levels(nodes: np.ndarray | None) -> int:
    """Count the splits on the longest way to a leaf."""
    if nodes is None:
        return 0
    levels, at = -1, np.array([0])
    while len(at):
        levels += 1
        inner = nodes[at[nodes["left"][at] >= 0]]
        at = np.concatenate([inner["left"], inner["right"]])
    return levels


def _packed(nodes: np.ndarray, points: int) -> bytes:
    at, weights = np.polynomial.legendre.leggauss(points)
    rule = np.column_stack([(at + 1) / 2, weights / 2])  # from [-1, 1] to [0, 1]
    return _integers(points, len(nodes)) + rule.astype(">f8").tobytes() + nodes.tobytes()


def _integers(*values: int) -> bytes:
    return np.array(values, dtype=">i4").tobytes()
