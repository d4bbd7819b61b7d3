"""Displays are scikit-learn's, and hold what it computes of the same rows."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from raydp_ml import metrics

mpl.use("Agg")


@pytest.fixture(scope="module")
def frame(spark):
    made = spark.range(200).selectExpr("cast(id % 3 = 0 as int) AS y", "id % 10 / 10 AS p")
    return made.selectExpr("y", "p * 0.7 + 0.3 * y AS p", "cast(p > 0.5 as int) AS c").cache()


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("RocCurveDisplay", "p"),
        ("PrecisionRecallDisplay", "p"),
        ("CalibrationDisplay", "p"),
        ("ConfusionMatrixDisplay", "c"),
    ],
)
def test_the_same_picture(frame, name, column):
    theirs = getattr(sklearn.metrics, name, None) or sklearn.calibration.CalibrationDisplay
    rows = frame.toPandas()
    want = theirs.from_predictions(rows["y"], rows[column])
    got = getattr(metrics, name).from_predictions(frame, "y", column)
    assert isinstance(got, theirs)
    held = {key: value for key, value in vars(want).items() if key != "y_prob"}
    for key, value in held.items():
        if isinstance(value, (np.ndarray, float)) and np.asarray(value).dtype != object:
            np.testing.assert_allclose(getattr(got, key), value, rtol=1e-9, err_msg=key)
    assert got.ax_.get_xlabel() == want.ax_.get_xlabel()
    assert legend(got) == legend(want)
    in_memory = getattr(metrics, name).from_predictions(rows["y"], rows[column])
    assert isinstance(in_memory, theirs)


def legend(display):
    found = display.ax_.get_legend()
    return found and [text.get_text() for text in found.get_texts()]


def test_errors_of_some_rows(frame):
    rows = frame.toPandas()
    got = metrics.PredictionErrorDisplay.from_predictions(frame, "y", "p", subsample=None)
    assert sorted(got.y_pred) == sorted(rows["p"])
    got = metrics.PredictionErrorDisplay.from_predictions(frame, "y", "p", subsample=0.1)
    assert len(got.y_true) == 20
    with pytest.raises(ValueError, match="subsample must be at least 1"):
        metrics.PredictionErrorDisplay.from_predictions(frame, "y", "p", subsample=-1)
