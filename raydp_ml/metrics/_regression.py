"""Metrics of numbers: sums of what each row contributes, and medians."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.sql_text import select
from raydp_ml.metrics._columns import Columns
from raydp_ml.metrics._jobs import Computation, Function, Options, Sums, Task
from raydp_ml.spark_jobs.expressions import number
from raydp_ml.spark_jobs.quantiles import quantiles, weighted_quantiles

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "explained_variance",
    "largest_error",
    "mean_of",
    "median_error",
    "pinball_fraction",
    "r2",
    "root_mean_of",
    "tweedie_fraction",
]

_ILL = 1e-2
"""A sum of squares of which this little is left, once it is centred, is computed again."""

_EPS = number(np.finfo(np.float64).eps)
_ABSOLUTE = "abs(v - u)"
_TERMS: dict[str, str] = {
    "mean_absolute_error": _ABSOLUTE,
    "mean_absolute_percentage_error": f"abs(v - u) / greatest(abs(u), {_EPS})",
    "mean_squared_error": "(u - v) * (u - v)",
    "mean_squared_log_error": "pow(log1p(u) - log1p(v), 2D)",
}
_TERMS["root_mean_squared_error"] = _TERMS["mean_squared_error"]
_TERMS["root_mean_squared_log_error"] = _TERMS["mean_squared_log_error"]
_POWERS = {"mean_poisson_deviance": 1, "mean_gamma_deviance": 2}


def mean_of(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute a mean of what each row contributes."""
    found = yield from _checked(columns, function, options, {"sum": _term(function, options)})
    return _shaped(found["sum"] / found["weight"], options)


def root_mean_of(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute the root of such a mean."""
    found = yield from _checked(columns, function, options, {"sum": _term(function, options)})
    return _shaped(math.sqrt(found["sum"] / found["weight"]), options)


def largest_error(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `max_error`."""
    found = yield from _checked(columns, function, options, {}, {"most": f"max({_ABSOLUTE})"})
    return found["most"]


def r2(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `r2_score`."""
    terms = {"sum": _TERMS["mean_squared_error"]}
    found = yield from _centred(columns, function, options, terms, {"u": columns.start[0]})
    if found["rows"] < 2:
        return math.nan
    return _shaped(_fraction(found["sum"], found["u"], options), options)


def explained_variance(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `explained_variance_score`."""
    u, v = columns.start
    found = yield from _centred(columns, function, options, {}, {"u": u, "(u - v)": u - v})
    return _shaped(_fraction(found["(u - v)"], found["u"], options), options)


def median_error(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `median_absolute_error`."""
    found = yield from _checked(columns, function, options, {})
    return _shaped((yield _quantile(columns, _ABSOLUTE, found["rows"], 0.5)), options)


def pinball_fraction(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `d2_pinball_score` or `d2_absolute_error_score`."""
    alpha = options.get("alpha", 0.5)
    found = yield from _checked(columns, function, options, {"sum": _pinball("v", alpha)})
    if found["rows"] < 2:
        return math.nan
    centre = yield _quantile(columns, "u", found["rows"], alpha, averaged=True)
    null = yield from _sums(columns, {"sum": _pinball(number(centre), alpha)})
    return _shaped(_fraction(found["sum"], null["sum"], options), options)


def tweedie_fraction(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `d2_tweedie_score`."""
    power = options.get("power", 0)
    terms = {"sum": _tweedie("v", power), "y": "u"}
    found = yield from _checked(columns, function, options, terms)
    if found["rows"] < 2:
        return math.nan
    mean = found["y"] / found["weight"]
    null = yield from _sums(columns, {"sum": _tweedie(number(mean), power)})
    return 1 - found["sum"] / null["sum"]


def _term(function: Function, options: Options) -> str:
    name = function.__name__
    if name == "mean_pinball_loss":
        return _pinball("v", options.get("alpha", 0.5))
    if name in _TERMS:
        return _TERMS[name]
    power = _POWERS[name] if name in _POWERS else options.get("power", 0)
    return _tweedie("v", power)


def _pinball(v: str, alpha: float) -> str:
    return f"if(u >= {v}, {number(alpha)} * (u - {v}), {number(1 - alpha)} * ({v} - u))"


def _tweedie(v: str, power: float) -> str:
    """Give the unit deviance (Jorgensen, 1997); null where there is none."""
    if power == 0:
        return f"(u - {v}) * (u - {v})"
    ratio = f"u / nullif({v}, 0D)"
    if power == 1:
        return f"2D * (if(u = 0, 0D, u * ln({ratio})) - u + {v})"
    if power == 2:
        return f"2D * (ln({v} / nullif(u, 0D)) + {ratio} - 1D)"
    u = "greatest(u, 0D)" if power < 0 else "u"
    one, two = number(1 - power), number(2 - power)
    return (
        f"2D * (pow({u}, {two}) / ({one} * {two}) - u * pow({v}, {one}) / {one} "
        f"+ pow({v}, {two}) / {two})"
    )


def _sums(columns: Columns, terms: dict[str, str], more: dict[str, str] | None = None) -> Any:
    """Sum up terms by weight."""
    texts = {name: f"sum({columns.w} * ({term}))" for name, term in terms.items()}
    ((_, found),) = yield Sums((), {**texts, **(more or {})})
    return found


def _checked(
    columns: Columns,
    function: Function,
    options: Options,
    terms: dict[str, str],
    more: dict[str, str] | None = None,
) -> Computation:
    """Sum up terms, and let scikit-learn say what it has against options and values."""
    ends = {"rows": "count(1)", "weight": columns.total, "y_low": "min(u)", "p_low": "min(v)"}
    found = yield from _sums(columns, terms, {**ends, **(more or {})})
    several = found["rows"] > 1
    y, p = ([low, 2 * abs(low) + 1][: 1 + several] for low in (found["y_low"], found["p_low"]))
    function(y, p, **options)
    return found


def _centred(
    columns: Columns,
    function: Function,
    options: Options,
    terms: dict[str, str],
    starts: dict[str, float],
) -> Computation:
    """Sum up terms and, for each SQL in `starts`, the squares of its differences from its mean."""
    moments: dict[str, str] = {}
    for value, start in starts.items():
        moments |= _moments(value, start)
    found = yield from _checked(columns, function, options, {**terms, **moments})
    for value, start in starts.items():
        offset, squares = _settled(found, value)
        if squares < _ILL * found[f"{value} square"]:
            again = yield from _sums(columns, _moments(value, start + offset))
            _, squares = _settled({**found, **again}, value)
        found[value] = max(squares, 0.0)
    return found


def _moments(value: str, start: float) -> dict[str, str]:
    shifted = f"({value} - {number(start)})"
    return {f"{value} linear": shifted, f"{value} square": f"{shifted} * {shifted}"}


def _settled(found: dict[str, Any], value: str) -> tuple[float, float]:
    """Return the mean of what was shifted, and the sum of squares around it."""
    linear = found[f"{value} linear"]
    offset = linear / found["weight"]
    return offset, found[f"{value} square"] - linear * offset


def _fraction(residual: float, total: float, options: Options) -> float:
    """Give the part that is explained, as scikit-learn does where there is nothing to explain."""
    if total:
        return 1 - residual / total
    if options.get("force_finite", True):
        return 0.0 if residual else 1.0
    return -math.inf if residual else math.nan


def _shaped(value: float, options: Options) -> Any:
    return np.array([value]) if options.get("multioutput") == "raw_values" else value


def _quantile(
    columns: Columns, value: str, rows: int, level: float, *, averaged: bool = False
) -> Task:
    levels = [np.array([level])]
    if columns.weight is None:
        method = "averaged_inverted_cdf" if averaged else "linear"
        counts = np.array([rows])
        return Task(
            lambda df: float(quantiles(df, ["x"], counts, levels, method, values=[value])[0][0])
        )
    return Task(lambda df: _weighted_quantile(df, value, levels))


def _weighted_quantile(df: DataFrame, value: str, levels: list[np.ndarray]) -> float:
    rows = select(df, f"{value} AS x", "w")
    return float(weighted_quantiles(rows, ["x"], "w", levels, average=True)[0][0])
