"""Calibrated probabilities in SQL, beside those of scikit-learn's calibrators in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.calibration import _CalibratedClassifier
from sklearn.isotonic import IsotonicRegression

from raydp_ml.calibration._expressions import add_calibrated
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import interpolated
from raydp_ml.xgboost import XGBClassifier


@pytest.mark.parametrize("count", [1, 2, 64, 65, 5000])
def test_interpolated(spark, count):
    rng = np.random.default_rng(count)
    knots, values = np.sort(rng.random(count)), np.sort(rng.random(count))
    x = np.concatenate([[-1.0, 0.0, 1.0, 2.0], knots[:50], knots[-1:], rng.random(500)])
    df = spark.createDataFrame(pd.DataFrame({"x": x}))
    made = select(df, f"{interpolated('x', knots, values)} AS p").toPandas().p
    assert_allclose(made, np.interp(x, knots, values), rtol=1e-14)


def test_no_class_at_all(spark):
    """Where each calibrator says zero, all classes are as likely."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    y = np.digitize(X.a, [-0.5, 0.5])
    model = XGBClassifier(n_estimators=3, max_depth=2).fit(X, y)
    p = model.predict_proba(X)
    said = [p[:, 0] >= p[:, 0].max(), p[:, 1] >= p[:, 1].max(), np.zeros(len(p))]
    calibrators = [
        IsotonicRegression(out_of_bounds="clip").fit(*each) for each in zip(p.T, said, strict=True)
    ]
    pair = _CalibratedClassifier(model, calibrators, classes=model.classes_, method="isotonic")
    expected = pair.predict_proba(X)
    assert 0 < np.sum(np.all(expected == 1 / 3, axis=1)) < 200
    made = add_calibrated(spark.createDataFrame(X), [pair], model.classes_, "p")
    assert made.columns == ["a", "b", "p"]
    assert_allclose(np.array(made.toPandas().p.tolist()), expected, rtol=1e-12)
