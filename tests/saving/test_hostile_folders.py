"""Folders that a stranger wrote: each ends in one ValueError, or in an estimator that is harmless.

They are loaded in a process of their own, which must not crash, hang, run anything, nor take
memory beyond that of the files. What strangers' SQL may do is in
``tests/transformers/test_spark_stage.py``, where there is a Spark session to run it.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import raydp_ml
from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from tests.saving.hostile import real_folders
from tests.saving.hostile.fuzzing import Loader, fuzz, wrong
from tests.saving.hostile.tampering import (
    at,
    changed,
    edit_booster,
    edit_json,
    read_ubjson,
    written_ubjson,
)

pytestmark = pytest.mark.cluster

MODEL = ("learner", "gradient_booster", "model")
TREE = (*MODEL, "trees", 0)
SHAPE = ("learner", "learner_model_param")
STATE, PARAMS = ("attributes",), ("params",)
MOST = 2**31 - 1


def numbers(values, dtype=">i4"):
    return np.array(values, dtype=dtype)


# Kind of folder, path in the booster, what is put there, and what is said.
BOOSTERS = [
    ("trees", (*TREE, "left_children", 0), 99999, "a child that is no node, in tree 0"),
    ("trees", (*TREE, "left_children", 0), MOST, "a child that is no node"),
    ("trees", (*TREE, "left_children", 0), -2, "a child that is no node"),
    ("trees", (*TREE, "left_children", 0), 0, "a child that is no node"),
    ("trees", (*TREE, "right_children", 0), -1, "a child that is no node"),
    ("trees", (*TREE, "right_children", 0), 99999, "a child that is no node"),
    ("trees", (*TREE, "right_children", 0), 1, "a child of two nodes"),
    ("trees", (*TREE, "left_children", 1), 2, "a child of two nodes"),
    ("trees", (*TREE, "left_children", 3), 1, "a child of two nodes"),
    ("trees", (*TREE, "left_children", 1), -1, "nodes that hang in the air"),
    ("trees", (*TREE, "parents", 1), 99999, "a parent that is no node"),
    ("trees", (*TREE, "parents", 1), -1, "a parent that is no node"),
    ("trees", (*TREE, "parents", 3), 2, "a child of another node"),
    ("trees", (*TREE, "split_indices", 0), 2, "a feature beyond the model's 2"),
    ("trees", (*TREE, "split_indices", 0), MOST, "a feature beyond the model's 2"),
    ("trees", (*TREE, "split_indices", 0), -1, "a feature beyond the model's 2"),
    ("trees", (*TREE, "split_indices"), numbers([0] * 14), "split_indices has 14 of 15 values"),
    ("trees", (*TREE, "left_children"), numbers([-1]), "left_children has 1 of 15"),
    ("trees", (*TREE, "left_children"), numbers([-1] * 15, ">i8"), "left_children is of >i8"),
    ("trees", (*TREE, "left_children"), [1, 2, 3], "'left_children' is no ndarray"),
    ("trees", (*TREE, "left_children"), ..., "'left_children' is no ndarray"),
    ("trees", (*TREE, "right_children"), numbers([]), "right_children has 0 of 15"),
    ("trees", (*TREE, "parents"), numbers([0] * 16), "parents has 16 of 15"),
    ("trees", (*TREE, "split_conditions"), numbers([0], ">f4"), "split_conditions has 1 of 15"),
    ("trees", (*TREE, "split_conditions"), numbers([0] * 15), "split_conditions is of >i4"),
    ("trees", (*TREE, "default_left"), numbers([0], "|u1"), "default_left has 1 of 15"),
    ("trees", (*TREE, "base_weights"), numbers([0] * 14, ">f4"), "weights of its nodes"),
    ("trees", (*TREE, "loss_changes"), numbers([0], ">f4"), "loss_changes has 1 of 15"),
    ("trees", (*TREE, "sum_hessian"), ..., "'sum_hessian' is no ndarray"),
    ("trees", (*TREE, "split_type"), numbers([0], "|u1"), "split_type has 1 of 15"),
    ("trees", (*TREE, "split_type", 0), 1, "sets of other nodes"),
    ("trees", (*TREE, "split_type", 0), 7, "a split of an unknown kind"),
    ("trees", (*TREE, "id"), 1, "it is not in its place"),
    ("trees", (*TREE, "id"), -1, "it is not in its place"),
    ("trees", (*TREE, "id"), "0", "it is not in its place"),
    ("trees", (*TREE, "tree_param", "num_nodes"), "0", "it has no nodes"),
    ("trees", (*TREE, "tree_param", "num_nodes"), str(MOST), "left_children has 15 of"),
    ("trees", (*TREE, "tree_param", "num_nodes"), "-1", "num_nodes is '-1'"),
    ("trees", (*TREE, "tree_param", "num_nodes"), "9" * 30, "num_nodes is '99999"),
    ("trees", (*TREE, "tree_param", "num_nodes"), 15, "'num_nodes' is no str"),
    ("trees", (*TREE, "tree_param", "num_feature"), "99", "it has other features"),
    ("trees", (*TREE, "tree_param", "num_deleted"), "1", "nodes that were pruned away"),
    ("trees", (*TREE, "tree_param", "size_leaf_vector"), "9", "leaves of"),
    ("trees", (*TREE, "tree_param", "size_leaf_vector"), str(MOST), "leaves of"),
    ("trees", (*TREE, "tree_param"), ..., "'tree_param' is no dict"),
    ("trees", (*MODEL, "trees"), [], "0 trees of 3"),
    ("trees", (*MODEL, "trees"), {}, "'trees' is no list"),
    ("trees", (*MODEL, "trees", 0), None, "'tree_param' is no dict"),
    ("trees", (*MODEL, "tree_info", 0), 1, "a tree of no output"),
    ("trees", (*MODEL, "tree_info", 0), -1, "a tree of no output"),
    ("trees", (*MODEL, "tree_info", 0), MOST, "a tree of no output"),
    ("trees", (*MODEL, "tree_info", 0), "0", "tree_info are no whole numbers"),
    ("trees", (*MODEL, "tree_info"), [], "groups of 0 trees of 3"),
    ("trees", (*MODEL, "iteration_indptr", 1), -5, "rounds that do not add up"),
    ("trees", (*MODEL, "iteration_indptr", 3), 99, "rounds that do not add up"),
    ("trees", (*MODEL, "iteration_indptr"), [], "rounds that do not add up"),
    ("trees", (*MODEL, "iteration_indptr"), ..., "'iteration_indptr' is no list"),
    ("trees", (*MODEL, "iteration_indptr", 1), 0.5, "iteration_indptr are no whole numbers"),
    ("trees", (*MODEL, "gbtree_model_param", "num_trees"), str(MOST), "3 trees of 2147483647"),
    ("trees", (*MODEL, "gbtree_model_param", "num_parallel_tree"), "x", "XGBoostError"),
    ("trees", (*MODEL, "cats"), 5, "'enc' is no list"),
    ("trees", (*MODEL, "weight_drop"), [1.0] * 99, "weights of its trees"),
    ("trees", (*MODEL, "weight_drop"), [1.0] * 3, "it was trained with XGBoost 3.4 or newer"),
    ("trees", (*SHAPE, "num_feature"), "1", "it has other features"),
    ("trees", (*SHAPE, "num_feature"), "4294967296", "num_feature is 4294967296"),
    ("trees", (*SHAPE, "num_class"), str(MOST), "1 base scores of 2147483647"),
    ("trees", (*SHAPE, "num_target"), str(MOST), "1 base scores of 2147483647"),
    ("trees", (*SHAPE, "num_target"), "0", "classes and targets do not agree"),
    ("trees", (*SHAPE, "num_class"), "-1", "num_class is '-1'"),
    ("trees", (*SHAPE, "base_score"), "[1,2,3]", "3 base scores of 1"),
    ("trees", (*SHAPE, "base_score"), "[1", "JSONDecodeError"),
    ("trees", (*SHAPE, "base_score"), "[" * 50_000, "base_score is nested too deeply"),
    ("trees", (*SHAPE, "base_score"), "[1e999]", "1 base scores of 1"),
    ("trees", (*SHAPE, "base_score"), "[NaN]", "NaN is no number of JSON"),
    ("trees", SHAPE, ..., "'learner_model_param' is no dict"),
    ("trees", ("learner",), ..., "not in XGBoost's binary format|'learner' is no dict"),
    ("trees", ("learner", "objective", "name"), "multi:softprob", "softmax_multiclass_param"),
    ("trees", ("learner", "objective", "name"), "no:such", "is of another booster than model.ubj"),
    ("trees", ("learner", "objective"), ..., "'objective' is no dict"),
    ("trees", ("learner", "feature_names"), ["a"], "1 feature_names of 2"),
    ("trees", ("learner", "feature_names"), [1, 2], "feature_names that are no text"),
    ("trees", ("learner", "feature_types"), ["float"] * 99, "99 feature_types of 2"),
    ("trees", ("learner", "attributes"), {"best_iteration": "3"}, "the best round is 3 of 3"),
    ("trees", ("learner", "attributes"), {"best_iteration": "-1"}, "best_iteration is '-1'"),
    ("trees", ("learner", "attributes"), {"a": 1}, "attributes without text"),
    ("trees", ("learner", "gradient_booster", "name"), "gblinear", "'weights' is no ndarray"),
    ("trees", ("learner", "gradient_booster", "name"), "dart", "'gbtree' is no dict"),
    ("trees", ("learner", "gradient_booster", "name"), "own", "the unknown booster 'own'"),
    ("trees", ("version",), "3", "XGBoostError|version"),
    ("dart", ("learner", "gradient_booster", "weight_drop"), [], "weights of its trees"),
    ("dart", ("learner", "gradient_booster", "weight_drop", 0), "1", "weights of its trees"),
    ("dart", ("learner", "gradient_booster", "weight_drop"), ..., "weights of its trees"),
    ("dart", ("learner", "gradient_booster", "gbtree", "name"), "dart", "it has no trees"),
    ("linear", (*MODEL, "weights"), numbers([1], ">f4"), "weights of another shape"),
    ("linear", (*MODEL, "weights"), numbers([1, 2, 3]), "weights of another shape"),
    ("linear", (*MODEL, "weights"), ..., "'weights' is no ndarray"),
    ("linear", (*SHAPE, "num_feature"), "1000", "weights of another shape"),
    ("linear", (*MODEL, "boosted_rounds"), "x", "XGBoostError"),
    ("categories", (*TREE, "categories", 0), -1, "a category below zero"),
    ("categories", (*TREE, "categories", 0), MOST, "categories beyond those of any data"),
    ("categories", (*TREE, "categories"), numbers([]), "a set beyond its categories"),
    ("categories", (*TREE, "categories_nodes", 0), 99, "sets of other nodes"),
    ("categories", (*TREE, "categories_nodes", 0), -1, "sets of other nodes"),
    ("categories", (*TREE, "categories_segments", 0), 7, "a set beyond its categories"),
    ("categories", (*TREE, "categories_segments", 0), -1, "a set beyond its categories"),
    ("categories", (*TREE, "categories_sizes", 0), 2**62, "a set beyond its categories"),
    ("categories", (*TREE, "categories_sizes", 0), 0, "a set beyond its categories"),
    ("categories", (*TREE, "categories_sizes"), numbers([], ">i8"), "sizes has 0 of"),
    ("categories", (*MODEL, "cats", "feature_segments", 3), 99, "that do not add up"),
    ("categories", (*MODEL, "cats", "feature_segments", 3), -1, "that do not add up"),
    ("categories", (*MODEL, "cats", "sorted_idx", 0), 99, "an order that is none"),
    ("categories", (*MODEL, "cats", "sorted_idx"), numbers([]), "an order of other categories"),
    ("categories", (*MODEL, "cats", "enc"), [], "categories of no features"),
    ("categories", (*MODEL, "cats", "enc", 2, "offsets", 1), 99, "names beyond their text"),
    ("categories", (*MODEL, "cats", "enc", 2, "offsets", 3), MOST, "names beyond their text"),
    ("categories", (*MODEL, "cats", "enc", 2, "values"), numbers([], "|i1"), "beyond their text"),
    ("categories", (*MODEL, "cats", "enc", 2), 5, "categories that are none"),
    ("vectors", (*TREE, "right_children", 14), 99, "a leaf without weights"),
    ("vectors", (*TREE, "right_children", 14), -1, "a leaf without weights"),
    ("vectors", (*TREE, "leaf_weights"), numbers([0.0], ">f4"), "weights of its leaves"),
    ("vectors", (*TREE, "leaf_weights"), ..., "'leaf_weights' is no ndarray"),
    ("vectors", (*TREE, "base_weights"), numbers([0.0], ">f4"), "weights of its nodes"),
    ("vectors", (*TREE, "tree_param", "size_leaf_vector"), "1", "leaves of"),
    ("vectors", (*SHAPE, "num_target"), "3", "2 base scores of 3"),
    ("vectors", (*MODEL, "tree_info", 0), 1, "a tree of no output"),
    ("classes", (*MODEL, "tree_info", 0), 3, "a tree of no output"),
    ("classes", (*SHAPE, "num_class"), "2", "3 base scores of 2"),
    ("classes", ("learner", "objective", "softmax_multiclass_param", "num_class"), "9", "9 clas"),
    ("quantiles", ("learner", "objective", "quantile_loss_param", "quantile_alpha"), "[0.1]",
     "1 quantiles of 2"),
]  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    real_folders.write(root)
    return root


@pytest.fixture(scope="module")
def loader(real):
    made = Loader(sorted(real.iterdir()))
    yield made
    made.close()


def check_refused(loader, folder, text):
    size = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
    made = loader.load(folder)
    assert wrong(made, size) is None
    assert made["load"], f"{made['name']} was loaded"
    assert "ValueError" in made["load"]["classes"]
    assert any(part in made["load"]["text"] for part in text.split("|")), made["load"]["text"]
    assert str(folder) in made["load"]["text"]
    assert len(made["load"]["text"]) < 2500


@pytest.fixture
def tampered(real, tmp_path):
    def copied(kind):
        return Path(shutil.copytree(real / kind, tmp_path / "model"))

    return copied


@pytest.mark.parametrize(("kind", "path", "new", "text"), BOOSTERS)
def test_boosters(loader, tampered, kind, path, new, text):
    folder = tampered(kind)
    edit_booster(folder, path, new)
    check_refused(loader, folder, text)


ARRAY = {"$array": [0.0, 0.0], "dtype": "float64", "shape": [2]}
SCALER = "raydp_ml.preprocessing.StandardScaler"


# Kind of folder, path in estimator.json, what is put there, and what is said.
ESTIMATORS = [
    ("scaler", ("class",), "os.system", "holds a 'os.system', which is not one of"),
    ("scaler", ("class",), ["StandardScaler"], "which is not one of"),
    ("scaler", ("class",), "sklearn.svm.SVC", "which is not one of"),
    ("scaler", ("class",), "make_column_selector", "which is not one of"),
    ("scaler", ("class",), "x" * 100_000, "which is not one of"),
    ("scaler", ("class",), ..., "KeyError"),
    ("scaler", ("class",), "XGBRegressor", "is damaged"),
    ("scaler", ("version",), 2, "format version 2, and this raydp_ml reads up to 1"),
    ("scaler", ("version",), "1", "the format version is '1'"),
    ("scaler", ("version",), True, "the format version is True"),
    ("scaler", ("version",), 0.5, "the format version is 0.5"),
    ("scaler", ("version",), -1, "the format version is -1"),
    ("scaler", ("version",), 10**4000, "format version 1000"),
    ("scaler", ("version",), ..., "KeyError: 'version'"),
    ("scaler", PARAMS, [], "AttributeError"),
    ("scaler", PARAMS, ..., "KeyError: 'params'"),
    ("scaler", STATE, None, "AttributeError"),
    ("scaler", ("held",), ["x"] * 5, "No such file"),
    ("scaler", ("held",), 5, "TypeError"),
    ("scaler", (*PARAMS, "nonsense"), 1, "TypeError"),
    ("scaler", (*STATE, "n_features_in_"), -1, "n_features_in_ is -1"),
    ("scaler", (*STATE, "n_features_in_"), 10**30, "n_features_in_ is 10000"),
    ("scaler", (*STATE, "n_features_in_"), {"$float": "nan"}, "n_features_in_ is nan"),
    ("scaler", (*STATE, "n_features_in_"), "2", "n_features_in_ is '2'"),
    ("scaler", (*STATE, "n_features_in_"), 3, "feature_names_in_ are not those of 3 features"),
    ("scaler", (*STATE, "feature_names_in_"), ARRAY, "feature_names_in_ are not those of 2"),
    ("scaler", (*STATE, "feature_names_in_", "$array"), ["a"], "shape [2] and 1 values"),
    ("scaler", (*STATE, "transform"), {"$ufunc": "exp"}, "'transform' of a StandardScaler is not"),
    ("scaler", (*STATE, "__class__"), {"$type": "float64"}, "'__class__' is no attribute"),
    ("scaler", (*STATE, "__dict__"), {"$dict": []}, "'__dict__' is no attribute"),
    ("scaler", (*STATE, "with_mean"), True, "'with_mean' of a StandardScaler is not"),
    ("scaler", (*STATE, "a b"), 1, "'a b' is no attribute"),
    ("scaler", (*STATE, "mean_"), {"$code": "1"}, "KeyError: \"unknown value ['$code']"),
    ("scaler", (*STATE, "mean_"), {"$estimator": "os.system", "params": {}}, "KeyError"),
    ("scaler", (*STATE, "mean_"), {"$function": "os.system"}, "KeyError"),
    ("scaler", (*STATE, "mean_"), {"$ufunc": "load"}, "KeyError"),
    ("scaler", (*STATE, "mean_"), {"$ufunc": "__builtins__"}, "KeyError"),
    ("scaler", (*STATE, "mean_"), {"$ufunc": ["exp"]}, "TypeError"),
    ("scaler", (*STATE, "mean_"), {"$decimal": "1e999999999"}, "a decimal of more than 76 digits"),
    ("scaler", (*STATE, "mean_"), {"$decimal": "9" * 999}, "a decimal of more than 76 digits"),
    ("scaler", (*STATE, "mean_"), {"$decimal": "x"}, "InvalidOperation"),
    ("scaler", (*STATE, "mean_"), {"$float": "x"}, "could not convert"),
    ("scaler", (*STATE, "mean_"), {"$slice": [1, 2, 3, 4]}, "TypeError"),
    ("scaler", (*STATE, "mean_"), {"$dict": [[[], 1]]}, "TypeError"),
    ("scaler", (*STATE, "mean_"), {"$dict": [1]}, "TypeError"),
    ("scaler", (*STATE, "mean_"), {"$scalar": 1}, "TypeError"),
    ("scaler", (*STATE, "mean_", "dtype"), "<U999999999", "strings|ValueError|damaged"),
    ("scaler", (*STATE, "mean_", "dtype"), "V1000000000", "is no dtype of a saved array"),
    ("scaler", (*STATE, "mean_", "dtype"), "(1000000,)f8", "is no dtype of a saved array"),
    ("scaler", (*STATE, "mean_", "dtype"), "f8,f8", "is no dtype of a saved array"),
    ("scaler", (*STATE, "mean_", "dtype"), "M8[ns]", "is no dtype of a saved array"),
    ("scaler", (*STATE, "mean_", "dtype"), "no such", "TypeError"),
    ("scaler", (*STATE, "mean_", "dtype"), 8, "8 is no dtype of a saved array"),
    ("scaler", (*STATE, "mean_", "shape"), [2, 10**9], "shape [2, 1000000000] and 2 values"),
    ("scaler", (*STATE, "mean_", "shape"), [-1], "[-1] is no shape"),
    ("scaler", (*STATE, "mean_", "shape"), [0, 10**12], "is no shape of an array"),
    ("scaler", (*STATE, "mean_", "shape"), 2, "2 is no shape"),
    ("scaler", (*STATE, "mean_", "shape"), ["2"], "is no shape"),
    ("scaler", (*STATE, "mean_", "shape"), [1] * 100, "damaged"),
    ("scaler", (*STATE, "mean_", "$array"), ["x", "y"], "could not convert"),
    ("scaler", (*STATE, "mean_", "$array"), [[1], [2, 3]], "inhomogeneous|TypeError"),
    ("scaler", (*STATE, "mean_", "$array"), 5, "TypeError"),
    ("scaler", (*STATE, "mean_", "$array"), [10**400, 1], "OverflowError"),
    ("sql", (*STATE, "_distrust"), {"$type": "float64"}, "'_distrust' of a SQLTransformer is not"),
    ("sql", (*STATE, "tables"), ["secret"], "'tables' of a SQLTransformer is not"),
    ("sql", (*STATE, "transform"), {"$type": "float64"}, "'transform' of a SQLTransformer is not"),
    ("function", (*PARAMS, "func"), {"$ufunc": "frompyfunc"}, "KeyError"),
    ("function", (*PARAMS, "func"), {"$function": "builtins.eval"}, "KeyError"),
    ("function", (*STATE, "func"), {"$ufunc": "exp"}, "'func' of a FunctionTransformer is not"),
    ("counts", (*STATE, "vocabulary_", "$dict", 0, 1), 10**9, "does not number its terms"),
    ("counts", (*STATE, "vocabulary_", "$dict", 0, 1), -1, "does not number its terms"),
    ("counts", (*STATE, "vocabulary_", "$dict", 0, 1), "0", "does not number its terms"),
    ("counts", (*STATE, "vocabulary_"), [1], "AttributeError"),
    ("tfidf", (*STATE, "vocabulary_", "$dict", 1, 1), 10**9, "does not number its terms"),
    ("one_hot", (*STATE, "_drop_idx_after_grouping", "$array", 0), 99, "is dropped|of its out"),
    ("one_hot", (*STATE, "_drop_idx_after_grouping", "$array", 0), -5, "is dropped"),
    ("one_hot", (*STATE, "_n_features_outs"), [10**9], "not those of its outputs"),
    ("one_hot", (*STATE, "categories_"), [], "not those of its features"),
    ("one_hot_rare", (*STATE, "_default_to_infrequent_mappings", 0, "$array", 0), 10**9,
     "the places of infrequent categories"),
    ("one_hot_rare", (*STATE, "_default_to_infrequent_mappings", 0, "$array", 0), -9,
     "the places of infrequent categories"),
    ("one_hot_rare", (*STATE, "_default_to_infrequent_mappings"), [None], "without a place"),
    ("one_hot_rare", (*STATE, "_infrequent_indices"), ..., "AttributeError"),
    ("bins", (*STATE, "_encoder", "state", "_n_features_outs"), [1, 10**9], "of its outputs"),
    ("bins", (*STATE, "_encoder", "state", "transform"), {"$ufunc": "exp"}, "'transform' of a One"),
    ("polynomial", (*STATE, "n_output_features_"), 10**12, "its outputs are 1000"),
    ("polynomial", (*STATE, "_n_out_full"), 10**12, "its outputs are"),
    ("polynomial", (*STATE, "_max_degree"), 10**9, "its degree is another"),
    ("polynomial", (*PARAMS, "degree"), 10**9, "degree is 1000"),
    ("polynomial", (*PARAMS, "degree"), {"$tuple": [5, 1]}, "degree is (5, 1)"),
    ("splines", (*STATE, "bsplines_", 0, "$bspline", "k"), 10**9, "damaged"),
    ("splines", (*STATE, "bsplines_", 0, "$bspline", "k"), -1, "damaged"),
    ("splines", (*STATE, "bsplines_", 0, "$bspline", "t"), ARRAY, "damaged"),
    ("splines", (*STATE, "bsplines_", 0, "$bspline", "c"), ARRAY, "damaged"),
    ("splines", (*STATE, "bsplines_"), [], "not those of its features"),
    ("splines", (*STATE, "n_features_out_"), 10**12, "not those of its outputs"),
    ("columns", (*STATE, "transformers_", 0, "$tuple", 1, "params", "memory"), "/tmp",
     "a Pipeline with memory, which is a folder of pickles"),
    ("columns", (*PARAMS, "transformers", 0, "$tuple", 1, "params", "memory"), "/tmp",
     "a Pipeline with memory"),
    ("pipeline", (*PARAMS, "memory"), "/tmp/pickles", "a Pipeline with memory"),
    ("pipeline", ("steps", 0, 0), 5, "the step 0 has the name 5"),
    ("pipeline", ("steps",), [["a", "../../etc"]] * 9, "No such file"),
    ("pipeline", ("steps",), 5, "TypeError"),
    ("pipeline", ("steps",), ..., "KeyError: 'steps'"),
    ("sigmoid", (*STATE, "calibrated_by"), "os.system", "KeyError: 'os.system'"),
    ("sigmoid", (*STATE, "calibrators"), 5, "TypeError"),
    ("trees", (*PARAMS, "n_jobs"), "1", "n_jobs is '1'"),
    ("trees", (*PARAMS, "n_jobs"), {"$float": "nan"}, "n_jobs is nan"),
    ("trees", (*PARAMS, "n_jobs"), True, "n_jobs is True"),
    ("trees", (*STATE, "n_features_in_"), 3, "n_features_in_ is 3, of a layout of other"),
    ("trees", (*STATE, "n_targets"), 5, "are not of one model"),
    ("trees", (*STATE, "n_targets"), "x", "the label is of 'x' targets"),
    ("trees", (*STATE, "set_aside"), 5, "5 was set aside"),
    ("trees", (*STATE, "layout"), 5, "TypeError"),
    ("trees", (*STATE, "layout"), ..., "KeyError: 'layout'"),
    ("trees", (*STATE, "layout", "$dict", 0, 1, 0, 1), "vector", "damaged"),
    ("trees", (*STATE, "layout", "$dict", 0, 1, 0, 2), 10**12, "is none"),
    ("trees", (*STATE, "layout", "$dict", 0, 1, 0), ["a", "vector", 10**12], "another|other"),
    ("trees", (*STATE, "layout", "$dict", 0, 1, 0, 0), "a`) FROM x --", "those of the layout"),
    ("trees", (*STATE, "layout", "$dict", 0, 1, 0, 0), 5, "is none"),
    ("trees", (*STATE, "layout", "$dict", 0, 1, 0, 3), [1], "is none"),
    ("trees", (*STATE, "layout", "$dict", 1, 1), 10**12, "of a layout of other features"),
    ("trees", (*STATE, "layout", "$dict", 2, 1), False, "feature_names_in_ are not those of 2"),
    ("trees", (*STATE, "predict"), {"$ufunc": "exp"}, "'predict' of a XGBRegressor is not"),
    ("trees", (*STATE, "feature_importances_"), 5, "'feature_importances_' of a XGBRegressor"),
    ("classes", (*STATE, "classes_", "$array"), ["x"], "and 1 values"),
    ("classes", (*STATE, "classes_"), ARRAY, "are not of one model"),
    ("classes", (*STATE, "classes_"), 5, "TypeError"),
    ("binary", (*STATE, "classes_"), {**ARRAY, "$array": [1, 2, 3], "shape": [3]}, "of one model"),
    ("labels", (*STATE, "n_targets"), 3, "are not of one model"),
    ("network", (*STATE, "n_outputs"), 10**9, "1000000000 outputs"),
    ("network", (*STATE, "n_outputs"), "1", "'1' outputs"),
    ("network", (*PARAMS, "hidden_layer_sizes", "$tuple"), [10**9], "do not fit the module"),
    ("network", (*PARAMS, "hidden_layer_sizes", "$tuple"), [1] * 9999, "do not fit the module"),
    ("network", (*PARAMS, "hidden_layer_sizes", "$tuple"), [-4], "InvalidParameterError"),
    ("network", (*PARAMS, "activation"), "eval", "KeyError: 'eval'"),
    ("network", (*PARAMS, "module"), {"$dict": [["own_module", "os.system"]]}, "runs no code that"),
    ("network", (*PARAMS, "inputs"), {"$dict": [["x", ["a"]]]}, "SchemaError"),
    ("network_classes", (*STATE, "classes_"), ARRAY, "3 outputs, where there are [1, 2]"),
    ("embedding", (*PARAMS, "embedding_dim"), 10**9, "do not fit the module"),
    ("embedding", (*PARAMS, "embedding_dim"), -1, "do not fit the module"),
    ("frozen", ("held",), [], "TypeError"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "new", "text"), ESTIMATORS)
def test_estimators(loader, tampered, kind, path, new, text):
    folder = tampered(kind)
    edit_json(folder, path, new)
    check_refused(loader, folder, text)


# Kind of folder, path, what is put there: odd, but what `load` makes of it does no harm.
HARMLESS = [
    ("scaler", (*STATE, "mean_", "dtype"), "int8"),
    ("scaler", (*STATE, "mean_"), {"$slice": [1]}),
    ("scaler", (*STATE, "mean_"), ARRAY | {"$array": [], "shape": [0]}),
    ("scaler", (*STATE, "mean_"), {"$ufunc": "exp"}),
    ("scaler", (*STATE, "_distrust"), {"$type": "float64"}),
    ("scaler", (*STATE, "mean_"), {"$scalar": {"$array": [1], "dtype": "bool", "shape": []}}),
    ("one_hot", (*STATE, "categories_"), ...),
    ("pca", (*STATE, "components_"), ARRAY),
    ("quantile", (*STATE, "quantiles_"), ARRAY),
    ("imputer", (*STATE, "statistics_"), ARRAY | {"$array": [1.0], "shape": [1]}),
    ("imputer", (*STATE, "indicator_", "state", "features_"), ARRAY),
    ("ordinal", (*STATE, "categories_"), []),
    ("target", (*STATE, "encodings_"), []),
    ("best", (*STATE, "scores_"), ARRAY | {"$array": [], "shape": [0]}),
    ("columns", (*STATE, "transformers_"), []),
    ("columns", (*STATE, "output_indices_"), {"$dict": []}),
    ("isotonic", (*STATE, "calibrators"), []),
    ("threshold", ("held",), ["estimator_", "estimator"]),
    ("trees", (*PARAMS, "n_jobs"), 10**9),
    ("trees", (*PARAMS, "n_jobs"), -(10**9)),
    ("trees", (*PARAMS, "device"), "cuda:999"),
    ("trees", (*PARAMS, "missing"), 0.0),
    ("trees", (*PARAMS, "n_estimators"), 10**12),
    ("trees", (*PARAMS, "num_workers"), 10**9),
    ("trees", (*PARAMS, "random"), "unknown"),
    ("trees", (*STATE, "_Booster"), 5),
    ("trees", (*STATE, "_layout"), 5),
    ("trees", (*STATE, "label_decimal"), {"$tuple": [10**9, 5]}),
    ("classes", (*STATE, "classes_", "$array"), ["a", "a", "a"]),
    ("network", (*PARAMS, "optimizer"), "eval"),
    ("network", (*PARAMS, "random_state"), -1),
    ("network_classes", (*PARAMS, "criterion"), "AdaptiveLogSoftmaxWithLoss"),
]


@pytest.mark.parametrize(("kind", "path", "new"), HARMLESS)
def test_what_does_no_harm(loader, tampered, kind, path, new):
    folder = tampered(kind)
    edit_json(folder, path, new)
    made = loader.load(folder)
    assert wrong(made, 0) is None
    assert made["load"] is None or "ValueError" in made["load"]["classes"]


def test_arguments_of_a_loss_take_no_memory(loader, tampered):
    folder = tampered("network_classes")
    edit_json(folder, (*PARAMS, "criterion"), "AdaptiveLogSoftmaxWithLoss")
    for name, value in (("in_features", 10**6), ("n_classes", 10**6), ("cutoffs", [10, 10**5])):
        edit_json(folder, (*PARAMS, f"criterion__{name}"), value)
    made = loader.load(folder)
    assert wrong(made, 0) is None
    assert made["load"] is None


CONFIGS = [
    (("learner", "gradient_booster", "name"), "gblinear", "is of another booster"),
    (("learner", "learner_train_param", "booster"), "dart", "is of another booster"),
    (("learner", "learner_train_param", "objective"), "multi:softmax", "is of another booster"),
    (("learner", "learner_train_param", "multi_strategy"), "no such", "XGBoostError"),
    (("learner", "objective", "name"), "multi:softprob", "is of another booster"),
    (("learner", "objective", "more"), {"num_class": "9"}, "is of another booster"),
    (("learner", "gradient_booster", "updater", 0, "name"), "no such", "XGBoostError"),
    (("learner", "gradient_booster", "updater"), 5, "XGBoostError"),
    (("learner", "gradient_booster", "tree_train_param", "max_depth"), "-99", "XGBoostError"),
    (("learner", "gradient_booster", "tree_train_param", "eta"), "x", "XGBoostError"),
    (("learner", "generic_param"), ..., "'generic_param' is no dict"),
    (("learner", "metrics"), 5, "XGBoostError"),
    (("learner", "metrics"), [{"name": "no such"}], "XGBoostError"),
    (("learner",), 5, "'learner' is no dict"),
    (("version",), "3.2.0", "'version' is no list"),
    (("version",), ["3", 2, 0], "a version that is none"),
]


@pytest.mark.parametrize(("path", "new", "text"), CONFIGS)
def test_configurations(loader, tampered, path, new, text):
    folder = tampered("trees")
    edit_json(folder, path, new, "model_config.json")
    check_refused(loader, folder, text)


def test_a_configuration_says_no_number_of_threads(loader, tampered):
    folder = tampered("trees")
    for name in ("nthread", "n_jobs"):
        edit_json(folder, ("learner", "generic_param", name), "1000000", "model_config.json")
    made = loader.load(folder)
    assert wrong(made, 0) is None
    assert made["load"] is made["use"] is None


def length(count):
    return b"L" + struct.pack(">q", count)


def begun(data):
    """Begin a booster's file as XGBoost expects it."""
    return b"{" + length(7) + b"learner" + data


def deep_booster():
    return begun((b"{" + length(1) + b"a") * 200_000)


# File, its content (or what makes it of the real one), and what is said.
FILES = [
    ("model.ubj", b"", "not in XGBoost's binary format"),
    ("model.ubj", b"{", "not in XGBoost's binary format"),
    ("model.ubj", b'{"learner": {}}', "not in XGBoost's binary format"),
    ("model.ubj", b"{ L", "not in XGBoost's binary format"),
    ("model.ubj", b"binf" + bytes(100), "not in XGBoost's binary format"),
    ("model.ubj", b"{" + length(2**62) + b"learner", "bytes at byte"),
    ("model.ubj", b"{" + length(-1) + b"learner", "bytes at byte"),
    ("model.ubj", b"{" + length(7) + b"lear", "7 bytes at byte 10 of 14"),
    ("model.ubj", begun(b"S" + length(2**40)), "1099511627776 bytes at byte"),
    ("model.ubj", begun(b"S" + length(-5)), "-5 bytes at byte"),
    ("model.ubj", begun(b"S" + length(2) + b"\xff\xfe" + b"}"), "UnicodeDecodeError"),
    ("model.ubj", begun(b"[$d#" + length(2**61)), "bytes at byte"),
    ("model.ubj", begun(b"[$d#" + length(2**62)), "bytes at byte"),
    ("model.ubj", begun(b"[$d#" + length(-1)), "-4 bytes at byte"),
    ("model.ubj", begun(b"[$x#" + length(1)), "no array of numbers"),
    ("model.ubj", begun(b"[$dX" + length(1)), "no array of numbers"),
    ("model.ubj", begun(b"[#" + length(2**40)), "1099511627776 values at byte"),
    ("model.ubj", begun(b"[#" + length(-1)), "-1 values at byte"),
    ("model.ubj", begun(b"[#" + length(90_000) + b"Z" * 90_000), "it has no content"),
    ("model.ubj", begun(b"[Z]}"), "an array without a length"),
    ("model.ubj", begun(b"[" * 200_000), "an array without a length"),
    ("model.ubj", begun((b"[#" + length(1)) * 200_000), "nested too deeply"),
    ("model.ubj", deep_booster(), "nested too deeply"),
    ("model.ubj", begun(b"H"), "the unknown marker b'H'"),
    ("model.ubj", begun(b"N"), "the unknown marker b'N'"),
    ("model.ubj", begun(b"l\x00"), "4 bytes at byte"),
    ("model.ubj", begun(b"Z") + length(7) + b"learnerZ}", "'learner' is given twice"),
    ("model.ubj", begun(b"Z}"), "'learner' is no dict"),
    ("model.ubj", lambda data: data + b"}", "1 bytes after its end"),
    ("model.ubj", lambda data: data[:-1], "no length at byte|bytes at byte"),
    ("model.ubj", lambda data: data[: len(data) // 2], "at byte"),
    ("model.ubj", lambda data: bytes(len(data)), "not in XGBoost's binary format"),
    ("model.ubj", None, "FileNotFoundError"),
    ("model_config.json", b"", "JSONDecodeError"),
    ("model_config.json", b"[]", "'learner' is no dict"),
    ("model_config.json", b"[" * 200_000, "nested too deeply"),
    ("model_config.json", b'{"a":' * 200_000, "nested too deeply"),
    ("model_config.json", b"\xff", "UnicodeDecodeError"),
    ("model_config.json", lambda data: data.replace(b'{"', b'{"x":' + b"[" * 99 + b"]" * 99
                                                    + b',"', 1), "nested too deeply"),
    ("estimator.json", b"", "is not a folder that raydp_ml saved"),
    ("estimator.json", b"{", "is not a folder that raydp_ml saved"),
    ("estimator.json", b"[]", "is not a folder that raydp_ml saved"),
    ("estimator.json", b"\xff\xfe\xff", "is not a folder that raydp_ml saved"),
    ("estimator.json", b"[" * 200_000, "is not a folder that raydp_ml saved"),
    ("estimator.json", b'{"a":' * 200_000, "is not a folder that raydp_ml saved"),
    ("estimator.json", b'{"format": "raydp_ml", "version": NaN}', "is not a folder that raydp_ml"),
    ("estimator.json", b'{"format": "raydp_ml"}', "KeyError: 'version'"),
    ("estimator.json", b'{"format": "raydp_ml", "version": ' + b"9" * 5000 + b"}", "is not a fold"),
    ("estimator.json", lambda data: data.replace(b'"n_targets": 0', b'"n_targets": '
                                                 + b'{"$tuple": [' * 300 + b"]}" * 300), "damaged"),
    ("estimator.json", None, "is not a folder that raydp_ml saved"),
]  # fmt: skip


def check_file(loader, folder, file, content, text):
    if content is None:
        (folder / file).unlink()
    else:
        data = content((folder / file).read_bytes()) if callable(content) else content
        (folder / file).write_bytes(data)
    check_refused(loader, folder, text)


@pytest.mark.parametrize(("file", "content", "text"), FILES)
def test_files(loader, tampered, file, content, text):
    check_file(loader, tampered("trees"), file, content, text)


def header(text, rest=b""):
    return len(text).to_bytes(8, "little") + text + rest


WEIGHTS = [
    (b"", "JSONDecodeError"),
    (b"\xff" * 8, "begins with 18446744073709551615 bytes of 8"),
    (header(b"[]"), "names no arrays"),
    (header(b"{}"), "do not fit the module"),
    (header(b"[" * 100_000), "nested too deeply"),
    (header(b'{"a": 5}'), "TypeError"),
    (header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', bytes(4)),
     "do not fit the module"),
    (lambda data: data[:-4], "do not fit the module"),
    (lambda data: data + b"xxxx", "do not fit the module"),
    (lambda data: data.replace(b'"F32"', b'"XXX"'), "do not fit the module"),
    (lambda data: data.replace(b'"data_offsets":[0,', b'"data_offsets":[9,'), "do not fit"),
    (None, "FileNotFoundError"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "text"), WEIGHTS)
def test_weights(loader, tampered, content, text):
    check_file(loader, tampered("network"), "module.safetensors", content, text)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def directory(path):
    path.unlink()
    path.mkdir()


def link(to):
    def made(path):
        path.unlink()
        path.symlink_to(to)

    return made


PLACES = [
    ("trees", "estimator.json", pipe, "is not a folder that raydp_ml saved"),
    ("trees", "model.ubj", pipe, "model.ubj is no regular file"),
    ("trees", "model_config.json", pipe, "model_config.json is no regular file"),
    ("network", "module.safetensors", pipe, "module.safetensors is no regular file"),
    ("trees", "model.ubj", directory, "IsADirectoryError|no regular file"),
    ("trees", "estimator.json", directory, "is not a folder that raydp_ml saved"),
    ("trees", "model.ubj", link("/dev/zero"), "model.ubj is no regular file"),
    ("trees", "model.ubj", link("/etc/passwd"), "not in XGBoost's binary format"),
    ("trees", "model.ubj", link("model.ubj"), "OSError"),
    ("trees", "model.ubj", link("/no/such/file"), "FileNotFoundError"),
    ("trees", "model_config.json", link("/no/such/file"), "FileNotFoundError"),
    ("trees", "estimator.json", link("/dev/zero"), "is not a folder that raydp_ml saved"),
    ("network", "module.safetensors", link("/dev/zero"), "no regular file"),
]


@pytest.mark.parametrize(("kind", "file", "put", "text"), PLACES)
def test_what_is_no_file(loader, tampered, kind, file, put, text):
    folder = tampered(kind)
    put(folder / file)
    check_refused(loader, folder, text)


def test_folders_that_lead_elsewhere(loader, real, tampered):
    folder = tampered("pipeline")
    shutil.rmtree(folder / "step_0")
    (folder / "step_0").symlink_to(".")
    check_refused(loader, folder, "step_0 is a link, which could lead anywhere")
    (folder / "step_0").unlink()
    (folder / "step_0").write_text("no folder")
    check_refused(loader, folder, "NotADirectoryError")
    # One within the other, deeper than any that was saved.
    (folder / "step_0").unlink()
    inner = folder
    for _ in range(50):
        inner = inner / "step_0"
        inner.mkdir()
        shutil.copy(folder / "estimator.json", inner)
    check_refused(loader, folder, "estimators within estimators, more than 32 times")


def test_a_folder_that_is_none(loader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    for name in ("pipe", "file", "link"):
        check_refused(loader, tmp_path / name, "is not a folder that raydp_ml saved")


def test_files_of_other_models(loader, real, tampered, tmp_path):
    names = [path.parent.name for path in sorted(real.glob("*/model.ubj"))]
    for taken in names:
        for kept in names:
            folder = Path(shutil.copytree(real / kept, tmp_path / f"{kept}-{taken}"))
            shutil.copy(real / taken / "model.ubj", folder)
            made = loader.load(folder)
            assert wrong(made, 0) is None, (kept, taken)
            if made["load"] is not None:
                assert "is damaged" in made["load"]["text"]


def test_a_tree_deeper_than_any(loader, tampered):
    folder = tampered("trees")
    inner = 6000
    count = 2 * inner + 1
    left, right = np.full(count, -1), np.full(count, -1)
    places = np.concatenate([[0], np.arange(2, count - 1, 2)])
    left[places], right[places] = 2 * np.arange(inner) + 1, 2 * np.arange(inner) + 2
    parents = np.concatenate([[MOST], np.repeat(places, 2)])
    arrays = {"left_children": left, "right_children": right, "parents": parents}
    arrays = {name: values.astype(">i4") for name, values in arrays.items()}
    arrays["split_indices"] = np.zeros(count, ">i4")
    arrays |= {name: np.zeros(count, "|u1") for name in ("default_left", "split_type")}
    floats = ("loss_changes", "sum_hessian", "base_weights", "split_conditions")
    arrays |= {name: np.zeros(count, ">f4") for name in floats}
    model = read_ubjson((folder / "model.ubj").read_bytes())
    at(model, TREE).update(arrays)
    model = changed(model, (*TREE, "tree_param", "num_nodes"), str(count))
    (folder / "model.ubj").write_bytes(written_ubjson(model))
    check_refused(loader, folder, "it is deeper than 4096")


def test_our_writer_writes_what_xgboost_does(real):
    for path in real.glob("*/model.ubj"):
        data = path.read_bytes()
        assert read_ubjson(written_ubjson(read_ubjson(data))) is not None
        again = written_ubjson(read_ubjson(data))
        assert read_ubjson(again).keys() == read_ubjson(data).keys()
        assert len(again) >= len(data)


OBJECTIVES = [
    *("reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "count:poisson"),
    *("reg:gamma", "reg:tweedie", "binary:logitraw", "binary:hinge", "multi:softmax"),
]
SETTINGS = [
    {"booster": booster, "base_score": score}
    for booster in ("gbtree", "dart", "gblinear")
    for score in (None, 0.3)
] + [
    {"tree_method": "approx", "gamma": 20},
    {"max_depth": 0, "max_leaves": 50, "grow_policy": "lossguide"},
    {"num_parallel_tree": 3},
    {"n_jobs": -1},
    {"nthread": 1000},
]


def test_no_real_booster_is_refused(tmp_path):
    data = real_folders.frame()
    X, y = data[["a", "b"]], data.y
    labels = {"bin": y > 0, "mul": np.digitize(y, [-1, 1])}
    cases = []
    for objective in OBJECTIVES:
        label = labels.get(objective[:3])
        model = XGBRegressor if label is None else XGBClassifier
        cases.append((model(objective=objective), np.exp(y) if label is None else label))
    for settings in SETTINGS:
        cases.append((XGBClassifier(**settings), labels["mul"]))
        cases.append((XGBRegressor(**settings), np.column_stack([y, -y])))
    for index, (model, label) in enumerate(cases):
        rows = scipy.sparse.csr_matrix(X) if index % 2 else X
        model.set_params(n_estimators=3).fit(rows, label).save(tmp_path / "it")
        again = raydp_ml.load(tmp_path / "it")
        np.testing.assert_array_equal(again.predict(rows), model.predict(rows))


def test_real_folders_are_loaded(loader, real):
    for path in sorted(real.iterdir()):
        made = loader.load(path)
        assert wrong(made, 0) is None
        assert made["load"] is None, made["load"]


@pytest.mark.parametrize("fitted", [True, False])
def test_a_query_is_not_the_users(tampered, fitted):
    folder = tampered("sql")
    edit_json(folder, ("fitted",), fitted)
    edit_json(folder, (*PARAMS, "tables"), ["secret"])
    step = raydp_ml.load(folder)
    assert step.tables == ()
    assert step.statement == "select a, b from __THIS__"
    assert type(step.statement) is not str
    assert json.dumps(step.statement) == '"select a, b from __THIS__"'


def test_nothing_starts_processes_or_writes_files(loader, tampered, tmp_path):
    folder = tampered("columns")
    edit_json(folder, (*PARAMS, "n_jobs"), 2)
    made = loader.load(folder)
    assert wrong(made, 0) is None
    assert made["load"] is made["use"] is None
    shutil.rmtree(folder)
    folder = tampered("network")
    edit_json(folder, (*PARAMS, "checkpoint_path"), str(tmp_path / "elsewhere"))
    assert raydp_ml.load(folder).checkpoint_path is None


@pytest.mark.slow
def test_whatever_is_changed():
    """An hour of this: ``python -m tests.saving.hostile.fuzzing 3600``."""
    number, counts, found = fuzz(45, seed=int.from_bytes(os.urandom(4), "little"))
    assert not found, found
    assert number > 100
    assert counts["loaded"] > 0
    assert counts["refused"] > 0
