"""Estimators that hold others come back whole: fitted in memory or on Spark, used on either."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import GridSearchCV as InMemorySearch

import raydp_ml
from raydp_ml.compose import TransformedTargetRegressor
from raydp_ml.feature_selection import SelectFromModel
from raydp_ml.model_selection import (
    FixedThresholdClassifier,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import PowerTransformer, StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

SMALL = {"n_estimators": 5, "max_depth": 3, "random_state": 0, "n_jobs": 1}
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(300, 3)), columns=NAMES)
    made["fare"] = np.exp(made.a + 0.1 * rng.normal(size=300))
    return made.assign(late=np.where(made.a + made.b > 1, "yes", "no"))


def models():
    """Return pairs of an estimator and its label."""
    regressor, classifier = XGBRegressor(**SMALL), XGBClassifier(**SMALL)
    scaled = make_pipeline(StandardScaler(), regressor)
    beta = {"scoring": "balanced_accuracy", "thresholds": 20, "store_cv_results": True}
    return [
        (TransformedTargetRegressor(regressor, func=np.log1p, inverse_func=np.expm1), "fare"),
        (TransformedTargetRegressor(scaled, transformer=PowerTransformer()), "fare"),
        (make_pipeline(SelectFromModel(regressor, max_features=2), regressor), "fare"),
        (make_pipeline(SelectFromModel(regressor, threshold="median"), scaled), "fare"),
        (FixedThresholdClassifier(classifier, threshold=0.2, pos_label="yes"), "late"),
        (TunedThresholdClassifierCV(classifier, cv=StratifiedKFold(2), **beta), "late"),
    ]


def held_by(model):
    last = model[-1] if hasattr(model, "steps") else model
    names = ["best_score_", "best_threshold_", "cv_results_", "transformer_", "n_features_in_"]
    return {name: getattr(last, name) for name in names if hasattr(last, name)}


@pytest.mark.parametrize("place", range(len(models())))
def test_in_memory(frame, tmp_path, place):
    model, label = models()[place]
    model.fit(frame[NAMES], frame[label])
    raydp_ml.save(model, tmp_path / "model")
    again = raydp_ml.load(tmp_path / "model")
    assert repr(again) == repr(model)
    assert set(vars(again)) == set(vars(model))
    assert str(held_by(again)) == str(held_by(model))
    assert_array_equal(again.predict(frame[NAMES]), model.predict(frame[NAMES]))
    raydp_ml.save(again, tmp_path / "model")  # in place of the first
    third = raydp_ml.load(tmp_path / "model")
    assert_array_equal(third.predict(frame[NAMES]), model.predict(frame[NAMES]))
    raydp_ml.save(FrozenEstimator(model), tmp_path / "frozen")
    frozen = raydp_ml.load(tmp_path / "frozen")
    assert isinstance(frozen, FrozenEstimator)
    assert str(held_by(frozen.estimator)) == str(held_by(model))
    assert_array_equal(frozen.predict(frame[NAMES]), model.predict(frame[NAMES]))


def test_on_spark(spark, frame, tmp_path):
    df = spark.createDataFrame(frame)
    for place, (model, label) in enumerate(models()):
        data = df.select(*NAMES, label)
        model.fit(data, label)
        raydp_ml.save(model, tmp_path / f"model{place}")
        again = raydp_ml.load(tmp_path / f"model{place}")
        assert set(vars(again)) == set(vars(model))
        assert str(held_by(again)) == str(held_by(model))
        expected = model.predict(data).toPandas()["prediction"]
        found = again.predict(data).toPandas()["prediction"]
        assert_array_equal(found, expected)
        in_memory = again.predict(frame[NAMES])
        if label == "late":
            assert_array_equal(in_memory, expected)
        else:
            assert_allclose(in_memory, expected, rtol=1e-6)


def test_an_estimator_that_was_fitted_beforehand_stays_so(frame, tmp_path):
    fitted = XGBRegressor(**SMALL).fit(frame[NAMES], frame.fare)
    SelectFromModel(fitted, prefit=True).fit(frame[NAMES], frame.fare).save(tmp_path / "prefit")
    again = raydp_ml.load(tmp_path / "prefit")
    assert_array_equal(again.estimator.predict(frame[NAMES]), fitted.predict(frame[NAMES]))
    # One that waits to be fitted does not become a fitted one.
    model = SelectFromModel(XGBRegressor(**SMALL)).fit(frame[NAMES], frame.fare)
    model.save(tmp_path / "unfitted")
    assert not hasattr(raydp_ml.load(tmp_path / "unfitted").estimator, "n_features_in_")


def test_what_cannot_be_saved_says_so(frame, tmp_path):
    scorer = make_scorer(fbeta_score, beta=2, pos_label="yes")
    tuned = TunedThresholdClassifierCV(XGBClassifier(**SMALL), scoring=scorer, cv=2)
    with pytest.raises(ValueError, match="'scoring' of TunedThresholdClassifierCV"):
        tuned.fit(frame[NAMES], frame.late).save(tmp_path / "tuned")
    with pytest.raises(ValueError, match="LinearRegression cannot be saved"):
        TransformedTargetRegressor().fit(frame[NAMES], frame.fare).save(tmp_path / "linear")
    search = InMemorySearch(XGBRegressor(**SMALL), {"max_depth": [1, 2]}, cv=KFold(2))
    with pytest.raises(ValueError, match="GridSearchCV cannot be saved"):
        raydp_ml.save(search.fit(frame[NAMES], frame.fare), tmp_path / "search")
    assert not list(tmp_path.iterdir())
