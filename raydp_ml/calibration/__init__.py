"""Calibrated probabilities: scikit-learn's, on Spark DataFrames as well.

Whether probabilities are calibrated is told by `raydp_ml.metrics`: ``calibration_curve``,
``CalibrationDisplay``, ``brier_score_loss``.
"""

from __future__ import annotations

from raydp_ml.calibration._classifier import CalibratedClassifierCV

__all__ = ["CalibratedClassifierCV"]
