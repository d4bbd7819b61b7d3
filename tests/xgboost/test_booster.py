"""The fitted booster: how it was trained, linear coefficients, and what selects features by it."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_selection import RFE, SelectFromModel

import raydp_ml
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
Y = X @ [1.0, 2.0, -1.0, 0.0] + 0.1 * RNG.normal(size=200)
CLASSES = np.digitize(Y, [-1, 1])
LINEAR = {"booster": "gblinear", "updater": "coord_descent", "n_estimators": 20}


@pytest.mark.parametrize(
    ("cls", "y", "params"),
    [
        (XGBRegressor, Y, {"max_depth": 3, "eval_metric": ["mae", "rmse"], "eta": 0.2}),
        (XGBRegressor, np.column_stack([Y, 2 * Y]), {"n_jobs": 1}),
        (XGBRegressor, Y, {"objective": "reg:pseudohubererror", "huber_slope": 2.0}),
        (XGBRegressor, Y, LINEAR),
        (XGBClassifier, CLASSES, {"eval_metric": "merror", "subsample": 0.5, "random_state": 3}),
        (XGBClassifier, CLASSES > 0, {"booster": "dart", "rate_drop": 0.3, "eval_metric": "auc"}),
        (XGBClassifier, CLASSES, LINEAR),
    ],
)
def test_the_configuration_is_that_of_xgboosts_own_object(cls, y, params, tmp_path):
    params = {"n_estimators": 4, **params}
    ours = cls(**params).fit(X, y)
    own = getattr(xgboost, cls.__name__)(**params).fit(X, y)
    ours.save(tmp_path / "model")
    matrix = xgboost.DMatrix(X, label=y)
    for model in (
        ours,
        ours.to_xgboost(),
        pickle.loads(pickle.dumps(ours)),
        raydp_ml.load(tmp_path / "model"),
    ):
        booster = model.get_booster()
        assert json.loads(booster.save_config()) == json.loads(own.get_booster().save_config())
        assert booster.eval(matrix) == own.get_booster().eval(matrix)
    assert_array_equal(ours.to_xgboost().predict(X), own.predict(X))
    assert_array_equal(ours.intercept_, own.intercept_)


@pytest.mark.parametrize("y", [Y, np.column_stack([Y, X[:, 3]]), CLASSES, CLASSES > 0])
def test_linear_coefficients_give_the_output_before_the_link(y):
    cls = XGBRegressor if np.asarray(y).dtype == float else XGBClassifier
    model = cls(**LINEAR).fit(X, y)
    margin = model.get_booster().predict(xgboost.DMatrix(X), output_margin=True)
    rest = margin.reshape(len(X), -1) - X @ np.atleast_2d(model.coef_).T - model.intercept_
    assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-4)  # the base score
    own = getattr(xgboost, cls.__name__)(**LINEAR).fit(X, y)
    if model.coef_.ndim == 1:
        assert_array_equal(model.coef_, own.coef_)
    else:
        # XGBoost's own array holds the same numbers, in a wrong order.
        assert_array_equal(np.sort(model.coef_, axis=None), np.sort(own.coef_, axis=None))
    assert_array_equal(model.feature_importances_, own.feature_importances_)


def test_trees_have_no_coefficients():
    model = XGBRegressor(n_estimators=2).fit(X, Y)
    assert not hasattr(model, "coef_")
    with pytest.raises(AttributeError, match=r"booster='gblinear' only.*feature_importances_"):
        model.coef_  # noqa: B018


@pytest.mark.parametrize("booster", ["gblinear", "gbtree"])
@pytest.mark.parametrize("y", [Y, CLASSES > 0])
def test_selection_of_features(booster, y):
    params = {**LINEAR} if booster == "gblinear" else {"n_estimators": 10}
    cls = XGBRegressor if y.dtype == float else XGBClassifier
    own = getattr(xgboost, cls.__name__)(**params)
    for make in (lambda model: RFE(model, n_features_to_select=2), SelectFromModel):
        wanted = make(own).fit(X, y).get_support()
        assert_array_equal(make(cls(**params)).fit(X, y).get_support(), wanted)


def test_selection_of_features_with_several_classes():
    model = RFE(XGBClassifier(**LINEAR), n_features_to_select=3).fit(X, CLASSES)
    assert_array_equal(model.support_, [True, True, True, False])
    assert SelectFromModel(XGBClassifier(**LINEAR)).fit(X, CLASSES).get_support()[1]
