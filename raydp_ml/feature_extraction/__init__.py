"""Features of texts in Spark DataFrames and in-memory data."""

from __future__ import annotations

from raydp_ml.feature_extraction import text

__all__ = ["text"]
