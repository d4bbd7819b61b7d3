"""Decompositions of Spark DataFrames and in-memory data."""

from __future__ import annotations

from raydp_ml.decomposition._pca import PCA
from raydp_ml.decomposition._truncated_svd import TruncatedSVD

__all__ = ["PCA", "TruncatedSVD"]
