"""Boosted trees that Spark's JVM walks itself: no row goes to Python, and none comes back."""

from __future__ import annotations

import json
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.columns import Column, quoted
from raydp_ml.exchange.jvm import as_column, java_object
from raydp_ml.spark_jobs.expressions import double
from raydp_ml.training.rows.layout import Feature
from raydp_ml.xgboost.output import Asked, best_rounds

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
_TOGETHER = 8
_CATEGORY = 1 << 30

_NOTHING = np.zeros((1, 4), dtype=np.int64)
_METHODS = {
    "value": "value",
    "values": "values",
    "probability": "probabilities",
    "class": "likeliest",
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
        columns: list[Column],
        features: Sequence[Feature],
        missing: float,
        output: str,
    ) -> SparkColumn | None:
        """Return the column of predictions, or None where the session cannot use our jar.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
        columns : list of Column
            Numbers, and strings where the features are categories.
        features : sequence of Feature
        missing : float
        output : {"value", "values", "probability", "class"}
            "class" gives the class's place.
        """
        java = java_object(df.sparkSession, "trees.TreesColumn")
        if java is None or len(columns) != self.n_features:
            return None
        texts = [
            quoted(column.name)
            for column, feature in zip(columns, features, strict=True)
            if feature.kind == "category"
        ]
        made = java.column(
            df.sparkSession,
            float_cells(columns, [feature.kind == "category" for feature in features]),
            f"cast(array({','.join(texts)}) as array<string>)",
            _packed_categories(features),
            self.data,
            self.link,
            float(missing),
            _METHODS[output],
        )
        return as_column(made)


def _packed_categories(features: Sequence[Feature]) -> bytes:
    """Pack the categories as the Java class ``ml.raydp.trees.Categories`` reads them."""
    parts, count = [], 0
    for place, feature in enumerate(features):
        if feature.kind != "category":
            continue
        count += 1
        categories = feature.categories or ()
        parts.append(np.array([place, len(categories)], ">i4").tobytes())
        for category in categories:
            text = category.encode()
            parts.append(np.array([len(text)], ">i4").tobytes() + text)
    return np.array([count], ">i4").tobytes() + b"".join(parts)


def float_cells(columns: list[Column], without: Sequence[bool] | None = None) -> str:
    """Return SQL of the features' values as the trees read them.

    Parameters
    ----------
    columns : list of Column
        Numbers.
    without : sequence of bool, optional
        Which of them are read elsewhere: categories.

    Returns
    -------
    str
        An array of floats.
    """
    left_out = without or [False] * len(columns)
    cells = ",".join(
        "cast(null as float)" if out else f"cast({_number(column)} as float)"
        for column, out in zip(columns, left_out, strict=True)
    )
    return f"array({cells})"


def _number(column: Column) -> str:
    # As on the way through Python, where Arrow's decimals become doubles first.
    return double(column.name) if column.kind == "decimal" else quoted(column.name)


_packed: weakref.WeakKeyDictionary[Any, dict[Hashable, PackedTrees | None]] = (
    weakref.WeakKeyDictionary()
)


def packed_trees(booster: xgboost.Booster, asked: Asked) -> PackedTrees | None:
    """Pack a booster for the JVM, once for all predictions.

    Parameters
    ----------
    booster : xgboost.Booster
    asked : Asked
        Which of its rounds count, and whether there is a link function.

    Returns
    -------
    PackedTrees or None
        None where it is no sum of trees with a number in each leaf, where its link function is
        none that the JVM has, or where it has too many nodes and features.
    """
    made = _packed.setdefault(booster, {})
    first, end = asked.rounds or best_rounds(booster)
    # A booster may be trained on.
    key = (first, end, asked.margin, booster.num_boosted_rounds())
    if key not in made:
        made[key] = _pack(booster, first, end, asked.margin)
    return made[key]


def _pack(booster: xgboost.Booster, first: int, end: int, margin: bool) -> PackedTrees | None:
    learner = json.loads(booster.save_raw("json"))["learner"]
    link = _LINKS.get(learner["objective"]["name"])
    parameters, boosted = learner["learner_model_param"], learner["gradient_booster"]
    width = int(parameters["num_feature"])
    if link is None or boosted["name"] not in {"gbtree", "dart"} or width > _MOST_FEATURES:
        return None
    if int(parameters["num_target"]) > 1 and not margin and link != "identity":
        return None
    model = boosted.get("gbtree", boosted)["model"]
    ends = model["iteration_indptr"]
    some = slice(ends[first], ends[end or -1])
    trees, groups = model["trees"][some], np.array(model["tree_info"][some], dtype=int)
    weights = boosted.get("weight_drop")
    if weights is not None:
        weights = np.array(weights[some], dtype=np.float32)
    base = np.array(json.loads(parameters["base_score"]), dtype=np.float32)
    if not np.all(np.isfinite(base)):
        return None
    if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees):
        return None
    if link == "logistic":
        # (The logarithm of a double, rounded: NumPy's of a float is another than XGBoost's.)
        odds = (np.float32(1) / base - np.float32(1)).astype(np.float64)
        base = -np.log(odds).astype(np.float32)
    base = np.resize(base, max(int(parameters["num_class"]), int(parameters["num_target"]), 1))
    head, roots, parts, at = [], [], [], 0
    sets: list[int] = []
    for group, start in enumerate(base):
        walked = []
        for index in np.flatnonzero(groups == group):
            leaf = np.array(trees[index]["split_conditions"], dtype=np.float32)
            if weights is not None:
                # (XGBoost begins each dropped tree with the base score, and takes it off again.)
                leaf = ((start + leaf) - start) * weights[index]
            walked.append(_by_level(trees[index], leaf, sets))
        # Leaves of nothing: the Java class walks so many trees together.
        walked += [(_NOTHING, 0)] * (-len(walked) % _TOGETHER)
        head += [int(start.view(np.int32)), len(walked)]
        for nodes, depth in walked:
            parts.append(np.add(nodes, [0, 0, at, 0]))
            roots += [at, depth]
            at += len(nodes)
    if at > _MOST_NODES:
        return None
    packed = [np.array([width, len(base), at, *head, *roots]), *parts]
    if sets:
        packed.append(np.array([len(sets), *sets], dtype=np.uint32).view(np.int32))
    data = b"".join(part.astype(">i4").tobytes() for part in packed)
    return PackedTrees(data, width, "identity" if margin else link)


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
    if any(tree["split_type"]):
        feature = feature | np.where(np.array(tree["split_type"])[order] == 1, _CATEGORY, 0)
        numbers[np.array(tree["split_type"])[order] == 1] = 0
        place = np.empty(len(order), dtype=int)
        place[order] = np.arange(len(order))
        for node, start, size in zip(
            tree["categories_nodes"],
            tree["categories_segments"],
            tree["categories_sizes"],
            strict=True,
        ):
            numbers[place[node]] = len(sets)
            sets += _words(tree["categories"][start : start + size])
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


def _words(categories: list[int]) -> list[int]:
    """Return a set as the Java class reads it: how many words, and these, a bit a category."""
    words = [0] * (max(categories, default=-1) // 32 + 1)
    for category in categories:
        words[category // 32] |= 1 << category % 32
    return [len(words), *words]
