"""Preprocessing of Spark DataFrames and in-memory data, with scikit-learn's own classes."""

from __future__ import annotations

from raydp_ml.preprocessing._standard_scaler import StandardScaler

__all__ = ["StandardScaler"]
