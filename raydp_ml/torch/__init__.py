"""PyTorch over Spark DataFrames and in-memory data, as scikit-learn estimators."""

from __future__ import annotations

from raydp_ml.torch.classifier import TorchClassifier
from raydp_ml.torch.regressor import TorchRegressor

__all__ = ["TorchClassifier", "TorchRegressor"]
