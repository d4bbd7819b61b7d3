"""Boosted trees that Spark's JVM walks itself: no row goes to Python, and none comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.jvm import as_column, is_connect, java_object
from raydp_ml.exchange.sql_text import server_column
from raydp_ml.xgboost.boosted_trees import boosted_trees, holds_vectors
from raydp_ml.xgboost.jvm_rows import NO_MARGINS, JvmRows
from raydp_ml.xgboost.output import Asked, best_rounds, xgboost_version
from raydp_ml.xgboost.packed import kept_with

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
    "reg:quantileerror": "identity",
    "reg:squaredlogerror": "identity",
}
# What ml.raydp.trees.Forest takes.
_MOST_FEATURES, _MOST_NODES = 1 << 12, 1 << 20
CATEGORY = 1 << 30  # ml.raydp.trees.CategorySets.ASKED

_METHODS = {
    "value": "value",
    "values": "values",
    "probability": "probabilities",
    "class": "likeliest",
    "labels": "labels",
    "leaves": "leaves",
}


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
        self,
        df: DataFrame,
        rows: JvmRows,
        missing: float,
        output: str,
        margins: str = NO_MARGINS,
    ) -> SparkColumn | None:
        """Return the column of predictions, or None where the session cannot use our jar.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
        rows : JvmRows
        missing : float
        output : {"value", "values", "probability", "class", "labels", "leaves"}
            "class" gives the class's place.
        margins : str, optional
            SQL of an array of floats, one for each output, in place of the base scores.
        """
        if rows.n_features != self.n_features:
            return None
        texts = (rows.numbers, rows.texts, margins)
        constants = (rows.categories, self.data, self.link, missing, _METHODS[output])
        if is_connect(df):
            return server_column(df, "raydp_ml_trees_1", texts, constants)
        java = java_object(df.sparkSession, "trees.TreesColumn")
        if java is None:
            return None
        return as_column(java.column(df.sparkSession, *texts, *constants))


def packed_trees(
    booster: xgboost.Booster, asked: Asked, from_margin: bool = False
) -> PackedTrees | None:
    """Pack a booster for the JVM, once for all predictions.

    Parameters
    ----------
    booster : xgboost.Booster
    asked : Asked
        Which of its rounds count, and whether there is a link function.
    from_margin : bool, default=False
        Whether the sums begin with margins of the rows.

    Returns
    -------
    PackedTrees or None
        None where it is no sum of trees with a number in each leaf, where its link function is
        none that the JVM has, or where it has too many nodes and features.
    """
    rounds = asked.rounds or best_rounds(booster)
    return kept_with(
        booster,
        ("sums", rounds, asked.margin, from_margin),
        lambda: _pack(booster, rounds, asked.margin, from_margin),
    )


def packed_leaves(booster: xgboost.Booster, asked: Asked) -> PackedTrees | None:
    """Pack the numbers of the leaves of a booster, as `packed_trees` packs their values.

    Returns
    -------
    PackedTrees or None
        None where it has too many nodes and features.
    """
    rounds = asked.rounds or best_rounds(booster)
    return kept_with(booster, ("leaves", rounds), lambda: _pack_leaves(booster, rounds))


@dataclass(frozen=True)
class _Trees:
    """Some rounds of a booster, as its JSON has them.

    Attributes
    ----------
    objective : str
    parameters : dict
        Of the learner.
    trees : list of dict
    groups : ndarray of shape (n_trees,)
        To which output each tree adds.
    weights : ndarray of shape (n_trees,) or None
        Of dart.
    """

    objective: str
    parameters: dict[str, str]
    trees: list[dict[str, Any]]
    groups: np.ndarray
    weights: np.ndarray | None

    @property
    def width(self) -> int:
        return int(self.parameters["num_feature"])

    @property
    def outputs(self) -> int:
        return max(int(self.parameters["num_class"]), int(self.parameters["num_target"]), 1)


def _read(booster: xgboost.Booster, rounds: tuple[int, int]) -> _Trees | None:
    learner = json.loads(booster.save_raw("json"))["learner"]
    boosted = boosted_trees(learner)
    if boosted is None:
        return None
    model, weights = boosted.model, boosted.weights
    ends, (first, end) = model["iteration_indptr"], rounds
    some = slice(ends[first], ends[end or -1])
    return _Trees(
        learner["objective"]["name"],
        learner["learner_model_param"],
        model["trees"][some],
        np.array(model["tree_info"][some], dtype=int),
        None if weights is None else np.array(weights[some], dtype=np.float32),
    )


def _pack(
    booster: xgboost.Booster, rounds: tuple[int, int], margin: bool, from_margin: bool
) -> PackedTrees | None:
    read = _read(booster, rounds)
    if read is None or any(holds_vectors(tree) for tree in read.trees):
        return None
    link = _LINKS.get(read.objective)
    base = np.array(json.loads(read.parameters["base_score"]), dtype=np.float32)
    if link is None or not np.all(np.isfinite(base)):
        return None
    if link == "logistic":
        # (The logarithm of a double, rounded: NumPy's of a float is another than XGBoost's.)
        odds = (np.float32(1) / base - np.float32(1)).astype(np.float64)
        base = -np.log(odds).astype(np.float32)
    base = np.resize(base, read.outputs)
    leaves = []
    for index, tree in enumerate(read.trees):
        leaf = np.array(tree["split_conditions"], dtype=np.float32)
        if read.weights is not None:
            if not from_margin and xgboost_version() < (3, 3):
                # (It began each dropped tree with the base score, and took it off again.)
                start = base[read.groups[index]]
                leaf = (start + leaf) - start
            leaf = leaf * read.weights[index]
        leaves.append(leaf)
    data = _packed_forest(read.width, base, read.trees, read.groups, leaves)
    return None if data is None else PackedTrees(data, read.width, "identity" if margin else link)


def _pack_leaves(booster: xgboost.Booster, rounds: tuple[int, int]) -> PackedTrees | None:
    read = _read(booster, rounds)
    if read is None:
        return None
    numbers = [
        np.arange(len(tree["left_children"]), dtype=np.int32).view(np.float32)
        for tree in read.trees
    ]
    # One group of all trees, which so keep their order.
    groups, base = np.zeros(len(read.trees), dtype=int), np.zeros(1, dtype=np.float32)
    data = _packed_forest(read.width, base, read.trees, groups, numbers)
    return None if data is None else PackedTrees(data, read.width, "identity")


def _packed_forest(
    width: int,
    base: np.ndarray,
    trees: list[dict[str, Any]],
    groups: np.ndarray,
    leaves: list[np.ndarray],
) -> bytes | None:
    """Pack trees whose nodes hold `leaves`; None where they are too many, or too wide."""
    head, roots, parts, at = [], [], [], 0
    sets: list[int] = []
    for group, start in enumerate(base):
        members = np.flatnonzero(groups == group)
        head += [int(start.view(np.int32)), len(members)]
        for index in members:
            nodes, depth = _by_level(trees[index], leaves[index], sets)
            parts.append(np.add(nodes, [0, 0, at, 0]))
            roots += [at, depth]
            at += len(nodes)
    if width > _MOST_FEATURES or at >= _MOST_NODES:
        return None
    numbers = np.array([width, len(base), at, *head, *roots])
    return b"".join(part.astype(">i4").tobytes() for part in (numbers, *parts)) + packed_sets(sets)


def _by_level(tree: dict[str, Any], leaves: np.ndarray, sets: list[int]) -> tuple[np.ndarray, int]:
    """Lay a tree out by levels: threshold, feature, left child and leaf of each node; its depth.

    Two siblings lie side by side. A leaf is its own left child; `leaves` hold what it adds to the
    sum. Features of nodes where missing values go right have all their bits turned over. A node
    that asks for a category has bit 30 of its feature set, and in place of the threshold where its
    set begins in `sets`, which grows.
    """
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    levels = [np.array([0])]
    while len(inner := levels[-1][left[levels[-1]] >= 0]):
        levels.append(np.column_stack([left[inner], right[inner]]).ravel())
    order = np.concatenate(levels)
    is_leaf = left[order] < 0
    numbers = np.array(tree["split_conditions"], dtype=np.float32)[order].view(np.int32)
    feature = np.array(tree["split_indices"])[order]
    starts = category_sets(tree, sets)[order]
    asks_category = starts >= 0
    feature = np.where(asks_category, feature | CATEGORY, feature)
    numbers = np.where(asks_category, starts, numbers)
    goes_left = np.array(tree["default_left"])[order] != 0
    child = np.arange(len(order))
    child[~is_leaf] = 1 + 2 * np.arange(np.sum(~is_leaf))
    nodes = np.column_stack(
        [
            np.where(is_leaf, 0, numbers),
            np.where(is_leaf, 0, np.where(goes_left, feature, ~feature)),
            child,
            np.where(is_leaf, leaves[order].view(np.int32), 0),
        ]
    )
    return nodes, len(levels) - 1


def category_sets(tree: dict[str, Any], sets: list[int]) -> np.ndarray:
    """Add a tree's sets of categories to `sets`; return where each begins.

    Returns
    -------
    ndarray of shape (n_nodes,)
        -1 for nodes that ask for no category.
    """
    starts = np.full(len(tree["left_children"]), -1)
    for node, start, size in zip(
        tree["categories_nodes"],
        tree["categories_segments"],
        tree["categories_sizes"],
        strict=True,
    ):
        starts[node] = len(sets)
        sets += _words(tree["categories"][start : start + size])
    return starts


def packed_sets(sets: list[int]) -> bytes:
    """Pack sets as the Java class ``ml.raydp.trees.CategorySets`` reads them."""
    return np.array([len(sets), *sets], dtype=">u4").tobytes()


def _words(categories: list[int]) -> list[int]:
    """Return a set as the Java class reads it: how many words, and these, a bit a category."""
    words = [0] * (max(categories, default=-1) // 32 + 1)
    for category in categories:
        words[category // 32] |= 1 << category % 32
    return [len(words), *words]
