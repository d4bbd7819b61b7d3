"""Preprocessing of Spark DataFrames and in-memory data, with scikit-learn's own classes."""

from __future__ import annotations

from raydp_ml.preprocessing._discretizer import KBinsDiscretizer
from raydp_ml.preprocessing._encoders import OneHotEncoder, OrdinalEncoder
from raydp_ml.preprocessing._function import FunctionTransformer
from raydp_ml.preprocessing._label import LabelEncoder
from raydp_ml.preprocessing._polynomial import PolynomialFeatures, SplineTransformer
from raydp_ml.preprocessing._power import PowerTransformer
from raydp_ml.preprocessing._quantile import QuantileTransformer
from raydp_ml.preprocessing._rows import Binarizer, Normalizer
from raydp_ml.preprocessing._scalers import MaxAbsScaler, MinMaxScaler, RobustScaler
from raydp_ml.preprocessing._standard_scaler import StandardScaler
from raydp_ml.preprocessing._target import TargetEncoder

__all__ = [
    "Binarizer",
    "FunctionTransformer",
    "KBinsDiscretizer",
    "LabelEncoder",
    "MaxAbsScaler",
    "MinMaxScaler",
    "Normalizer",
    "OneHotEncoder",
    "OrdinalEncoder",
    "PolynomialFeatures",
    "PowerTransformer",
    "QuantileTransformer",
    "RobustScaler",
    "SplineTransformer",
    "StandardScaler",
    "TargetEncoder",
]
