"""What a Pipeline was given, for the last of its steps, which sees only what the others made.

A prediction is promised to be the same DataFrame plus one column. scikit-learn's own Pipeline
hands its last step the DataFrame that its transformers made, and tells it nothing else.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING

from sklearn.pipeline import Pipeline

from raydp_ml.base import check_output_column, is_spark
from raydp_ml.exchange.source_columns import restored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from sklearn.base import BaseEstimator

__all__ = ["as_pipeline_promises"]

_METHODS = {"predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples"}


def as_pipeline_promises(model: BaseEstimator, made: DataFrame, parameter: str | None) -> DataFrame:
    """Give a DataFrame with a prediction the columns of the Pipeline's input back.

    Parameters
    ----------
    model : estimator
        Whose prediction is the last column.
    made : pyspark.sql.DataFrame
    parameter : str or None
        The parameter that holds the prediction's name, for the error.

    Returns
    -------
    pyspark.sql.DataFrame
        `made` itself outside a Pipeline, and where a step (of SQL or functions) has aggregated,
        joined or united rows: what such steps drop stays dropped.

    Raises
    ------
    SchemaError
        Where the Pipeline's input already has a column of that name.
    """
    source = _pipeline_input(model)
    if source is None or not is_spark(source):
        return made
    whole = restored(made, source)
    if whole is None:
        return made
    check_output_column(source, made.columns[-1], parameter)
    return whole


def _pipeline_input(model: BaseEstimator) -> object:
    """Return the X of the outermost Pipeline whose method called the same of `model`, or None."""
    frame: FrameType | None = sys._getframe(1)
    method = None
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("raydp_ml."):
        method = frame
        frame = frame.f_back
    if method is None or method.f_locals.get("self") is not model:
        return None
    name, X = method.f_code.co_name, None
    while frame is not None and _is_pipeline_method(frame, name):
        X = frame.f_locals.get("X")
        frame = frame.f_back
    return X


def _is_pipeline_method(frame: FrameType, name: str) -> bool:
    return (
        name in _METHODS
        and frame.f_code.co_name == name
        and isinstance(frame.f_locals.get("self"), Pipeline)
    )
