"""Transformers of chosen columns, side by side, for Spark DataFrames and in-memory data."""

from __future__ import annotations

from raydp_ml.compose._column_transformer import ColumnTransformer, make_column_transformer
from raydp_ml.compose._selector import make_column_selector
from raydp_ml.compose._target import TransformedTargetRegressor

__all__ = [
    "ColumnTransformer",
    "TransformedTargetRegressor",
    "make_column_selector",
    "make_column_transformer",
]
