"""Calibrated probabilities in SQL, beside those of scikit-learn's calibrators in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.calibration import _CalibratedClassifier
from sklearn.isotonic import IsotonicRegression

from raydp_ml.calibration._expressions import add_calibrated
from raydp_ml.xgboost import XGBClassifier


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(400, 2)), columns=["a", "b"])


def in_spark(spark, X, pairs, classes):
    made = add_calibrated(spark.createDataFrame(X), pairs, classes, "p")
    assert made.columns == ["a", "b", "p"]
    return np.array(made.toPandas().p.tolist())


def isotonic(knots, values):
    return IsotonicRegression(out_of_bounds="clip").fit(knots, values)


@pytest.mark.parametrize("count", [1, 2, 3000])
def test_thresholds(spark, rows, count):
    """Any number of them, another one for each classifier; responses on, between, beyond them."""
    rng = np.random.default_rng(count)
    models = [XGBClassifier(n_estimators=n, max_depth=4).fit(rows, rows.a > 0) for n in (1, 20)]
    pairs = []
    for model, length in zip(models, (count, count + 7), strict=True):
        p = model.predict_proba(rows)[:, 1]
        knots = np.concatenate([p[: length // 2], rng.uniform(0.3, 0.7, size=length - length // 2)])
        line = isotonic(knots, np.argsort(np.argsort(knots)) / len(knots))
        pairs.append(
            _CalibratedClassifier(model, [line], classes=model.classes_, method="isotonic")
        )
    expected = np.mean([pair.predict_proba(rows) for pair in pairs], axis=0)
    made = in_spark(spark, rows, pairs, models[0].classes_)
    assert_allclose(made, expected, rtol=1e-12, atol=1e-15)


def test_no_class_at_all(spark, rows):
    """Where each calibrator says zero, all classes are as likely."""
    y = np.digitize(rows.a, [-0.5, 0.5])
    model = XGBClassifier(n_estimators=3, max_depth=2).fit(rows, y)
    p = model.predict_proba(rows)
    said = [p[:, 0] >= p[:, 0].max(), p[:, 1] >= p[:, 1].max(), np.zeros(len(p))]
    calibrators = [
        IsotonicRegression(out_of_bounds="clip").fit(*each) for each in zip(p.T, said, strict=True)
    ]
    pair = _CalibratedClassifier(model, calibrators, classes=model.classes_, method="isotonic")
    expected = pair.predict_proba(rows)
    assert 0 < np.sum(np.all(expected == 1 / 3, axis=1)) < len(rows)
    assert_allclose(in_spark(spark, rows, [pair], model.classes_), expected, rtol=1e-12)
