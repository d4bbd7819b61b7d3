"""``set_output`` is where scikit-learn has it, and does in memory what scikit-learn's does."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest

import raydp_ml.decomposition
import raydp_ml.feature_extraction.text
import raydp_ml.feature_selection
import raydp_ml.impute
import raydp_ml.preprocessing

CLASSES = [
    (module.__name__.removeprefix("raydp_ml."), name)
    for module in (
        raydp_ml.decomposition,
        raydp_ml.feature_extraction.text,
        raydp_ml.feature_selection,
        raydp_ml.impute,
        raydp_ml.preprocessing,
    )
    for name in module.__all__
    if isinstance(getattr(module, name), type)
    and name != "SelectFromModel"  # needs an estimator; see its own tests
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "name"), CLASSES)
def test_as_in_scikit_learn(path, name):
    ours, theirs = (
        getattr(import_module(f"{package}.{path}"), name) for package in ("raydp_ml", "sklearn")
    )
    assert hasattr(ours(), "set_output") == hasattr(theirs(), "set_output")
    if not hasattr(theirs(), "set_output") or "text" in path:
        return
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(1, 5, (30, 3)), columns=["a", "b", "c"]).astype(float)
    y = (X["a"] > 2).astype(int)
    made = []
    for cls in (ours, theirs):
        estimator = cls()
        if hasattr(estimator, "sparse_output"):
            estimator.set_params(sparse_output=False)
        if name == "KBinsDiscretizer":
            estimator.set_params(encode="ordinal")
        if "k" in estimator.get_params():
            estimator.set_params(k=2)
        made.append(estimator.set_output(transform="pandas").fit(X, y).transform(X))
    pd.testing.assert_frame_equal(*made)
