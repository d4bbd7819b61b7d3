"""`StandardScaler`, fitted by one Spark aggregation, applied as SQL expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import preprocessing
from sklearn.base import _fit_context
from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature

from raydp_ml.base import SparkTransformer, as_double, kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.exchange.jvm import require_live


class StandardScaler(SparkTransformer, preprocessing.StandardScaler):
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

    Examples
    --------
    >>> from raydp_ml.preprocessing import StandardScaler
    >>> StandardScaler().fit([[0.0], [2.0]]).transform([[1.0], [4.0]])
    array([[0.],
           [3.]])
    """

    # scikit-learn's own are None where nothing is removed or scaled.
    mean_: Any
    scale_: Any
    n_samples_seen_: Any

    # A constructor of its own, since scikit-learn reads the parameters from it.
    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None:
        super().__init__(copy=copy, with_mean=with_mean, with_std=with_std)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> StandardScaler:
        """Learn from one more batch in memory, as scikit-learn's ``partial_fit`` does.

        Raises
        ------
        TypeError
            For a Spark DataFrame, which ``fit`` takes whole.
        """
        if kind_of(X) == "spark":
            raise TypeError("partial_fit takes batches in memory. Use fit for a Spark DataFrame.")
        return super().partial_fit(X, y, sample_weight)

    def inverse_transform(self, X: Any, copy: bool | None = None) -> Any:
        """Undo ``transform``.

        Parameters
        ----------
        X : Spark DataFrame, or what scikit-learn takes
        copy : bool, default=None
            In memory, whether the input is left as it is.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_features)
        """
        if kind_of(X) != "spark":
            return super().inverse_transform(X, copy)

        def expression(column: Any, index: int) -> Any:
            if self.with_std:
                column = column * float(self.scale_[index])
            return column + float(self.mean_[index]) if self.with_mean else column

        return self._replace_features(X, expression)

    def _transform_spark(self, df: Any) -> Any:
        def expression(column: Any, index: int) -> Any:
            if self.with_mean:
                column = column - float(self.mean_[index])
            return column / float(self.scale_[index]) if self.with_std else column

        return self._replace_features(df, expression)

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit_spark(self, df: Any, y: Any, sample_weight: Any) -> StandardScaler:
        require_live(df.sparkSession)
        roles = self._resolve(df, y, sample_weight)
        metadata = {"sample_weight": sample_weight}
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=df, y=y, metadata=metadata)
        counts, means, variances = _moments(df, roles)
        self._reset()
        self._set_features_in(roles.feature_names, len(roles.features))
        self.n_samples_seen_ = counts[0] if (counts == counts[0]).all() else counts
        needed = self.with_mean or self.with_std
        self.mean_ = means if needed else None
        self.var_ = variances if self.with_std else None
        self.scale_ = None
        if self.with_std:
            constant = _is_constant_feature(variances, means, self.n_samples_seen_)
            self.scale_ = _handle_zeros_in_scale(
                np.sqrt(variances), copy=False, constant_mask=constant
            )
        context.call_on_fit_task_end(
            estimator=self, X=df, y=y, metadata=metadata, reconstruction_attributes={}
        )
        return self


def _moments(df: Any, roles: ColumnRoles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute count, mean and variance of every feature in one aggregation.

    Returns
    -------
    counts, means, variances : ndarray of shape (n_features,)
        Counts are sums of weights where there are weights.

    Raises
    ------
    SchemaError
        For infinite values, weights that are missing or negative, or no rows.
    """
    from pyspark.sql import functions as sql

    names, weight = roles.feature_names, roles.sample_weight
    shifts = [0.0] * len(names) if weight is None else _first_values(df, names)
    aggregates = [sql.count(sql.lit(1))]
    weights = sql.lit(1.0) if weight is None else as_double(df, weight)
    bad = weights.isNull() | sql.isnan(weights) | (weights < 0) | (weights == float("inf"))
    aggregates.append(sql.count_if(bad))
    for name, shift in zip(names, shifts, strict=True):
        value = as_double(df, name)
        # Null and NaN are missing; SQL's aggregates leave out null only.
        value = sql.when(~sql.isnan(value), value)
        aggregates.append(sql.count_if(sql.abs(value) == float("inf")))
        if weight is None:
            aggregates += [sql.count(value), sql.avg(value), sql.var_pop(value)]
        else:
            held = sql.when(value.isNotNull(), weights)
            moved = value - sql.lit(shift)
            aggregates += [sql.sum(held), sql.sum(held * moved), sql.sum(held * moved * moved)]
    rows, bad_weights, *found = df.agg(*aggregates).first()
    if rows == 0:
        raise SchemaError(
            "The DataFrame to fit has no rows. Check the filters and joins before it."
        )
    if bad_weights:
        raise SchemaError(
            f"The weights {weight!r} hold {bad_weights} null, NaN, negative or infinite of {rows} "
            "values. Weights must be finite numbers of at least 0: fix or drop such rows."
        )
    infinite = {name: n for name, n in zip(names, found[::4], strict=True) if n}
    if infinite:
        raise SchemaError(
            f"The features hold infinite values (column: count): {infinite}. Replace them, for "
            "example with null, which stands for a missing value."
        )
    table = np.array([np.nan if item is None else item for item in found], dtype=np.float64)
    counts, first, second = table.reshape(-1, 4)[:, 1:].T
    if weight is None:
        return counts.astype(np.int64), first, second
    with np.errstate(invalid="ignore", divide="ignore"):
        offsets = first / counts
        return np.nan_to_num(counts), offsets + shifts, second / counts - offsets * offsets


def _first_values(df: Any, names: list[str]) -> list[float]:
    """Return a value of each feature, near which sums of squares lose no digits."""
    row = df.select(*(as_double(df, name).alias(f"c{i}") for i, name in enumerate(names))).head()
    values = [] if row is None else [0.0 if item is None else float(item) for item in row]
    return [value if np.isfinite(value) else 0.0 for value in values] or [0.0] * len(names)
