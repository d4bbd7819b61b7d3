"""Calibrated probabilities on a Spark DataFrame, as SQL over those of the classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.calibration._responses import places_of, responses
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import select
from raydp_ml.models.wrapped import writing_to
from raydp_ml.spark_jobs.expressions import interpolated, number

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_X, _I = "__raydp_ml_x", "__raydp_ml_i"
"""Variables of functions within SQL, whose names would hide columns of the same names."""

_EPSILON = 1e-12
"""What scikit-learn adds to a probability before its logarithm."""


def add_calibrated(
    df: DataFrame, pairs: Sequence[Any], classes: np.ndarray, name: str
) -> DataFrame:
    """Add the mean of the calibrated probabilities of each class, lazily.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    pairs : sequence of sklearn.calibration._CalibratedClassifier
        Fitted classifiers and their calibrators.
    classes : ndarray of shape (n_classes,)
    name : str
        Of the column, an array of doubles in the order of `classes`.
    """
    made, last = df, []
    for index, pair in enumerate(pairs):
        made = writing_to(pair.estimator, "probability_col", _step(index, 0)).predict_proba(made)
        places = places_of(pair.estimator.classes_, classes)
        steps = _steps(index, pair, places, len(classes))
        # One after the other: what a later one uses twice is computed once.
        for number_, sql in enumerate(steps, start=1):
            made = select(made, "*", f"{sql} AS {_step(index, number_)}")
        last.append(_step(index, len(steps)))
    first, *others = last
    total = " + ".join([_X, *(f"get({other}, {_I})" for other in others)])
    mean = f"transform({first}, ({_X}, {_I}) -> ({total}) / {number(len(last))})"
    return select(made, *map(quoted, df.columns), f"{mean} AS {quoted(name)}")


def _step(index: int, step: int) -> str:
    return f"__raydp_ml_calibrated_{index}_{step}"


def _steps(index: int, pair: Any, places: Sequence[int], n_classes: int) -> list[str]:
    """Give the SQL of columns, each made of those before; the last are the probabilities."""
    given = responses(_step(index, 0), places, n_classes, pair.method)
    first, second, third, fourth = (_step(index, number_) for number_ in range(1, 5))
    if pair.method == "temperature":
        beta = number(pair.calibrators[0].beta_)
        shares = [f"1.0D - {given[0]}", *given] if n_classes == 2 else given
        logits = (f"{beta} * ln({share} + {number(_EPSILON)})" for share in shares)
        return [
            f"array({', '.join(logits)})",
            f"array_max({first})",
            f"transform({first}, {_X} -> exp({_X} - {second}))",
            _sum(third),
            f"transform({third}, {_X} -> {_X} / {fourth})",
        ]
    made = [_calibrated(one, s) for one, s in zip(pair.calibrators, given, strict=True)]
    if n_classes == 2:
        return [made[0], f"array(1.0D - {first}, {_at_most_one(first)})"]
    # (As in scikit-learn, which gives the one response of a classifier that knows two of several
    # classes to the first of them.)
    held = dict(zip(places, made, strict=False))
    share = f"if({second} = 0.0D, {number(1 / n_classes)}, {_at_most_one(f'{_X} / {second}')})"
    return [
        f"array({', '.join(held.get(place, '0.0D') for place in range(n_classes))})",
        _sum(first),
        f"transform({first}, {_X} -> {share})",
    ]


def _calibrated(calibrator: Any, s: str) -> str:
    if hasattr(calibrator, "X_thresholds_"):
        return interpolated(s, calibrator.X_thresholds_, calibrator.y_thresholds_)
    return f"1.0D / (1.0D + exp({number(calibrator.a_)} * {s} + {number(calibrator.b_)}))"


def _sum(array: str) -> str:
    return f"aggregate({array}, 0.0D, ({_I}, {_X}) -> {_I} + {_X})"


def _at_most_one(p: str) -> str:
    return f"least({p}, 1.0D)"
