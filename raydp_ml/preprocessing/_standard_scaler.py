"""`StandardScaler`, fitted by one Spark aggregation, applied as SQL expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import preprocessing
from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature

from raydp_ml.base import is_spark
from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.preprocessing._affine import restored, standardized
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.vector_moments import vector_moments
from raydp_ml.transformers.base import InvertibleTransformer, WeightedTransformer
from raydp_ml.transformers.vector_features import VectorScaler

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values


class StandardScaler(
    VectorScaler, InvertibleTransformer, WeightedTransformer, preprocessing.StandardScaler
):
    """Standardize features by removing the mean and scaling to unit variance.

    Fitted on a Spark DataFrame it has the attributes that scikit-learn finds on the collected
    data, so that it transforms arrays, and pickles, as scikit-learn's own.

    Parameters
    ----------
    copy : bool, default=True
        In memory, whether the input is left as it is.
    with_mean : bool, default=True
        Whether the mean is removed.
    with_std : bool, default=True
        Whether the features are scaled.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features_in_,) or None
    var_ : ndarray of shape (n_features_in_,) or None
    scale_ : ndarray of shape (n_features_in_,) or None
        1 for a feature that is constant.
    n_samples_seen_ : int or ndarray of shape (n_features_in_,)
        Rows that are not missing; sums of weights where there are weights.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    See Also
    --------
    sklearn.preprocessing.StandardScaler : The same in memory.

    Notes
    -----
    In Spark, null and NaN are missing values: left out in ``fit``, kept by ``transform``. Columns
    that are label, weight or bear another role are no features, and pass through ``transform``.
    With ``with_mean=False`` vectors may be among the features, and the output is then one vector
    column ``standardscaler``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import StandardScaler
    >>> StandardScaler().fit([[0.0], [2.0]]).transform([[1.0], [4.0]])
    array([[0.],
           [3.]])
    """

    # scikit-learn's own are None where nothing is removed or scaled.
    mean_: np.ndarray | None
    scale_: Any
    n_samples_seen_: int | float | np.ndarray

    # A constructor of its own, since scikit-learn reads the parameters from it.
    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None:
        super().__init__(copy=copy, with_mean=with_mean, with_std=with_std)

    def partial_fit(
        self, X: Data, y: Values | None = None, sample_weight: Values | None = None
    ) -> StandardScaler:
        """Learn from one more batch in memory, as scikit-learn's ``partial_fit`` does.

        Raises
        ------
        TypeError
            For a Spark DataFrame, which ``fit`` takes whole.
        """
        if is_spark(X):
            raise TypeError("partial_fit takes batches in memory. Use fit for a Spark DataFrame.")
        return super().partial_fit(X, y, sample_weight)

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return standardized(inputs, *self._shift_and_scale())

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return restored(inputs, *self._shift_and_scale())

    def _shift_and_scale(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        return (
            self.mean_ if self.with_mean else None,
            self.scale_ if self.with_std else None,
        )

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        if self.with_mean:
            raise ValueError(
                "Cannot center sparse matrices: pass `with_mean=False` instead. See docstring for "
                "motivation and alternatives."
            )
        table = vector_moments(df, x, weight=roles.sample_weight)
        self._reset()
        found = {key: values[0] for key, values in table.items()}
        set_moments(self, found, weighted=roles.sample_weight is not None)
        return len(found["mean"])

    def _factors(self) -> np.ndarray:
        return 1.0 / self.scale_ if self.with_std else np.ones(self.n_features_in_)

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        found = moments(df, roles.feature_names, weight=roles.sample_weight)
        self._reset()
        set_moments(self, found, weighted=roles.sample_weight is not None)


def set_moments(
    scaler: preprocessing.StandardScaler, found: dict[str, np.ndarray], *, weighted: bool = False
) -> None:
    """Set the fitted attributes of a scaler from what `spark_jobs.moments.moments` found."""
    means, variances = found["mean"], found["var"]
    learns = scaler.with_mean or scaler.with_std
    # scikit-learn counts rows, weighted or not, where it computes no mean.
    counts = found["total"] if weighted and learns else found["count"]
    counts = counts if weighted else counts.astype(np.int64)
    scaler.n_samples_seen_ = counts[0] if (counts == counts[0]).all() else counts
    scaler.mean_ = means if learns else None
    scaler.var_ = variances if scaler.with_std else None
    scaler.scale_ = None
    if scaler.with_std:
        constant = _is_constant_feature(variances, means, scaler.n_samples_seen_)
        scaler.scale_ = _handle_zeros_in_scale(
            np.sqrt(variances), copy=False, constant_mask=constant
        )
