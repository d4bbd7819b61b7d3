"""Classifiers with a threshold of their own, beside scikit-learn's around plain xgboost."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.model_selection as plain
import xgboost
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer

from raydp_ml.model_selection import (
    FixedThresholdClassifier,
    PredefinedSplit,
    TunedThresholdClassifierCV,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier

SMALL = {"n_estimators": 8, "max_depth": 3, "random_state": 0, "n_jobs": 1}
NUMBERS = ["a", "b.c", "holes"]
NAMES = np.array(["no", "yes"])


@pytest.fixture(scope="module")
def data(df):
    return df.select(*(f"`{name}`" for name in [*NUMBERS, "fold", "y"])).coalesce(1).cache()


@pytest.fixture(scope="module")
def codes(frame):
    return (frame.y == "yes").astype(int)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"scoring": make_scorer(fbeta_score, beta=2, pos_label="yes"), "thresholds": 30},
        {"scoring": make_scorer(fbeta_score, beta=2, pos_label="no")},
        {"scoring": "accuracy", "thresholds": [0.6, 0.2, 0.4, 0.4]},
    ],
    ids=["balanced accuracy", "fbeta", "the first class", "given"],
)
def test_tuned(data, frame, codes, params):
    ours = TunedThresholdClassifierCV(
        XGBClassifier(**SMALL), cv=PredefinedSplit("fold"), store_cv_results=True, **params
    ).fit(data, "y")
    theirs = dict(params)
    if not isinstance(params.get("scoring", ""), str):
        positive = int(params["scoring"]._kwargs["pos_label"] == "yes")
        theirs["scoring"] = make_scorer(fbeta_score, beta=2, pos_label=positive)
    own = plain.TunedThresholdClassifierCV(
        xgboost.XGBClassifier(**SMALL),
        cv=plain.PredefinedSplit(frame.fold),
        store_cv_results=True,
        **theirs,
    ).fit(frame[NUMBERS], codes)
    # XGBoost's own probabilities, and so the thresholds between them, are of single precision.
    assert_allclose(ours.best_threshold_, own.best_threshold_, rtol=1e-6)
    assert_allclose(ours.best_score_, own.best_score_, rtol=1e-5)
    for key in ("thresholds", "scores"):
        assert_allclose(ours.cv_results_[key], own.cv_results_[key], rtol=1e-5, err_msg=key)
    assert set(vars(ours)) == set(vars(own))
    expected = NAMES[own.predict(frame[NUMBERS])]
    rows = data.drop("fold")
    made = ours.predict(rows)
    assert made.columns == [*rows.columns, "prediction"]
    np.testing.assert_array_equal(made.toPandas().prediction, expected)
    np.testing.assert_array_equal(ours.predict(frame[NUMBERS]), expected)
    assert ours.score(rows, "y") == pytest.approx(np.mean(expected == frame.y))


def test_prefit(data, frame, codes):
    model = XGBClassifier(**SMALL).fit(data.drop("fold"), "y")
    own_model = xgboost.XGBClassifier(**SMALL).fit(frame[NUMBERS], codes)
    ours = TunedThresholdClassifierCV(model, cv="prefit", refit=False).fit(data, "y")
    own = plain.TunedThresholdClassifierCV(own_model, cv="prefit", refit=False)
    own.fit(frame[NUMBERS], codes)
    assert_allclose(ours.best_threshold_, own.best_threshold_, rtol=1e-6)
    assert_allclose(ours.best_score_, own.best_score_, rtol=1e-6)


def test_fixed(data, frame, codes):
    rows = data.drop("fold")
    own = plain.FixedThresholdClassifier(xgboost.XGBClassifier(**SMALL), threshold=0.3)
    expected = NAMES[own.fit(frame[NUMBERS], codes).predict(frame[NUMBERS])]
    for model in (XGBClassifier(**SMALL), make_pipeline(StandardScaler(), XGBClassifier(**SMALL))):
        ours = FixedThresholdClassifier(model, threshold=0.3, pos_label="yes").fit(rows, "y")
        np.testing.assert_array_equal(ours.predict(rows).toPandas().prediction, expected)
        assert ours.predict_proba(rows).columns == [*rows.columns, "probability"]
    piped = make_pipeline(StandardScaler(), FixedThresholdClassifier(XGBClassifier(**SMALL)))
    made = piped.fit(rows, "y").predict(rows).toPandas()
    assert_allclose(made.a, frame.a)  # as it was given
    np.testing.assert_array_equal(made.prediction == "yes", own.estimator_.predict(frame[NUMBERS]))


def test_weights(df, frame, codes):
    """Weights go to the fits and to the scores."""
    names = [*NUMBERS, "y", "w"]
    weighted = df.select(*(f"`{name}`" for name in names)).coalesce(1).cache()
    model = XGBClassifier(**SMALL).fit(weighted, "y", sample_weight="w")
    ours = TunedThresholdClassifierCV(
        model, cv="prefit", refit=False, scoring="accuracy", store_cv_results=True
    ).fit(weighted, "y", sample_weight="w")
    own = xgboost.XGBClassifier(**SMALL).fit(frame[NUMBERS], codes, sample_weight=frame.w)
    p = own.predict_proba(frame[NUMBERS])[:, 1]
    scores = [
        np.average((p >= threshold) == codes, weights=frame.w)
        for threshold in np.linspace(p.min(), p.max(), 100)
    ]
    assert_allclose(ours.cv_results_["scores"], scores, rtol=1e-6)


def test_refusals(df, data):
    model = XGBClassifier(**SMALL)
    with pytest.raises(TypeError, match="LogisticRegression"):
        FixedThresholdClassifier(LogisticRegression()).fit(data, "y")
    with pytest.raises(TypeError, match=r"ShuffleSplit\(1, test_size=0.2\)"):
        TunedThresholdClassifierCV(model, cv=0.2).fit(data, "y")
    with pytest.raises(ValueError, match="pos_label=1 is not a valid label"):
        TunedThresholdClassifierCV(model, scoring="f1", cv=PredefinedSplit("fold")).fit(data, "y")
    three = df.select("a", "holes", "kind")
    with pytest.raises(ValueError, match="Only binary classification"):
        TunedThresholdClassifierCV(model, cv=3).fit(three, "kind")
    with pytest.raises(TypeError, match="decision_function"):
        FixedThresholdClassifier(model, response_method="decision_function").fit(data, "y")
