"""`MinMaxScaler`, `MaxAbsScaler` and `RobustScaler`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import sparse, stats
from sklearn import preprocessing
from sklearn.preprocessing._data import _handle_zeros_in_scale

from raydp_ml.base import is_spark
from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.preprocessing._affine import restored, standardized
from raydp_ml.spark_jobs.expressions import number, quotient
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.quantiles import quantiles
from raydp_ml.spark_jobs.vector_moments import vector_moments
from raydp_ml.transformers.base import InvertibleTransformer
from raydp_ml.transformers.precision import common_dtype
from raydp_ml.transformers.vector_features import VectorScaler

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values


class _BatchScaler(InvertibleTransformer):
    def partial_fit(self, X: Data, y: Values | None = None) -> Self:
        """Learn from one more batch in memory, as scikit-learn's ``partial_fit`` does.

        Raises
        ------
        TypeError
            For a Spark DataFrame, which ``fit`` takes whole.
        """
        if is_spark(X):
            raise TypeError("partial_fit takes batches in memory. Use fit for a Spark DataFrame.")
        return super().partial_fit(X, y)  # type: ignore[misc]


class MinMaxScaler(_BatchScaler, preprocessing.MinMaxScaler):
    """Scale each feature to a range.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.MinMaxScaler`.

    Notes
    -----
    In Spark, null and NaN are missing: left out in ``fit``, kept by ``transform``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import MinMaxScaler
    >>> MinMaxScaler().fit_transform([[0.0], [4.0], [1.0]])
    array([[0.  ],
           [1.  ],
           [0.25]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        found = moments(df, roles.feature_names)
        self._reset()
        self._fit_like(found["low"], found["high"], dtype=common_dtype(roles.features))
        self.n_samples_seen_ = int(found["rows"][0])

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = [
            f"{x} * {number(scale)} + {number(least)}"
            for x, scale, least in zip(inputs, self.scale_, self.min_, strict=True)
        ]
        if self.clip:
            low, high = (number(edge) for edge in self.feature_range)
            # SQL's greatest and least leave out null, and NaN is the greatest of all.
            made = [
                f"case when {x} is null or isnan({x}) then {x} "
                f"else greatest(least({sql}, {high}), {low}) end"
                for x, sql in zip(inputs, made, strict=True)
            ]
        return [[sql] for sql in made]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return [
            [quotient(f"({x} - {number(least)})", scale)]
            for x, scale, least in zip(inputs, self.scale_, self.min_, strict=True)
        ]


class MaxAbsScaler(VectorScaler, _BatchScaler, preprocessing.MaxAbsScaler):
    """Scale each feature by its largest absolute value.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.MaxAbsScaler`.

    Notes
    -----
    In Spark, null and NaN are missing: left out in ``fit``, kept by ``transform``. Vectors may be
    among the features, and the output is then one vector column ``maxabsscaler``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import MaxAbsScaler
    >>> MaxAbsScaler().fit_transform([[1.0], [-4.0]])
    array([[ 0.25],
           [-1.  ]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        found = moments(df, roles.feature_names)
        self._reset()
        most = np.maximum(np.abs(found["low"]), np.abs(found["high"]))
        self._fit_like(most, dtype=common_dtype(roles.features))
        self.n_samples_seen_ = int(found["rows"][0])

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        found = vector_moments(df, x)
        self._reset()
        most = np.maximum(np.abs(found["low"]), np.abs(found["high"]))
        preprocessing.MaxAbsScaler.fit(self, sparse.csr_matrix(most))
        self.n_samples_seen_ = int(found["rows"][0, 0])
        return most.shape[1]

    def _factors(self) -> np.ndarray:
        return 1.0 / self.scale_

    @property
    def _bound(self) -> float:  # type: ignore[override]
        return 1.0 if self.clip else np.inf

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = [quotient(x, s) for x, s in zip(inputs, self.scale_, strict=True)]
        if self.clip:
            made = [
                f"case when {x} is null or isnan({x}) then {x} "
                f"else greatest(least({sql}, 1.0D), -1.0D) end"
                for x, sql in zip(inputs, made, strict=True)
            ]
        return [[sql] for sql in made]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return [[f"{x} * {number(s)}"] for x, s in zip(inputs, self.scale_, strict=True)]


class RobustScaler(InvertibleTransformer, preprocessing.RobustScaler):
    """Scale each feature by its median and a range of quantiles.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.RobustScaler`.

    Notes
    -----
    In Spark, null and NaN are missing: left out in ``fit``, kept by ``transform``. The quantiles
    are exact: one job counts the values, and a few select from them.

    Examples
    --------
    >>> from raydp_ml.preprocessing import RobustScaler
    >>> RobustScaler().fit_transform([[1.0], [2.0], [3.0]])
    array([[-1.],
           [ 0.],
           [ 1.]])
    """

    center_: np.ndarray | None
    scale_: np.ndarray | None

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        low, high = self.quantile_range
        if not 0 <= low <= high <= 100:
            raise ValueError(f"Invalid quantile range: {self.quantile_range}")
        names = roles.feature_names
        counts = moments(df, names)["count"]
        levels = np.array([low / 100, 0.5, high / 100])
        found = np.array(quantiles(df, names, counts, [levels] * len(names)))
        self.center_ = found[:, 1] if self.with_centering else None
        self.scale_ = None
        if self.with_scaling:
            self.scale_ = _handle_zeros_in_scale(found[:, 2] - found[:, 0], copy=False)
            if self.unit_variance:
                self.scale_ = self.scale_ / (
                    stats.norm.ppf(high / 100.0) - stats.norm.ppf(low / 100.0)
                )

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return standardized(inputs, *self._shift_and_scale())

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return restored(inputs, *self._shift_and_scale())

    def _shift_and_scale(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        return (
            self.center_ if self.with_centering else None,
            self.scale_ if self.with_scaling else None,
        )
