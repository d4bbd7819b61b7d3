"""The tests that xgboost installs (``xgboost.testing``), with our classes in memory.

The rest of its scikit-learn tests, ``tests/python/test_with_sklearn.py``, is in xgboost's
repository only: neither a wheel nor the source distribution holds it.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xgboost

from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor
from tests.upstream.expected import read

LISTED = "3.2.0"
EXPECTED = read(Path(__file__).with_name("xgboost.toml"))
OURS = {cls.__name__: cls for cls in (XGBClassifier, XGBRanker, XGBRegressor)}

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        xgboost.__version__ != LISTED,
        reason=f"the expected failures are those of xgboost {LISTED}'s tests",
    ),
]


def two_classes():
    rng = np.random.default_rng(1994)
    X = rng.normal(size=(200, 6))
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def three_classes():
    X, _ = two_classes()
    return X, np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])


CALLS = {
    "intercept.run_init_estimation": [("hist", "cpu")],
    "metrics.check_precision_score": [("hist", "cpu")],
    "metrics.run_pr_auc_binary": [("hist", "cpu")],
    "metrics.run_pr_auc_ltr": [("hist", "cpu")],
    "metrics.run_pr_auc_multi": [("hist", "cpu")],
    "multi_target.run_column_sampling": [("cpu",)],
    "multi_target.run_multiclass": [("cpu", None), ("cpu", 1.0)],
    "multi_target.run_multilabel": [("cpu", None), ("cpu", 1.0)],
    "parse_tree.run_split_value_histograms": [("hist", "cpu")],
    "plotting.run_categorical": [("hist", "cpu")],
    "ranking.run_normalization": [("cpu",)],
    "ranking.run_ranking_categorical": [("cpu",)],
    "ranking.run_ranking_qid_df": [(pd, "hist", "cpu")],
    "ranking.run_score_normalization": [("cpu", "rank:pairwise"), ("cpu", "rank:map")],
    "updater.run_max_cat": [("hist", "cpu"), ("approx", "cpu")],
    "with_skl.run_boost_from_prediction_binary": [
        (method, "cpu", *two_classes(), frame)
        for method in ("hist", "approx")
        for frame in (None, pd.DataFrame)
    ],
    "with_skl.run_boost_from_prediction_multi_clasas": [
        (XGBClassifier, method, "cpu", *three_classes(), frame)
        for method in ("hist", "approx")
        for frame in (None, pd.DataFrame)
    ],
    "with_skl.run_intercept": [("cpu",)],
    "with_skl.run_recoding": [("cpu",)],
}


def _name(value):
    return getattr(value, "__name__", str(value))


def cases():
    for function, calls in CALLS.items():
        for arguments in calls:
            told = [_name(item) for item in arguments if not isinstance(item, np.ndarray)]
            name = f"{function}[{'-'.join(told)}]"
            reason = EXPECTED.get(name)
            marks = [pytest.mark.xfail(reason=reason)] if reason else []
            if function.startswith("plotting.") and not find_spec("graphviz"):
                marks.append(pytest.mark.skip(reason="graphviz, which draws trees, is missing"))
            yield pytest.param(function, arguments, marks=marks, id=name)


@pytest.mark.parametrize(("function", "arguments"), list(cases()))
def test_xgboost_testing(function, arguments, monkeypatch):
    module = importlib.import_module(f"xgboost.testing.{function.split('.')[0]}")
    for name, ours in OURS.items():
        if hasattr(module, name):
            monkeypatch.setattr(module, name, ours)
    if hasattr(module, "xgb"):
        # Our own code needs xgboost's classes in xgboost.
        monkeypatch.setattr(module, "xgb", SimpleNamespace(**{**vars(xgboost), **OURS}))
    getattr(module, function.split(".")[1])(*arguments)


def test_no_case_is_listed_in_vain():
    assert set(EXPECTED) <= {case.id for case in cases()}
