"""Imputation of missing values in Spark DataFrames and in-memory data."""

from __future__ import annotations

from raydp_ml.impute._missing_indicator import MissingIndicator
from raydp_ml.impute._simple_imputer import SimpleImputer

__all__ = ["MissingIndicator", "SimpleImputer"]
