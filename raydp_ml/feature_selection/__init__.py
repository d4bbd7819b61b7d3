"""Selection of features of Spark DataFrames and in-memory data.

The scores `chi2`, `f_classif` and `f_regression` are scikit-learn's own functions, for data in
memory; the selectors know what they mean on a Spark DataFrame.
"""

from __future__ import annotations

from sklearn.feature_selection import chi2, f_classif, f_regression

from raydp_ml.feature_selection._from_model import SelectFromModel
from raydp_ml.feature_selection._univariate import (
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
)
from raydp_ml.feature_selection._variance_threshold import VarianceThreshold

__all__ = [
    "GenericUnivariateSelect",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "VarianceThreshold",
    "chi2",
    "f_classif",
    "f_regression",
]
