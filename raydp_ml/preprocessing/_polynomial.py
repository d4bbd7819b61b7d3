"""`PolynomialFeatures` and `SplineTransformer`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import BSpline
from sklearn import preprocessing

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.preprocessing._normal import polynomial
from raydp_ml.spark_jobs.expressions import choose, helper, number, text
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.quantiles import quantiles, weighted_quantiles
from raydp_ml.transformers.base import SparkTransformer, WeightedTransformer, in_first_place

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class PolynomialFeatures(SparkTransformer, preprocessing.PolynomialFeatures):
    """Make all products of features up to a degree.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.PolynomialFeatures`.

    Notes
    -----
    In Spark, ``fit`` reads no rows, and the outputs stand where the first feature stood. A missing
    or infinite value fails the query that meets it.

    Examples
    --------
    >>> from raydp_ml.preprocessing import PolynomialFeatures
    >>> PolynomialFeatures().fit_transform([[2.0, 3.0]])
    array([[1., 2., 3., 4., 6., 9.]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._fit_like(np.zeros(len(roles.features)))

    def _names_out(self, names: list[str]) -> list[str]:
        # Of no products scikit-learn cannot tell the names.
        return super()._names_out(names) if self.n_output_features_ else []

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = []
        for powers in self.powers_ if self.n_output_features_ else []:
            factors = [x for x, power in zip(inputs, powers, strict=True) for _ in range(power)]
            made.append(" * ".join(factors) or "1.0D")
        return in_first_place(made, len(inputs))


class SplineTransformer(WeightedTransformer, preprocessing.SplineTransformer):
    """Make the B-spline basis functions of each feature.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.SplineTransformer`.

    Notes
    -----
    In Spark, a value beyond the knots with ``extrapolation="error"`` fails the query that meets it,
    and so does a missing one with ``handle_missing="error"``. Infinite values are always refused.
    With ``sparse_output=True`` the output is one vector column ``splinetransformer``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import SplineTransformer
    >>> SplineTransformer(n_knots=2, degree=1).fit_transform([[0.0], [1.0], [4.0]])
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.  , 1.  ]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        names, weight = roles.feature_names, roles.sample_weight
        found = moments(df, names, weight=weight, allow_missing=self._zeros())
        ends = [found["low"], found["high"]]
        rows = ends if found["rows"][0] > 1 else ends[:1]
        if not isinstance(self.knots, str) or self.knots != "quantile":
            self._fit_like(*rows)
            return
        levels = [100 * np.linspace(0, 1, self.n_knots) / 100] * len(names)
        if weight is None:
            knots = np.transpose(quantiles(df, names, found["count"], levels))
        else:
            knots = np.transpose(weighted_quantiles(df, names, weight, levels))
        # The rest of scikit-learn's fit asks for nothing else of the data than these.
        self._get_base_knot_positions = lambda *args, **kwargs: knots
        try:
            self._fit_like(*rows)
        finally:
            del self._get_base_knot_positions

    def _is_vector(self) -> bool:
        return self.sparse_output

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        made = []
        for x, spline in zip(inputs, self.bsplines_, strict=True):
            low, high = spline.t[spline.k], spline.t[-spline.k - 1]
            least, most = number(low), number(high)
            sql = x
            if self.extrapolation == "error":
                message = text("`X` contains values beyond the limits of the knots.")
                fail = f"cast(raise_error({message}) as double)"
                sql = f"if({x} < {least} or {x} > {most}, {fail}, {x})"
            elif self.extrapolation == "periodic":
                width = number(high - low)
                sql = f"{least} + pmod({x} - {least}, {width})" if high > low else "0.0D"
            made.append(f"if({x} is null or isnan({x}), null, {sql})" if self._zeros() else sql)
        return [made]

    def _zeros(self) -> bool:
        """Whether missing values become zeros; else there are none."""
        return self.handle_missing == "zeros"

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = []
        degree = self.degree
        for index, spline in enumerate(self.bsplines_):
            x = helper(index)
            if self.extrapolation in {"constant", "linear"}:
                basis = _bounded(spline, x, degree, self.extrapolation)
            else:
                basis = _pieces(spline, x)
            if self.extrapolation == "linear" and degree <= 1:
                # As scikit-learn, which carries the raised degree over to the next features.
                degree += 1
            basis = basis if self.include_bias else basis[:-1]
            if self._zeros():
                basis = [f"if({x} is null, 0.0D, {sql})" for sql in basis]
            made.append(basis)
        return made


def _pieces(spline: BSpline, x: str) -> list[str]:
    """Give the SQL of each basis function: a polynomial in each interval of the knots."""
    degree = spline.k
    inner = np.unique(spline.t[degree : len(spline.t) - degree])
    if len(inner) < 2:
        return [number(value) for value in np.ravel(spline(inner[0]))]
    starts = list(inner[:-1])
    if spline.t[-degree - 2] == inner[-1]:
        # SciPy looks the last knot up in the interval before it, be that empty.
        starts.append(inner[-1])
    made = []
    for function in _functions(spline):
        pieces = []
        for low in starts:
            # Taylor's series about the interval's begin is the polynomial itself.
            terms = [float(function(low, nu=n)) / math.factorial(n) for n in range(degree + 1)]
            pieces.append(_shifted(x, low, terms))
        made.append(choose(x, starts[1:], pieces))
    return made


def _bounded(spline: BSpline, x: str, degree: int, extrapolation: str) -> list[str]:
    """Give the SQL of each basis function, with scikit-learn's values beyond the knots."""
    low, high = spline.t[degree], spline.t[-degree - 1]
    count = spline.c.shape[1]
    reach = degree + 1 if extrapolation == "linear" and degree <= 1 else degree
    made = []
    for index, inside in enumerate(_pieces(spline, x)):
        function = _functions(spline)[index]
        below, above = "0.0D", "0.0D"
        slope = extrapolation == "linear"
        if index < reach:
            below = _tangent(function, low, x, slope)
        if index >= count - reach:
            above = _tangent(function, high, x, slope)
        made.append(
            f"case when {x} < {number(low)} then {below} when {x} > {number(high)} then {above} "
            f"else {inside} end"
        )
    return made


def _tangent(function: BSpline, at: float, x: str, slope: bool) -> str:
    return _shifted(x, at, [float(function(at)), float(function(at, nu=1)) if slope else 0.0])


def _functions(spline: BSpline) -> list[BSpline]:
    columns = (np.ascontiguousarray(column) for column in spline.c.T)
    return [BSpline.construct_fast(spline.t, column, spline.k) for column in columns]


def _shifted(x: str, origin: float, terms: Sequence[float]) -> str:
    if not any(terms):
        return "0.0D"
    return polynomial(f"({x} - {number(origin)})", terms)
