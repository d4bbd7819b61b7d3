"""`VarianceThreshold`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn import feature_selection

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.feature_selection._selector import Selector
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.vector_moments import vector_moments

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class VarianceThreshold(Selector, feature_selection.VarianceThreshold):
    """Keep the features whose variance is above a threshold.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.feature_selection.VarianceThreshold`.

    Notes
    -----
    In Spark, null and NaN are missing: left out in ``fit``, kept by ``transform``. Vectors may be
    among the features, and the output is then one vector column ``variancethreshold``.

    Examples
    --------
    >>> from raydp_ml.feature_selection import VarianceThreshold
    >>> VarianceThreshold().fit_transform([[1.0, 5.0], [1.0, 6.0]])
    array([[5.],
           [6.]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._choose(moments(df, roles.feature_names))

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        found = vector_moments(df, x)
        self._choose({key: values[0] for key, values in found.items()})
        return len(self.variances_)

    def _choose(self, found: dict[str, np.ndarray]) -> None:
        self.variances_ = found["var"]
        if self.threshold == 0:
            # Of a constant, rounding may leave a variance, but no range; NaN spoils the range.
            whole = found["count"] == found["rows"]
            spans = np.where(whole, found["high"] - found["low"], np.nan)
            self.variances_ = np.fmin(self.variances_, spans)
        if np.all(~np.isfinite(self.variances_) | (self.variances_ <= self.threshold)):
            text = f"No feature in X meets the variance threshold {self.threshold:.5f}"
            if found["rows"][0] == 1:
                text += " (X contains only one sample)"
            raise ValueError(text)
