"""Calibrated probabilities on a Spark DataFrame, as SQL over those of the classifiers.

The calibrators are numbers in arrays, through which one expression goes, however many there are:
what Spark compiles of an expression for each outgrows the JVM's just-in-time compiler.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.calibration._responses import places_of, response
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import select
from raydp_ml.models.wrapped import writing_to
from raydp_ml.spark_jobs.expressions import array_of, number, search

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EPSILON = 1e-12
"""What scikit-learn adds to a probability before its logarithm."""

# Variables of functions within SQL, whose names would hide columns of the same names: the number
# of a classifier, its response, the number and the value of one of its elements, ...
_M, _ROW, _J, _S, _AT, _MADE, _X, _TOTAL, _TOP, _EVERY = (
    f"__raydp_ml_{name}"
    for name in ("m", "row", "j", "s", "piece", "made", "x", "total", "top", "every")
)


def add_calibrated(
    df: DataFrame, pairs: Sequence[Any], classes: np.ndarray, name: str
) -> DataFrame:
    """Add the mean of the calibrated probabilities of each class, lazily.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    pairs : sequence of sklearn.calibration._CalibratedClassifier
        Fitted classifiers and their calibrators, all of one method.
    classes : ndarray of shape (n_classes,)
    name : str
        Of the column, an array of doubles in the order of `classes`.
    """
    made, responses, known = df, [], []
    for index, pair in enumerate(pairs):
        shares = f"__raydp_ml_shares_{index}"
        made = writing_to(pair.estimator, "probability_col", shares).predict_proba(made)
        known.append(places_of(pair.estimator.classes_, classes))
        responses.append(response(shares, known[-1], len(classes), pair.method))
    if pairs[0].method == "temperature":
        of_one = _scaled([pair.calibrators[0].beta_ for pair in pairs], len(classes))
    else:
        of_one = _one_against_rest([pair.calibrators for pair in pairs], known, len(classes))
    every = f"transform({_array(responses)}, ({_ROW}, {_M}) -> {of_one})"
    total = f"aggregate({_EVERY}, 0.0D, ({_TOTAL}, {_ROW}) -> {_TOTAL} + get({_ROW}, {_J}))"
    places = f"sequence(0, {len(classes) - 1})"
    mean = _let(_EVERY, every, f"transform({places}, {_J} -> {total} / {number(len(pairs))})")
    return select(made, *map(quoted, df.columns), f"{mean} AS {quoted(name)}")


def _scaled(betas: Sequence[float], n_classes: int) -> str:
    """Give the softmax of a response's logarithms times its beta."""
    row = f"array(1.0D - get({_ROW}, 0), get({_ROW}, 0))" if n_classes == 2 else _ROW
    beta = f"get({array_of(betas)}, {_M})"
    logits = f"transform({row}, {_X} -> {beta} * ln({_X} + {number(_EPSILON)}))"
    powers = _let(
        _MADE,
        logits,
        _let(_TOP, f"array_max({_MADE})", f"transform({_MADE}, {_X} -> exp({_X} - {_TOP}))"),
    )
    return _let(_MADE, powers, _of_total(f"{_X} / {_TOTAL}"))


def _one_against_rest(
    calibrators: Sequence[Sequence[Any]], known: Sequence[Sequence[int]], n_classes: int
) -> str:
    """Give the calibrated elements of a response, divided by their sum."""
    made = f"transform({_ROW}, ({_S}, {_J}) -> {_calibrated(calibrators)})"
    if n_classes == 2:
        return _let(_MADE, made, f"array(1.0D - get({_MADE}, 0), least(get({_MADE}, 0), 1.0D))")
    if any(len(places) != n_classes for places in known):
        # (As in scikit-learn, which gives the one response of a classifier that knows two of
        # several classes to the first of them.)
        found = [
            [dict(zip(of, range(len(own)), strict=False)).get(c, -1) for c in range(n_classes)]
            for of, own in zip(known, calibrators, strict=True)
        ]
        at = f"get({_array(map(array_of, found))}, {_M})"
        placed = f"transform({at}, {_X} -> coalesce(get({_MADE}, cast({_X} as int)), 0.0D))"
        made = _let(_MADE, made, placed)
    uniform = number(1 / n_classes)
    share = f"if({_TOTAL} = 0.0D, {uniform}, least({_X} / {_TOTAL}, 1.0D))"
    return _let(_MADE, made, _of_total(share))


def _calibrated(calibrators: Sequence[Sequence[Any]]) -> str:
    """Give what the calibrator of number J of classifier M makes of S."""
    if not hasattr(calibrators[0][0], "X_thresholds_"):
        a, b = (
            _of_one(array_of([getattr(one, name) for one in of]) for of in calibrators)
            for name in ("a_", "b_")
        )
        return f"1.0D / (1.0D + exp({a} * {_S} + {b}))"
    most = max(len(one.X_thresholds_) for of in calibrators for one in of)
    lines = [
        [_lines(one.X_thresholds_, one.y_thresholds_, most) for one in of] for of in calibrators
    ]
    knots, slope, origin, value = (
        _of_one(_array(array_of(line[part]) for line in of) for of in lines) for part in range(4)
    )
    line = f"get({slope}, {_AT}) * ({_S} - get({origin}, {_AT})) + get({value}, {_AT})"
    return _let(_AT, search(_S, knots, most), line)


def _lines(knots: np.ndarray, values: np.ndarray, length: int) -> list[np.ndarray]:
    """Return the lines of ``numpy.interp``.

    Returns
    -------
    list of ndarray
        The knots, filled to a length by infinity, and slope, origin and value of each line: of
        that before the first knot, of those from each knot on.
    """
    slopes = np.concatenate([[0.0], np.diff(values) / np.diff(knots), [0.0]])
    filled = np.append(knots, np.full(length - len(knots), np.inf))
    return [filled, slopes, np.append(knots[:1], knots), np.append(values[:1], values)]


def _of_one(arrays: Iterable[str]) -> str:
    """Give what arrays of each classifier hold for number J of classifier M."""
    return f"get(get({_array(arrays)}, {_M}), {_J})"


def _array(elements: Iterable[str]) -> str:
    return f"array({', '.join(elements)})"


def _of_total(made: str) -> str:
    """Give the elements of MADE, X, as they are beside their TOTAL."""
    # (By names of their own: these are within the function in which they have others.)
    total = f"aggregate({_MADE}, 0.0D, ({_TOP}, {_X}) -> {_TOP} + {_X})"
    return _let(_TOTAL, total, f"transform({_MADE}, {_X} -> {made})")


def _let(name: str, value: str, made: str) -> str:
    """Compute a value once for all that is made of it."""
    return f"element_at(transform(array({value}), {name} -> {made}), 1)"
