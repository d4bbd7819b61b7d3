"""`QuantileTransformer`, by exact quantiles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from sklearn import preprocessing
from sklearn.preprocessing._data import BOUNDS_THRESHOLD

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.preprocessing._normal import cdf, ppf
from raydp_ml.spark_jobs.expressions import array_of, helper, number, position, when_held
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.quantiles import quantiles
from raydp_ml.transformers.base import InvertibleTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class QuantileTransformer(InvertibleTransformer, preprocessing.QuantileTransformer):
    """Map each feature to a uniform or normal distribution by its quantiles.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.QuantileTransformer`.

    Notes
    -----
    In Spark, the quantiles are those of all rows, exactly: ``subsample`` has no effect, as if it
    were None. Null and NaN are missing: left out in ``fit``, kept by ``transform``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import QuantileTransformer
    >>> QuantileTransformer(n_quantiles=3).fit_transform([[1.0], [2.0], [9.0]])
    array([[0. ],
           [0.5],
           [1. ]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        if self.subsample is not None and self.n_quantiles > self.subsample:
            raise ValueError(
                "The number of quantiles cannot be greater than the number of samples used. Got "
                f"{self.n_quantiles} quantiles and {self.subsample} samples."
            )
        if self.ignore_implicit_zeros:
            warnings.warn(
                "'ignore_implicit_zeros' takes effect only with sparse matrix. This parameter has "
                "no effect.",
                stacklevel=2,
            )
        names = roles.feature_names
        found = moments(df, names)
        rows = int(found["rows"][0])
        if self.n_quantiles > rows:
            warnings.warn(
                f"n_quantiles ({self.n_quantiles}) is greater than the total number of samples "
                f"({rows}). n_quantiles is set to n_samples.",
                stacklevel=2,
            )
        self.n_quantiles_ = max(1, min(self.n_quantiles, rows))
        self.references_ = np.linspace(0, 1, self.n_quantiles_, endpoint=True)
        levels = [self.references_ * 100 / 100] * len(names)
        self.quantiles_ = np.transpose(quantiles(df, names, found["count"], levels))

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        knots = [np.unique(column) for column in self.quantiles_.T]
        found = [position(x, u) for x, u in zip(inputs, knots, strict=True)]
        if self.output_distribution == "uniform":
            return [found]
        levels = [
            self._level(x, i, column)
            for i, (x, column) in enumerate(zip(inputs, self.quantiles_.T, strict=True))
        ]
        return [found, levels]

    def _level(self, x: str, index: int, quantile: np.ndarray) -> str:
        """Give the SQL of the share of values that are less than x, between 0 and 1."""
        if np.isnan(quantile).all():
            return number(np.nan)
        at, refs = helper(index), self.references_
        knots, first = np.unique(quantile, return_index=True)
        last = np.append(first[1:], len(quantile)) - 1
        # At a value that spans several quantiles stands their middle, except at the ends.
        middle = (refs[first] + refs[last]) / 2
        if len(knots) > 1:
            middle[-1] = 1.0
        middle[0] = 0.0
        rise = np.zeros(len(knots))
        rise[:-1] = (refs[first[1:]] - refs[last[:-1]]) / np.diff(knots)
        at_knot, from_knot, middles, rises = (
            f"element_at({array_of(values)}, {at})" for values in (knots, refs[last], middle, rise)
        )
        made = (
            f"case when {at} = 0 then {number(refs[0])} when {x} = {at_knot} then {middles} "
            f"else {from_knot} + ({x} - {at_knot}) * {rises} end"
        )
        if self.output_distribution == "normal":
            low, high = (number(quantile[0]), number(quantile[-1]))
            edge = number(BOUNDS_THRESHOLD)
            made = (
                f"case when {x} - {edge} < {low} then 0.0D when {x} + {edge} > {high} then 1.0D "
                f"else {made} end"
            )
        return made

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        if self.output_distribution == "uniform":
            made = [
                self._level(x, i, column)
                for i, (x, column) in enumerate(zip(inputs, self.quantiles_.T, strict=True))
            ]
        else:
            # scikit-learn clips just inside of the outermost levels.
            inside = BOUNDS_THRESHOLD - np.spacing(1)
            made = [
                f"greatest(least({ppf(helper(len(inputs) + i), inside)}, "
                f"{number(stats.norm.ppf(1 - inside))}), {number(stats.norm.ppf(inside))})"
                for i in range(len(inputs))
            ]
        return [[when_held(x, sql)] for x, sql in zip(inputs, made, strict=True)]

    def _inverse_helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        if self.output_distribution == "uniform":
            return [list(inputs)]
        return [[cdf(x) for x in inputs]]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = []
        steps = len(self.references_) - 1
        edge = BOUNDS_THRESHOLD if self.output_distribution == "normal" else 0.0
        for i, (x, column) in enumerate(zip(inputs, self.quantiles_.T, strict=True)):
            p, array = helper(i), array_of(column)
            at = f"cast(floor({p} * {steps}) as int)"
            low, high = (f"element_at({array}, {at} + {place})" for place in (1, 2))
            sql = (
                f"case when {p} <= {number(edge)} then {number(column[0])} "
                f"when {p} >= {number(1 - edge)} then {number(column[-1])} "
                f"else {low} + ({p} * {steps} - {at}) * ({high} - {low}) end"
            )
            made.append([when_held(x, sql)])
        return made
