"""XGBoost over Spark DataFrames and in-memory data, as scikit-learn estimators."""

from __future__ import annotations

from raydp_ml.xgboost.classifier import XGBClassifier
from raydp_ml.xgboost.forests import XGBRFClassifier, XGBRFRegressor
from raydp_ml.xgboost.ranker import XGBRanker
from raydp_ml.xgboost.regressor import XGBRegressor

__all__ = ["XGBClassifier", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker", "XGBRegressor"]
