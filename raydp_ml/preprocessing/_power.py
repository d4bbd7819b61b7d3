"""`PowerTransformer`: Yeo-Johnson and Box-Cox, by maximum likelihood in a few jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import Chebyshev
from sklearn import preprocessing
from sklearn.preprocessing._data import _is_constant_feature

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.exchange.sql_text import select
from raydp_ml.preprocessing._standard_scaler import set_moments
from raydp_ml.spark_jobs.expressions import array_of, double, helper, number, text
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.summaries import grouped_by_index, long_form, summarize
from raydp_ml.transformers.base import InvertibleTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_POINTS = 17
_NARROW = 0.05
"""A bracket so narrow that the likelihood in it is a polynomial, to the precision of doubles."""


class PowerTransformer(InvertibleTransformer, preprocessing.PowerTransformer):
    """Make each feature more like a normal distribution by a power.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.PowerTransformer`.

    Notes
    -----
    In Spark, null and NaN are missing: left out in ``fit``, kept by ``transform``. The powers of
    all features are found together, by the likelihood at 17 powers in each of about five jobs.
    They are nearer to the best than scikit-learn's, whose search stops at a relative 1.5e-8; the
    two agree to about 1e-6. A constant keeps the power 1, also where values are missing. A value
    that is not positive fails a query with Box-Cox.

    Examples
    --------
    >>> from raydp_ml.preprocessing import PowerTransformer
    >>> PowerTransformer().fit([[1.0], [2.0], [4.0]]).lambdas_.round(2)
    array([-0.3])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        names = roles.feature_names
        yeo = self.method == "yeo-johnson"
        found = summarize(
            df,
            names,
            low="min(x)",
            high="max(x)",
            mean="avg(x)",
            var="var_pop(x)",
            logs="sum(sign(x) * log1p(abs(x)))" if yeo else "sum(ln(x))",
        )
        if not found["count"].all():
            raise ValueError("Column must not be all nan.")
        if not yeo and np.min(found["low"]) <= 0:
            raise ValueError(
                "The Box-Cox transformation can only be applied to strictly positive data"
            )
        varies = found["low"] != found["high"]
        if yeo:
            constant = _is_constant_feature(found["var"], found["mean"], found["rows"][0])
            varies &= ~constant
        elif not varies.all():
            raise ValueError("Data must not be constant.")
        self.lambdas_ = np.ones(len(names))
        if varies.any():
            chosen = {key: column[varies] for key, column in found.items()}
            held = [name for name, varied in zip(names, varies, strict=True) if varied]
            self.lambdas_[varies] = self._best_powers(df, held, chosen)
        if self.standardize:
            self._scaler = self._fitted_scaler(df, names)

    def _best_powers(
        self, df: DataFrame, names: list[str], found: dict[str, np.ndarray]
    ) -> np.ndarray:
        make = _yeo_johnson if self.method == "yeo-johnson" else _box_cox
        low, high = self._bounds(found)
        while True:
            shares = (1 - np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))) / 2
            powers = low[:, None] + (high - low)[:, None] * shares
            scores = self._likelihoods(df, names, found, powers, make)
            if (high - low).max() < _NARROW:
                peaks = zip(powers, scores, strict=True)
                return np.array([_peak(power, score) for power, score in peaks])
            best = np.argmax(scores, axis=1)
            index = np.arange(len(names))
            # Once narrow, a bracket stays: a narrower one would drown in rounding errors.
            open_ = high - low >= _NARROW
            low = np.where(open_, powers[index, np.maximum(best - 1, 0)], low)
            high = np.where(open_, powers[index, np.minimum(best + 1, _POINTS - 1)], high)

    def _bounds(self, found: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Bound the powers so that no value over- or underflows, as SciPy does."""
        info = np.finfo(np.float64)
        reach = (np.log(info.max) + np.log(info.eps)) / 2
        if self.method == "box-cox":
            span = np.maximum(np.abs(np.log(found["low"])), np.abs(np.log(found["high"])))
            edge = reach / np.maximum(span, 1e-3)
            return -edge, edge
        most = np.maximum(np.abs(found["low"]), np.abs(found["high"]))
        edge = reach / np.log1p(20 * most)
        low, high = -edge, edge
        below, above = found["low"] < 0, found["high"] >= 0
        mixed = below & above
        low = np.where(mixed, np.maximum(2 - edge, -edge), np.where(below, 2 - edge, low))
        high = np.where(mixed, np.minimum(2 + edge, edge), np.where(below, 2 + edge, high))
        return low, high

    def _likelihoods(
        self,
        df: DataFrame,
        names: list[str],
        found: dict[str, np.ndarray],
        powers: np.ndarray,
        make: Callable[[str, str, str], str],
    ) -> np.ndarray:
        means = found["logs"] / found["count"]
        # Values of one sign are taken relative to their geometric mean: a power of theirs, near
        # nothing beside the constant that is subtracted from it, would be lost to rounding.
        one_sign = (found["low"] >= 0) | (found["high"] < 0)
        centres = np.where(one_sign, np.abs(means) if self.method != "box-cox" else means, 0.0)
        grid = ",".join(array_of(row) for row in powers)
        # One expression for all powers, since one for each would be too much code for the JVM.
        each = select(
            long_form(df, names),
            "i AS column",
            "x",
            f"element_at({array_of(centres)}, i + 1) AS c",
            f"posexplode(element_at(array({grid}), i + 1)) AS (l, p)",
        )
        rows = select(each, f"column * {_POINTS} + l AS i", f"{make('x', 'p', 'c')} AS x")
        spread = grouped_by_index(rows, powers.size, var="var_pop(x)")["var"]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.log(spread.reshape(powers.shape))
        negative = (found["high"] < 0) & (self.method != "box-cox")
        spread += 2 * np.where(negative[:, None], 2 - powers, powers) * centres[:, None]
        return np.where(np.isfinite(spread), (powers - 1) * means[:, None] - spread / 2, -np.inf)

    def _fitted_scaler(self, df: DataFrame, names: list[str]) -> preprocessing.StandardScaler:
        values = self._powered([double(name) for name in names])
        found = moments(df, names, values=values)
        scaler = preprocessing.StandardScaler(copy=False).set_output(transform="default")
        scaler.n_features_in_ = len(names)
        set_moments(scaler, found)
        return scaler

    def _powered(self, inputs: Sequence[str]) -> list[str]:
        make = _yeo_johnson if self.method == "yeo-johnson" else _strict_box_cox
        return [make(x, number(power)) for x, power in zip(inputs, self.lambdas_, strict=True)]

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        # A column of its own: the power is of several cases, and each would compute its input.
        return [list(inputs)]

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = self._powered([helper(index) for index in range(len(inputs))])
        if self.standardize:
            pairs = zip(made, self._scaler.mean_, self._scaler.scale_, strict=True)
            made = [f"({sql} - {number(mean)}) / {number(scale)}" for sql, mean, scale in pairs]
        return [[sql] for sql in made]

    def _inverse_helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        if not self.standardize:
            return [list(inputs)]
        pairs = zip(inputs, self._scaler.scale_, self._scaler.mean_, strict=True)
        return [[f"{x} * {number(scale)} + {number(mean)}" for x, scale, mean in pairs]]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        undo = _undo_yeo_johnson if self.method == "yeo-johnson" else _undo_box_cox
        return [[undo(helper(i), power)] for i, power in enumerate(self.lambdas_)]


def _peak(powers: np.ndarray, scores: np.ndarray) -> float:
    """Find the maximum of the polynomial through the scores, at Chebyshev's points."""
    curve = Chebyshev.fit(powers, scores - scores.max(), deg=6)
    roots = curve.deriv().roots()
    inside = roots[(np.abs(roots.imag) < 1e-9)].real
    inside = inside[(inside >= powers[0]) & (inside <= powers[-1])]
    candidates = np.array([*inside, powers[np.argmax(scores)]]) if not len(inside) else inside
    return float(candidates[np.argmax(curve(candidates))])


_EPS = number(np.spacing(1.0))


def _yeo_johnson(x: str, power: str, centre: str = "0.0D") -> str:
    rest = f"(2 - {power})"
    high, low = (f"(log1p({value}) - {centre})" for value in (x, f"-{x}"))
    above = f"if(abs({power}) < {_EPS}, {high}, expm1({power} * {high}) / {power})"
    below = f"if(abs({rest}) > {_EPS}, -expm1({rest} * {low}) / {rest}, -{low})"
    return f"if(isnan({x}), {x}, if({x} >= 0, {above}, {below}))"


def _box_cox(x: str, power: str, centre: str = "0.0D") -> str:
    # The natural logarithm of what is not positive is null in Spark, and missing.
    log = f"(ln({x}) - {centre})"
    return f"if(isnan({x}), {x}, if({power} = 0, {log}, expm1({power} * {log}) / {power}))"


def _strict_box_cox(x: str, power: str) -> str:
    message = "The Box-Cox transformation can only be applied to strictly positive data"
    return f"if({x} <= 0, cast(raise_error({text(message)}) as double), {_box_cox(x, power)})"


def _undo_yeo_johnson(x: str, power: float) -> str:
    eps = np.spacing(1.0)
    above = f"expm1({x})"
    if abs(power) >= eps:
        above = f"power({x} * {number(power)} + 1, {number(1 / power)}) - 1"
    below = f"-expm1(-{x})"
    if abs(power - 2) > eps:
        rest = 2 - power
        below = f"1 - power({number(-rest)} * {x} + 1, {number(1 / rest)})"
    return f"if({x} >= 0, {above}, {below})"


def _undo_box_cox(x: str, power: float) -> str:
    if power == 0:
        return f"exp({x})"
    return f"exp(log1p({x} * {number(power)}) / {number(power)})"
