"""A fit in memory that fails leaves an estimator as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBRegressor

pytestmark = pytest.mark.parametrize(
    "estimator",
    [XGBRegressor(n_estimators=3), TorchRegressor(max_epochs=1, random_state=0)],
    ids=lambda estimator: type(estimator).__name__,
)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
BAD = {
    "labels": (X[:, :2], np.full(20, np.nan)),
    "lengths": (X[:, :2], Y[:5]),
    "names": (pd.DataFrame(X[:, :2], columns=["p", "q"]), np.full(20, np.inf)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_it_was_not_fitted(estimator, bad):
    before = set(vars(estimator))
    with pytest.raises(ValueError):  # noqa: PT011 (scikit-learn's and ours)
        estimator.fit(*bad)
    assert {name for name in set(vars(estimator)) - before if name.endswith("_")} == set()
    with pytest.raises(NotFittedError):
        estimator.predict(X[:, :2])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_it_was_fitted(estimator, bad):
    model = type(estimator)(**estimator.get_params()).fit(X, Y)
    expected = model.predict(X)
    with pytest.raises(ValueError):  # noqa: PT011
        model.fit(*bad)
    assert model.n_features_in_ == 3
    assert not hasattr(model, "feature_names_in_")
    assert_array_equal(model.predict(X), expected)
