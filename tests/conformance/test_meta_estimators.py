"""scikit-learn's own meta-estimators around ours, in memory, beside the same around xgboost's."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFECV, SelectFromModel
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier

from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

SMALL = {"n_estimators": 6, "max_depth": 3, "random_state": 0, "n_jobs": 1}
NETWORK = {"max_epochs": 2, "random_state": 0}

CLASSIFIERS = {
    "sigmoid": lambda model: CalibratedClassifierCV(model, method="sigmoid", cv=3),
    "isotonic": lambda model: CalibratedClassifierCV(model, method="isotonic", cv=3),
    "temperature": lambda model: CalibratedClassifierCV(model, method="temperature", cv=3),
    "out of fold": lambda model: CalibratedClassifierCV(model, cv=3, ensemble=False),
    "threshold": lambda model: TunedThresholdClassifierCV(model, scoring="f1", cv=3),
    "stacking": lambda model: StackingClassifier(
        [("model", model), ("linear", LogisticRegression(max_iter=5000))], cv=3
    ),
    "voting": lambda model: VotingClassifier(
        [("model", model), ("linear", LogisticRegression(max_iter=5000))], voting="soft"
    ),
    "one against the rest": OneVsRestClassifier,
}
MULTICLASS = {name: made for name, made in CLASSIFIERS.items() if name != "threshold"}
REGRESSORS = {
    "voting": lambda model: VotingRegressor([("model", model), ("linear", LinearRegression())]),
    "stacking": lambda model: StackingRegressor([("model", model)], LinearRegression(), cv=3),
    "target": lambda model: TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp),
}
SELECTORS = {
    "recursive": lambda model: RFECV(model, step=3, cv=3, min_features_to_select=2),
    "from model": SelectFromModel,
}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X.iloc[::2, :8], y.iloc[::2]


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True)


def as_kind(kind, X, y):
    return (X, y) if kind == "pandas" else (X.to_numpy(), y.to_numpy())


# scikit-learn fits these by iterations, which end elsewhere on XGBoost's own probabilities, since
# they are of single precision.
FITTED_BY_STEPS = {"sigmoid", "temperature", "out of fold", "stacking"}


def tolerance(name):
    return 1e-3 if name in FITTED_BY_STEPS else 1e-5


def assert_same_predictions(ours, own, X, rtol=1e-5):
    for method in ("predict_proba", "predict"):
        if hasattr(own, method):
            got, want = getattr(ours, method)(X), getattr(own, method)(X)
            np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-6, err_msg=method)


@pytest.mark.parametrize("kind", ["array", "pandas"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_two_classes(cancer, name, kind):
    X, y = as_kind(kind, *cancer)
    made = CLASSIFIERS[name]
    ours = made(XGBClassifier(**SMALL)).fit(X, y)
    own = made(xgboost.XGBClassifier(**SMALL)).fit(X, y)
    assert_same_predictions(ours, own, X, tolerance(name))


@pytest.mark.parametrize("name", MULTICLASS)
def test_three_classes(iris, name):
    X, y = iris
    made = MULTICLASS[name]
    ours = made(XGBClassifier(**SMALL)).fit(X, y)
    own = made(xgboost.XGBClassifier(**SMALL)).fit(X, y)
    assert_same_predictions(ours, own, X, tolerance(name))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_of_strings(cancer, name):
    """XGBoost's own class takes codes only: the same model, by another name of its classes."""
    X, y = cancer
    made = CLASSIFIERS[name]
    if name == "threshold":  # whose scorer knows the positive class by 1
        made = lambda model: TunedThresholdClassifierCV(model, cv=3)  # noqa: E731
    names = np.array(["ill", "well"])
    ours = made(XGBClassifier(**SMALL)).fit(X, names[y])
    own = made(xgboost.XGBClassifier(**SMALL)).fit(X, y)
    assert list(ours.classes_) == ["ill", "well"]
    np.testing.assert_array_equal(ours.predict(X), names[own.predict(X)])


@pytest.mark.parametrize("kind", ["array", "pandas"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(diabetes, name, kind):
    X, y = as_kind(kind, *diabetes)
    made = REGRESSORS[name]
    ours = made(XGBRegressor(**SMALL)).fit(X, y)
    assert_same_predictions(ours, made(xgboost.XGBRegressor(**SMALL)).fit(X, y), X)


@pytest.mark.parametrize("kind", ["array", "pandas"])
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors(cancer, name, kind):
    X, y = as_kind(kind, *cancer)
    made = SELECTORS[name]
    ours = made(XGBClassifier(**SMALL)).fit(X, y)
    own = made(xgboost.XGBClassifier(**SMALL)).fit(X, y)
    np.testing.assert_array_equal(ours.get_support(), own.get_support())
    np.testing.assert_array_equal(ours.transform(X), own.transform(X))


def test_weights_reach_the_model(cancer):
    X, y = cancer
    weights = np.arange(len(y)) % 3 + 1.0
    made = CLASSIFIERS["out of fold"]
    ours = made(XGBClassifier(**SMALL)).fit(X, y, sample_weight=weights)
    own = made(xgboost.XGBClassifier(**SMALL)).fit(X, y, sample_weight=weights)
    assert_same_predictions(ours, own, X, tolerance("out of fold"))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_networks_that_classify(cancer, name):
    X, y = cancer
    X = (X - X.mean()) / X.std()
    fitted = CLASSIFIERS[name](TorchClassifier(**NETWORK)).fit(X, y)
    again = CLASSIFIERS[name](TorchClassifier(**NETWORK)).fit(X, y)
    assert_same_predictions(fitted, again, X)
    assert set(fitted.predict(X)) <= {0, 1}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", REGRESSORS)
def test_networks_that_regress(diabetes, name):
    X, y = diabetes
    made = REGRESSORS[name]
    fitted, again = (made(TorchRegressor(**NETWORK)).fit(X, y) for _ in range(2))
    assert_same_predictions(fitted, again, X)
    assert fitted.predict(X).shape == y.shape
