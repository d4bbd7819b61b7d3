"""A saved booster, looked at before XGBoost is: its C++ takes indices and shapes at their word."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.saving.files import is_file, json_of, read_bytes
from raydp_ml.saving.ubjson import read_ubjson
from raydp_ml.xgboost.output import load_booster, xgboost_version

if TYPE_CHECKING:
    import xgboost

__all__ = ["CONFIG", "MODEL", "BoosterShape", "checked_booster", "checked_config", "read_booster"]

CONFIG = "model_config.json"
"""How a saved model was trained; it predicts without."""
MODEL = "model.ubj"

NEWEST = (3, 4)
"""The last version of XGBoost that changed what is in the file of a model."""

_DEEPEST = 4096
"""Levels of a tree: XGBoost calls itself for each, and keeps a path for each in `explain`."""
_MOST_BYTES = 1 << 26
"""That the sets of categories may take in memory beyond what they take in the file."""
_NO_FEATURE = (1 << 31) - 1
"""In place of the feature of a node that was pruned away."""


@dataclass(frozen=True)
class BoosterShape:
    """What the other files of a saved model must agree with.

    Attributes
    ----------
    kind : {"gbtree", "dart", "gblinear"}
    objective : dict
        Its name, and its parameters.
    features, classes, targets : int
        `classes` is 0 where the objective has none, `targets` at least 1.
    has_vectors : bool
        Whether a leaf holds a number for each output.
    """

    kind: str
    objective: dict[str, Any]
    features: int
    classes: int
    targets: int
    has_vectors: bool

    @property
    def outputs(self) -> int:
        """How many numbers a row's margin is."""
        return max(self.classes, self.targets, 1)


def read_booster(
    folder: Path, n_jobs: object, device: str | None
) -> tuple[xgboost.Booster, BoosterShape]:
    """Read the booster of a saved model.

    Parameters
    ----------
    folder : Path
    n_jobs : object
        Its threads, as the file of the parameters says; at most one for each CPU.
    device : str or None

    Returns
    -------
    (xgboost.Booster, BoosterShape)

    Raises
    ------
    OSError, ValueError
        If a file is missing, or is no booster.
    """
    if not (n_jobs is None or (isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool))):
        raise ValueError(f"n_jobs is {n_jobs!r}")
    # OpenMP ends the process where it cannot start as many as it is asked for.
    threads = None if n_jobs is None else min(int(n_jobs), os.cpu_count() or 1)
    data, place = read_bytes(folder / MODEL), folder / CONFIG
    shape = checked_booster(data, xgboost_version())
    config = None
    if is_file(place):
        config = checked_config(read_bytes(place).decode(), shape)
    booster = load_booster(data, threads, config, device)
    # Which is when XGBoost makes its parts: what it does not take, it says here.
    booster.save_config()
    return booster, shape


def checked_booster(data: bytes, version: tuple[int, ...] = NEWEST) -> BoosterShape:
    """Check a model in XGBoost's binary format.

    Parameters
    ----------
    data : bytes
    version : tuple of int
        Major and minor version of the XGBoost that will read it: from 3.2 on it keeps the weights
        of leaves that are vectors apart, and from 3.4 on those of dart's trees with the trees,
        which older ones pass over.

    Returns
    -------
    BoosterShape

    Raises
    ------
    ValueError
        For whatever no booster has: arrays of another length or type, indices out of range, trees
        that are none, shapes that do not agree.
    """
    # What XGBoost, too, takes for the mark of the binary format.
    _require(data[:2] == b"{L", "it is not in XGBoost's binary format")
    learner = _of(read_ubjson(data), "learner", dict)
    parameters = _of(learner, "learner_model_param", dict)
    features, classes = (_count(parameters, name) for name in ("num_feature", "num_class"))
    targets = _count(parameters, "num_target") if "num_target" in parameters else 1
    _require(targets >= 1 and min(classes, targets) <= 1, "classes and targets do not agree")
    objective = _of(learner, "objective", dict)
    booster = _of(learner, "gradient_booster", dict)
    kind = _of(booster, "name", str)
    _check_base_score(parameters, max(classes, targets, 1))
    has_vectors = False
    if kind == "gblinear":
        weights = _of(_of(booster, "model", dict), "weights", np.ndarray)
        wanted = (features + 1) * max(classes, targets, 1)
        _require(weights.dtype == ">f4" and len(weights) == wanted, "weights of another shape")
    else:
        _require(kind in {"gbtree", "dart"}, f"the unknown booster {kind!r}")
        inner = _of(booster, "gbtree", dict) if kind == "dart" else booster
        _require(inner.get("name") == "gbtree", "it has no trees")
        model = _of(inner, "model", dict)
        shape = BoosterShape(kind, objective, features, classes, targets, False)
        has_vectors = _check_trees(model, shape, len(data), version >= (3, 2))
        _check_categories(model.get("cats"), features)
        drops = booster.get("weight_drop", model.get("weight_drop"))
        if kind == "dart" or drops is not None:
            right = isinstance(drops, list) and len(drops) == len(model["trees"])
            _require(right and all(type(one) is float for one in drops), "weights of its trees")
        older = version < (3, 4) and "weight_drop" in model
        _require(not older, "it was trained with XGBoost 3.4 or newer, and dart: install such")
        rounds = len(model["iteration_indptr"]) - 1
        _check_best(_of(learner, "attributes", dict), rounds)
    _check_objective(objective, classes, targets)
    for name in ("feature_names", "feature_types"):
        held = _of(learner, name, list)
        _require(len(held) in {0, features}, f"{len(held)} {name} of {features}")
        _require(all(isinstance(one, str) for one in held), f"{name} that are no text")
    return BoosterShape(kind, objective, features, classes, targets, has_vectors)


def checked_config(text: str, shape: BoosterShape) -> str:
    """Check how a booster was trained, which is to agree with it.

    Parameters
    ----------
    text : str
        As XGBoost's ``save_config`` gives it.
    shape : BoosterShape

    Returns
    -------
    str
        The same, for one thread and the CPU until it is told otherwise.

    Raises
    ------
    ValueError
        If it is of another booster.
    """
    config = json_of(text, CONFIG)
    learner = _of(config, "learner", dict)
    version = _of(config, "version", list)
    _require(all(type(part) is int for part in version), "a version that is none")
    booster = _of(learner, "gradient_booster", dict)
    trained = _of(learner, "learner_train_param", dict)
    _require(
        booster.get("name") == trained.get("booster") == shape.kind
        and trained.get("objective") == shape.objective["name"]
        and _is_same(learner.get("objective"), shape.objective),
        f"{CONFIG} is of another booster than {MODEL}",
    )
    vectors = trained.get("multi_strategy") == "multi_output_tree"
    _require(
        shape.outputs == 1 or shape.kind == "gblinear" or vectors == shape.has_vectors,
        f"{CONFIG} is of other trees than {MODEL}",
    )
    _require(_depth(config) < 32, f"{CONFIG} is nested too deeply")
    general = _of(learner, "generic_param", dict)
    general |= {"nthread": "1", "n_jobs": "1", "device": "cpu"}
    return json.dumps(config)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, (dict, list)) else 0


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"no booster is like this: {what}")


def _of(mapping: Any, name: str, wanted: type) -> Any:
    found = mapping.get(name) if isinstance(mapping, dict) else None
    _require(isinstance(found, wanted), f"{name!r} is no {wanted.__name__}")
    return found


def _count(mapping: dict[str, Any], name: str) -> int:
    """Read a count, which XGBoost writes as a text."""
    text = _of(mapping, name, str)
    _require(re.fullmatch(r"\d{1,10}", text) is not None, f"{name} is {text[:20]!r}")
    _require(int(text) < 1 << 31, f"{name} is {text}")
    return int(text)


def _array(tree: dict[str, Any], name: str, dtypes: str, length: int | None = None) -> np.ndarray:
    found: np.ndarray = _of(tree, name, np.ndarray)
    # (Each text is made only where it is needed: a model has tens of thousands of arrays.)
    if found.dtype.str not in dtypes:
        _require(False, f"{name} is of {found.dtype}")
    if length is not None and len(found) != length:
        _require(False, f"{name} has {len(found)} of {length} values")
    return found


def _within(values: np.ndarray, least: int, end: int) -> bool:
    return bool(not values.size or (values.min() >= least and values.max() < end))


def _integers(mapping: dict[str, Any], name: str) -> np.ndarray:
    found = _of(mapping, name, list)
    _require(all(type(one) is int for one in found), f"{name} are no whole numbers")
    return np.array(found, dtype=np.int64)


def _check_base_score(parameters: dict[str, Any], outputs: int) -> None:
    made = json_of(_of(parameters, "base_score", str), "base_score")
    scores = made if isinstance(made, list) else [made]
    numbers = all(type(score) in (int, float) and abs(score) < 3.5e38 for score in scores)
    # (Of one, XGBoost would make as many as there are said to be outputs.)
    _require(numbers and len(scores) == outputs, f"{len(scores)} base scores of {outputs}")


def _is_same(trained: object, objective: dict[str, Any]) -> bool:
    """Whether a text tells of the same objective, whose numbers are arrays in the binary format."""
    if not isinstance(trained, dict) or trained.keys() != objective.keys():
        return False
    for name, value in objective.items():
        told = trained[name]
        if not isinstance(value, np.ndarray):
            if told != value:
                return False
        elif not isinstance(told, list) or len(told) != len(value) or value.dtype != ">f4":
            return False
    return True


def _check_objective(objective: dict[str, Any], classes: int, targets: int) -> None:
    name = _of(objective, "name", str)
    if name.startswith("multi:"):
        own = _count(_of(objective, "softmax_multiclass_param", dict), "num_class")
        _require(own == classes >= 1, f"{own} classes of {classes}")
    if name == "reg:quantileerror":
        given = json_of(_of(_of(objective, "quantile_loss_param", dict), "quantile_alpha", str), "")
        count = len(given) if isinstance(given, list) else 1
        _require(count == targets, f"{count} quantiles of {targets}")


def _check_best(attributes: dict[str, Any], rounds: int) -> None:
    _require(all(isinstance(one, str) for one in attributes.values()), "attributes without text")
    if "best_iteration" in attributes:
        best = _count(attributes, "best_iteration")
        _require(best < rounds, f"the best round is {best} of {rounds}")


def _check_trees(model: dict[str, Any], shape: BoosterShape, size: int, own_leaves: bool) -> bool:
    """Check a sum of trees; return whether their leaves are vectors."""
    trees = _of(model, "trees", list)
    given = _count(_of(model, "gbtree_model_param", dict), "num_trees")
    _require(given == len(trees), f"{len(trees)} trees of {given}")
    ends = _integers(model, "iteration_indptr")
    _require(
        len(ends) >= 1
        and ends[0] == 0
        and ends[-1] == len(trees)
        and bool(np.all(np.diff(ends) > 0)),
        "rounds that do not add up to its trees",
    )
    width = {_count(_of(tree, "tree_param", dict), "size_leaf_vector") for tree in trees} or {1}
    has_vectors = max(width) > 1
    _require(
        width == {shape.outputs} if has_vectors else width <= {0, 1},
        f"leaves of {sorted(width)} numbers, and {shape.outputs} outputs",
    )
    groups = _integers(model, "tree_info")
    _require(len(groups) == len(trees), f"groups of {len(groups)} trees of {len(trees)}")
    _require(_within(groups, 0, 1 if has_vectors else shape.outputs), "a tree of no output")
    words = 0
    for index, tree in enumerate(trees):
        try:
            _require(tree.get("id") == index, "it is not in its place")
            words += _check_tree(tree, shape, has_vectors and own_leaves)
        except ValueError as error:
            raise ValueError(f"{error}, in tree {index}") from None
    _require(words * 4 <= size + _MOST_BYTES, "categories beyond those of any data")
    return has_vectors


def _check_tree(tree: dict[str, Any], shape: BoosterShape, own_leaves: bool) -> int:
    """Check a tree; return how many words its sets of categories take in memory."""
    parameters = tree["tree_param"]
    count = _count(parameters, "num_nodes")
    _require(_count(parameters, "num_feature") == shape.features, "it has other features")
    _require(count >= 1, "it has no nodes")
    left, right, parents = (
        _array(tree, name, ">i4", count) for name in ("left_children", "right_children", "parents")
    )
    features = _array(tree, "split_indices", ">i4 >i8", count)
    for name in ("loss_changes", "sum_hessian", "split_conditions"):
        _array(tree, name, ">f4", count)
    default_left = _array(tree, "default_left", "|u1", count)
    width = max(1, int(parameters["size_leaf_vector"]))
    weights = _array(tree, "base_weights", ">f4")
    # (Of several targets, the splits may have been found for fewer.)
    known = len(weights) % count == 0 and 1 <= len(weights) // count <= width
    _require(known if own_leaves else len(weights) == count * width, "weights of its nodes")
    inner = left != -1
    _check_nodes(left, right, parents, inner, (features == _NO_FEATURE) & (default_left == 1))
    used = features[inner]
    _require(_within(used, 0, shape.features), f"a feature beyond the model's {shape.features}")
    pruned = _count(parameters, "num_deleted") if "num_deleted" in parameters else 0
    gone = features == _NO_FEATURE
    gone[0] = False
    _require(pruned == int(np.sum(gone & (default_left == 1))), "nodes that were pruned away")
    if own_leaves:
        leaves = _array(tree, "leaf_weights", ">f4")
        _require(len(leaves) % width == 0, "weights of its leaves")
        _require(_within(right[~inner], 0, len(leaves) // width), "a leaf without weights")
    return _check_sets(tree, count, inner)


def _check_nodes(
    left: np.ndarray,
    right: np.ndarray,
    parents: np.ndarray,
    inner: np.ndarray,
    pruned: np.ndarray,
) -> None:
    """Check that nodes are a tree: each but the root the child of one other."""
    count = len(left)
    _require(_within(parents[1:], 0, count), "a parent that is no node")
    at = np.flatnonzero(inner)
    children = np.concatenate([left[at], right[at]]).astype(np.int64)
    _require(_within(children, 1, count), "a child that is no node")
    _require(len(np.unique(children)) == len(children), "a child of two nodes")
    _require(bool(np.all(parents[children] == np.tile(at, 2))), "a child of another node")
    level, reached, depth = np.array([0]), 1, 0
    while len(level := level[inner[level]]):
        level = np.concatenate([left[level], right[level]])
        reached, depth = reached + len(level), depth + 1
        # No node is met twice, since each is the child of one.
        _require(depth <= _DEEPEST, f"it is deeper than {_DEEPEST}")
    _require(not np.any(pruned[children]), "a child that was pruned away")
    _require(reached + int(np.sum(pruned[1:])) == count, "nodes that hang in the air")


def _check_sets(tree: dict[str, Any], count: int, inner: np.ndarray) -> int:
    """Check the sets of categories that nodes ask for."""
    kinds = _array(tree, "split_type", "|u1", count)
    _require(_within(kinds, 0, 2), "a split of an unknown kind")
    nodes = _array(tree, "categories_nodes", ">i4")
    starts, sizes = (
        _array(tree, f"categories_{name}", ">i8", len(nodes)) for name in ("segments", "sizes")
    )
    values = _array(tree, "categories", ">i4")
    _require(bool(np.array_equal(nodes, np.flatnonzero(kinds))), "sets of other nodes")
    _require(bool(np.all(inner[nodes])), "a leaf that asks for categories")
    # One set after the other, and nothing between or behind them.
    _require(_within(sizes, 1, len(values) + 1), "a set beyond its categories")
    ends = np.cumsum(sizes.astype(np.int64))
    _require(
        bool(np.array_equal(starts, ends - sizes))
        and len(values) == (ends[-1] if len(ends) else 0),
        "a set beyond its categories",
    )
    _require(_within(values, 0, 1 << 31), "a category below zero")
    if not len(nodes):
        return 0
    largest = np.maximum.reduceat(values.astype(np.int64), starts.astype(np.int64))
    return int(np.sum(largest // 32 + 1))


def _check_categories(held: Any, features: int) -> None:
    """Check the categories that a booster was trained with, by which XGBoost recodes others."""
    if held is None:
        return
    columns = _of(held, "enc", list)
    ends = _array(held, "feature_segments", ">i4")
    order = _array(held, "sorted_idx", ">i4")
    if not columns:
        _require(not len(ends) and not len(order), "categories of no features")
        return
    _require(len(columns) == features, f"categories of {len(columns)} features of {features}")
    counts = [_categories_of(column) for column in columns]
    wanted = np.cumsum([0, *counts])
    _require(bool(np.array_equal(ends, wanted)), "categories that do not add up")
    _require(len(order) == wanted[-1], "an order of other categories")
    for start, count in zip(wanted, counts, strict=False):
        part = np.sort(order[start : start + count])
        _require(bool(np.array_equal(part, np.arange(count))), "an order that is none")


def _categories_of(column: Any) -> int:
    """Return how many categories a feature has."""
    _require(isinstance(column, dict), "categories that are none")
    values: np.ndarray = _of(column, "values", np.ndarray)
    _require(values.dtype.kind in "iu", "categories that are fractions")
    if "offsets" not in column:
        _require(type(column.get("type")) is int, "categories of no type")
        return len(values)
    _require(values.dtype.itemsize == 1, "names that are no text")
    offsets = _array(column, "offsets", ">i4")
    if not len(offsets):
        _require(not len(values), "names of no categories")
        return 0
    # (In 64 bits: differences of 32 could come round.)
    wide = offsets.astype(np.int64)
    _require(
        wide[0] == 0 and wide[-1] == len(values) and bool(np.all(np.diff(wide) >= 0)),
        "names beyond their text",
    )
    return len(offsets) - 1
