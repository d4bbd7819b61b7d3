"""Trees that the JVM walks give XGBoost's own sums, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal

from raydp_ml.xgboost.jvm_shapley import packed_shapley
from raydp_ml.xgboost.jvm_trees import packed_trees
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
}


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
    matrix = xgboost.DMatrix(rows, labels, missing=missing)
    return xgboost.train({"nthread": 1, "seed": 0, **BOOSTERS[name]}, matrix, 11), rows, missing


@pytest.mark.parametrize("rounds", [None, (0, 4), (3, 9)], ids=str)
@pytest.mark.parametrize("name", BOOSTERS)
def test_sums(probes, rows, name, rounds):
    booster, given, missing = trained(rows, name)
    packed = packed_trees(booster, Asked(missing, margin=True, rounds=rounds))
    found = probes.trees.TreesProbe().sums(packed.data, given.astype(">f4").tobytes(), missing)
    expected = booster.inplace_predict(
        given, iteration_range=rounds or (0, 0), predict_type="margin", missing=missing
    )
    assert_array_equal(np.frombuffer(found, ">f4").reshape(expected.shape), expected)


@pytest.mark.parametrize("name", [name for name in BOOSTERS if name != "dart"])
def test_contributions(probes, rows, name):
    booster, given, missing = trained(rows, name)
    matrix = xgboost.DMatrix(given, missing=missing)
    expected = booster.predict(matrix, pred_contribs=True).reshape(len(rows), -1, 5)
    packed = packed_shapley(booster, expected[0, :, -1])
    found = probes.trees.TreesProbe().explained(
        packed.data, given.astype(">f4").tobytes(), 4, missing
    )
    made = np.frombuffer(found, ">f8").reshape(expected.shape)
    assert_allclose(made, expected, atol=1e-5 * np.abs(expected).max())


def test_what_is_no_forest_is_refused(probes, rows):
    booster, *_ = trained(rows, "numbers")
    numbers = np.frombuffer(packed_trees(booster, Asked(np.nan)).data, ">i4").copy()
    for place, wrong in ((0, 5000), (3 + 2, 1 << 30), (len(numbers) - 2, 1 << 30)):
        broken = numbers.copy()
        broken[place] = wrong
        with pytest.raises(Exception, match="is not below"):
            probes.trees.TreesProbe().sums(broken.tobytes(), b"", np.nan)
