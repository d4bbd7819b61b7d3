"""`PowerTransformer`: Yeo-Johnson and Box-Cox, by maximum likelihood in a few jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import Chebyshev
from sklearn import preprocessing
from sklearn.preprocessing._data import _is_constant_feature

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.preprocessing._standard_scaler import set_moments
from raydp_ml.spark_jobs.expressions import double, helper, number, quotient, text
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.power_moments import PowerMoments, box_cox, logarithms, yeo_johnson
from raydp_ml.transformers.base import InvertibleTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_POINTS = 17
_NARROW = 0.05
"""A bracket so narrow that the likelihood in it is a polynomial, to the precision of doubles."""
_NARROW_SHARE = 1e-5
"""The same as a share of the first bracket, which for small values is wide: their powers are great.
Such brackets are never as narrow as `_NARROW`, which the rounding of great powers may exceed."""


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
        cells = [*map(double, names), *logarithms(names, self.method)]
        both = moments(df, [*names, *names], values=cells)
        found = {key: values[: len(names)] for key, values in both.items()}
        found["logs"] = both["mean"][len(names) :]
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
        powered = PowerMoments(df, names, self.method)
        self.lambdas_ = np.ones(len(names))
        if varies.any():
            chosen = {key: values[varies] for key, values in found.items()}
            self.lambdas_[varies] = self._best_powers(powered, np.flatnonzero(varies), chosen)
        if self.standardize:
            self._scaler = self._fitted_scaler(powered, found)

    def _best_powers(
        self, powered: PowerMoments, places: np.ndarray, found: dict[str, np.ndarray]
    ) -> np.ndarray:
        low, high = self._bounds(found)
        narrow = np.maximum(_NARROW, _NARROW_SHARE * (high - low))
        while True:
            shares = (1 - np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))) / 2
            powers = low[:, None] + (high - low)[:, None] * shares
            scores = self._likelihoods(powered, places, found, powers)
            if (high - low < narrow).all():
                peaks = zip(powers, scores, strict=True)
                return np.array([_peak(power, score) for power, score in peaks])
            best = np.argmax(scores, axis=1)
            index = np.arange(len(places))
            # Once narrow, a bracket stays: a narrower one would drown in rounding errors.
            open_ = high - low >= narrow
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
        powered: PowerMoments,
        places: np.ndarray,
        found: dict[str, np.ndarray],
        powers: np.ndarray,
    ) -> np.ndarray:
        means = found["logs"]
        # Values of one sign are taken relative to their geometric mean: a power of theirs, near
        # nothing beside the constant that is subtracted from it, would be lost to rounding.
        one_sign = (found["low"] >= 0) | (found["high"] < 0)
        centres = np.where(one_sign, np.abs(means) if self.method != "box-cox" else means, 0.0)
        spread = powered.of(places, powers, centres)[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.log(spread)
        negative = (found["high"] < 0) & (self.method != "box-cox")
        spread += 2 * np.where(negative[:, None], 2 - powers, powers) * centres[:, None]
        return np.where(np.isfinite(spread), (powers - 1) * means[:, None] - spread / 2, -np.inf)

    def _fitted_scaler(
        self, powered: PowerMoments, found: dict[str, np.ndarray]
    ) -> preprocessing.StandardScaler:
        width = len(self.lambdas_)
        means, variances = powered.of(np.arange(width), self.lambdas_[:, None], np.zeros(width))
        scaler = preprocessing.StandardScaler(copy=False).set_output(transform="default")
        scaler.n_features_in_ = width
        set_moments(scaler, {**found, "mean": means[:, 0], "var": variances[:, 0]})
        return scaler

    def _powered(self, inputs: Sequence[str]) -> list[str]:
        make = yeo_johnson if self.method == "yeo-johnson" else _strict_box_cox
        return [make(x, number(power)) for x, power in zip(inputs, self.lambdas_, strict=True)]

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        # A column of its own: the power is of several cases, and each would compute its input.
        return [list(inputs)]

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = self._powered([helper(index) for index in range(len(inputs))])
        if self.standardize:
            pairs = zip(made, self._scaler.mean_, self._scaler.scale_, strict=True)
            made = [quotient(f"({sql} - {number(mean)})", scale) for sql, mean, scale in pairs]
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


def _strict_box_cox(x: str, power: str) -> str:
    message = "The Box-Cox transformation can only be applied to strictly positive data"
    return f"if({x} <= 0, cast(raise_error({text(message)}) as double), {box_cox(x, power)})"


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
