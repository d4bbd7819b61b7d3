"""Trees that the JVM walks give XGBoost's own sums, to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal

from raydp_ml.xgboost.jvm_shapley import packed_shapley
from raydp_ml.xgboost.jvm_trees import packed_leaves, packed_trees
from raydp_ml.xgboost.output import Asked

BOOSTERS = {
    "numbers": {"objective": "reg:squarederror"},
    "one leaf": {"objective": "reg:squarederror", "gamma": 1e9},
    "deep": {"objective": "reg:squarederror", "max_depth": 12, "min_child_weight": 0},
    "two classes": {"objective": "binary:logistic"},
    "three classes": {"objective": "multi:softprob", "num_class": 3},
    "parallel": {"objective": "reg:squarederror", "num_parallel_tree": 3, "subsample": 0.5},
    "dart": {"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.5},
    "missing": {"objective": "reg:squarederror"},
    "categories": {"objective": "reg:squarederror", "max_cat_to_onehot": 4, "max_depth": 8},
    "one category": {"objective": "reg:squarederror", "max_cat_to_onehot": 99},
}
CATEGORIES = 70  # sets of three words


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    made = np.float32(rng.normal(size=(500, 4)))
    made[::3, 1] = np.nan
    made[1::5, 2] = 0.0
    made[2::5, 2] = -0.0
    return made


def trained(rows, name):
    labels = {
        "two classes": (rows[:, 0] > 0).astype(float),
        "three classes": np.digitize(rows[:, 0], [-0.5, 0.5]),
    }.get(name, rows[:, 0] + np.nan_to_num(rows[:, 1]) * rows[:, 2])
    if name == "missing":
        rows = np.nan_to_num(rows, nan=-9.0)
    missing = -9.0 if name == "missing" else np.nan
    if "categor" in name:
        rng = np.random.default_rng(1)
        rows = rows.copy()
        rows[:, 1] = np.where(np.isnan(rows[:, 1]), np.nan, rng.integers(0, CATEGORIES, len(rows)))
        labels = labels + np.nan_to_num(rows[:, 1]) % 7
        kinds = ["q", "c", "q", "q"]
        # What no row of the training held goes the way of those that no set holds.
        matrix = xgboost.DMatrix(
            rows[:300], labels[:300], feature_types=kinds, enable_categorical=True
        )
        return xgboost.train({"nthread": 1, "seed": 0, **BOOSTERS[name]}, matrix, 11), rows, missing
    matrix = xgboost.DMatrix(rows, labels, missing=missing)
    return xgboost.train({"nthread": 1, "seed": 0, **BOOSTERS[name]}, matrix, 11), rows, missing


def matrix_of(rows, name, missing):
    kinds = ["q", "c", "q", "q"] if "categor" in name else None
    return xgboost.DMatrix(rows, missing=missing, feature_types=kinds, enable_categorical=True)


def trees_of(booster):
    return json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]


@pytest.mark.parametrize("rounds", [None, (0, 4), (3, 9)], ids=str)
@pytest.mark.parametrize("name", BOOSTERS)
def test_sums(probes, rows, name, rounds):
    booster, given, missing = trained(rows, name)
    packed = packed_trees(booster, Asked(missing, margin=True, rounds=rounds))
    found = probes.trees.TreesProbe().sums(packed.data, given.astype(">f4").tobytes(), missing)
    if "categor" in name:
        assert any(any(tree["split_type"]) for tree in trees_of(booster))
    expected = booster.inplace_predict(
        given, iteration_range=rounds or (0, 0), predict_type="margin", missing=missing
    )
    assert_array_equal(np.frombuffer(found, ">f4").reshape(expected.shape), expected)


@pytest.mark.parametrize("rounds", [None, (0, 4), (3, 9)], ids=str)
@pytest.mark.parametrize("name", BOOSTERS)
def test_leaves(probes, rows, name, rounds):
    booster, given, missing = trained(rows, name)
    asked = Asked(missing, rounds=rounds)
    packed = packed_leaves(booster, asked)
    found = probes.trees.TreesProbe().leaves(packed.data, given.astype(">f4").tobytes(), missing)
    matrix = matrix_of(given, name, missing)
    first, end = rounds or (0, 11)
    expected = booster.predict(matrix, pred_leaf=True, iteration_range=(0, end))
    expected = expected.reshape(len(rows), end, -1)[:, first:].reshape(len(rows), -1)
    assert_array_equal(np.frombuffer(found, ">i4").reshape(expected.shape), expected)
    assert packed_leaves(booster, asked) is packed


def test_a_booster_that_changed_is_packed_anew(rows):
    booster, given, _ = trained(rows, "numbers")
    asked = Asked(np.nan)
    before = packed_trees(booster, asked)
    assert packed_trees(booster, asked) is before
    booster.set_attr(note="of the user")
    assert packed_trees(booster, asked) == before
    params = {"process_type": "update", "updater": "refresh", "refresh_leaf": 1, "nthread": 1}
    booster.set_param(params)
    for index in range(11):
        booster.update(xgboost.DMatrix(given, -given[:, 0]), iteration=index)
    assert booster.num_boosted_rounds() == 11
    assert packed_trees(booster, asked) != before


@pytest.mark.parametrize("name", [n for n in BOOSTERS if n != "dart"])
def test_contributions(probes, rows, name):
    booster, given, missing = trained(rows, name)
    matrix = matrix_of(given, name, missing)
    expected = booster.predict(matrix, pred_contribs=True).reshape(len(rows), -1, 5)
    packed = packed_shapley(booster, expected[0, :, -1])
    found = probes.trees.TreesProbe().explained(packed.data, given.astype(">f4").tobytes(), missing)
    made = np.frombuffer(found, ">f8").reshape(expected.shape)
    assert_allclose(made, expected, atol=1e-5 * np.abs(expected).max())


def test_what_is_no_forest_is_refused(probes, rows):
    booster, *_ = trained(rows, "numbers")
    numbers = np.frombuffer(packed_trees(booster, Asked(np.nan)).data, ">i4").copy()
    for place, wrong in ((0, 5000), (3 + 2, 1 << 30), (len(numbers) - 3, 1 << 30)):
        broken = numbers.copy()
        broken[place] = wrong
        with pytest.raises(Exception, match="is not below"):
            probes.trees.TreesProbe().sums(broken.tobytes(), b"", np.nan)
