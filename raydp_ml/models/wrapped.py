"""What a meta-estimator holds: an estimator that has to know Spark DataFrames itself."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from raydp_ml.base import HELD, require_column_name
from raydp_ml.exchange.columns import check_exists, from_spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["label_of", "last_step", "require_ours", "show_features_of", "writing_to"]

_PAIRS = "calibrated_classifiers_"
"""The attribute that holds several: each with a calibrator of its own."""


def last_step(estimator: Any) -> Any:
    """Return what makes the predictions within Pipelines and meta-estimators, or what is given.

    Of several classifiers that are calibrated, it is that of the first.
    """
    if isinstance(estimator, Pipeline):
        return last_step(estimator[-1])
    held = _held_by(estimator)
    if _PAIRS in held:
        return last_step(held[_PAIRS][0].estimator)
    return last_step(list(held.values())[-1]) if held else estimator


def _held_by(estimator: Any) -> dict[str, Any]:
    """Return what a meta-estimator holds, by the attributes' names."""
    # (Its own ones: a FrozenEstimator shows those of what it holds as well.)
    own = getattr(estimator, "__dict__", {})
    return {name: own[name] for name in (*HELD, _PAIRS) if own.get(name) is not None}


def require_ours(estimator: Any, who: str, parameter: str) -> None:
    """Raise `TypeError` for an estimator that knows data in memory only.

    Parameters
    ----------
    estimator : estimator
    who : str
        The meta-estimator.
    parameter : str
        Its parameter that holds the estimator.
    """
    for one in (_outermost(estimator), last_step(estimator)):
        if not any(cls.__module__.startswith("raydp_ml.") for cls in type(one).__mro__):
            raise TypeError(
                f"With a Spark DataFrame, the {parameter} of {who} is one of raydp_ml's (or a "
                "Pipeline that ends with one), such as raydp_ml.xgboost's. Got "
                f"{type(one).__name__} of {type(one).__module__} instead. Take one of ours, or fit "
                "on data in memory."
            )


def _outermost(estimator: Any) -> Any:
    """Return what predicts, whatever it wraps: no Pipeline, and nothing frozen."""
    if isinstance(estimator, Pipeline):
        return _outermost(estimator[-1])
    return _outermost(estimator.estimator) if isinstance(estimator, FrozenEstimator) else estimator


def label_of(df: DataFrame, y: object, who: str) -> str:
    """Return the label's column.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    y : str or None
        Its name; None takes the role "label".
    who : str
        The estimator, for the error.

    Raises
    ------
    SchemaError, TypeError, ValueError
        If there is no such column, `y` is no name, or there is no label.
    """
    name = require_column_name(y, "y", df.columns)
    if name is not None:
        check_exists(name, df.columns, "y")
        return name
    for column in from_spark_schema(df.schema):
        if column.role == "label":
            return column.name
    raise ValueError(
        f"This {who} estimator requires y to be passed, but the target y is None. Pass the name of "
        'the label\'s column, as in fit(df, "label"), or mark it once: raydp_ml.set_roles(df, '
        'label="label").'
    )


def show_features_of(fitted: Any, outer: Any) -> None:
    """Give a meta-estimator the names and number of features of what it holds, if it has any."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(outer).pop(name, None)
        if hasattr(fitted, name):
            setattr(outer, name, getattr(fitted, name))


def writing_to(estimator: Any, parameter: str, name: str) -> Any:
    """Return a copy of a fitted estimator that names the column of its predictions otherwise.

    Parameters
    ----------
    estimator : estimator
        Or Pipeline, or meta-estimator; what it was fitted to is shared with the copy.
    parameter : {"prediction_col", "probability_col"}
    name : str
    """
    made = copy.copy(estimator)
    if isinstance(estimator, Pipeline):
        *before, (step, last) = estimator.steps
        made.steps = [*before, (step, writing_to(last, parameter, name))]
        return made
    held = _held_by(estimator)
    for key, value in held.items():
        if key == _PAIRS:
            made_of = [copy.copy(pair) for pair in value]
            for pair in made_of:
                pair.estimator = writing_to(pair.estimator, parameter, name)
            setattr(made, key, made_of)
        else:
            setattr(made, key, writing_to(value, parameter, name))
    if not held:
        setattr(made, parameter, name)
    return made
