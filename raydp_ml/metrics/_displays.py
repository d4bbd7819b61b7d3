"""scikit-learn's displays, of the columns of a Spark DataFrame too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn import calibration, metrics

from raydp_ml.base import is_spark
from raydp_ml.exchange.sql_text import select
from raydp_ml.metrics._calibration import calibration as calibrated
from raydp_ml.metrics._cells import cell_rows
from raydp_ml.metrics._columns import Columns, read_columns
from raydp_ml.metrics._jobs import Sums, run
from raydp_ml.metrics._ranking import MAX_POINTS, area, curve_and_areas, precision

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "CalibrationDisplay",
    "ConfusionMatrixDisplay",
    "PrecisionRecallDisplay",
    "PredictionErrorDisplay",
    "RocCurveDisplay",
]


class RocCurveDisplay(metrics.RocCurveDisplay):
    """scikit-learn's `RocCurveDisplay`."""

    @classmethod
    def from_predictions(cls, df: Any, *args: Any, **kwargs: Any) -> Any:
        """Plot the ROC curve.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
            Then ``y_true``, ``y_score`` and ``sample_weight`` are names of columns; or
            scikit-learn's own arguments, arrays.
        *args, **kwargs
            scikit-learn's, and ``max_points``; see `raydp_ml.metrics.roc_curve`.

        Returns
        -------
        RocCurveDisplay
            Its area is that of all scores, however few the points are.
        """
        if not is_spark(df):
            return super().from_predictions(df, *args, **kwargs)
        return _roc(cls, df, *args, **kwargs)


class PrecisionRecallDisplay(metrics.PrecisionRecallDisplay):
    """scikit-learn's `PrecisionRecallDisplay`."""

    @classmethod
    def from_predictions(cls, df: Any, *args: Any, **kwargs: Any) -> Any:
        """Plot precision by recall.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
            Then ``y_true``, ``y_score`` and ``sample_weight`` are names of columns; or
            scikit-learn's own arguments, arrays.
        *args, **kwargs
            scikit-learn's, and ``max_points``; see `raydp_ml.metrics.precision_recall_curve`.

        Returns
        -------
        PrecisionRecallDisplay
            Its average precision is that of all scores, however few the points are.
        """
        if not is_spark(df):
            return super().from_predictions(df, *args, **kwargs)
        return _precision_recall(cls, df, *args, **kwargs)


class ConfusionMatrixDisplay(metrics.ConfusionMatrixDisplay):
    """scikit-learn's `ConfusionMatrixDisplay`."""

    @classmethod
    def from_predictions(cls, df: Any, *args: Any, **kwargs: Any) -> Any:
        """Plot the confusion matrix.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
            Then ``y_true``, ``y_pred`` and ``sample_weight`` are names of columns; or
            scikit-learn's own arguments, arrays.
        *args, **kwargs
            scikit-learn's.

        Returns
        -------
        ConfusionMatrixDisplay
        """
        if not is_spark(df):
            return super().from_predictions(df, *args, **kwargs)
        y_true, y_pred = _names(args, kwargs, "y_pred", "prediction")
        columns = read_columns(df, y_true, y_pred, None, kwargs.pop("sample_weight", None))
        y, p, weights = run(columns, {"cells": cell_rows(columns)})["cells"]
        return super().from_predictions(y, p, sample_weight=weights, **kwargs)


class CalibrationDisplay(calibration.CalibrationDisplay):
    """scikit-learn's `CalibrationDisplay`."""

    @classmethod
    def from_predictions(cls, df: Any, *args: Any, **kwargs: Any) -> Any:
        """Plot the share of positive rows by the predicted probability.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
            Then ``y_true`` and ``y_prob`` are names of columns; or scikit-learn's own arguments,
            arrays.
        *args, **kwargs
            scikit-learn's.

        Returns
        -------
        CalibrationDisplay
            Without ``y_prob``, which stays in Spark.
        """
        if not is_spark(df):
            return super().from_predictions(df, *args, **kwargs)
        return _calibration(cls, df, *args, **kwargs)


class PredictionErrorDisplay(metrics.PredictionErrorDisplay):
    """scikit-learn's `PredictionErrorDisplay`."""

    @classmethod
    def from_predictions(cls, df: Any, *args: Any, **kwargs: Any) -> Any:
        """Plot labels or residuals by predictions.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
            Then ``y_true`` and ``y_pred`` are names of columns; or scikit-learn's own arguments,
            arrays.
        *args, **kwargs
            scikit-learn's. Of the rows, ``subsample`` (1000) are drawn, and these are collected:
            all of them where it is None.

        Returns
        -------
        PredictionErrorDisplay
        """
        if not is_spark(df):
            return super().from_predictions(df, *args, **kwargs)
        y_true, y_pred = _names(args, kwargs, "y_pred", "prediction")
        columns = read_columns(df, y_true, y_pred)
        ((_, found),) = run(columns, {"rows": _count()})["rows"]
        subsample = kwargs.pop("subsample", 1000)
        if isinstance(subsample, float) and 0 < subsample < 1:
            subsample = int(found["rows"] * subsample)
        if subsample is not None and subsample < 1:
            raise ValueError(
                f"subsample must be at least 1, or a part between 0 and 1. Got {subsample!r}."
            )
        drawn = _drawn(columns, subsample, kwargs.pop("random_state", None))
        return super().from_predictions(drawn["u"], drawn["v"], subsample=None, **kwargs)


def _count() -> Any:
    return (yield Sums((), {"rows": "count(1)"}))


def _drawn(columns: Columns, count: int | None, seed: int | None) -> Any:
    rows = select(columns.df, "u", "v")
    if count is not None:
        from pyspark.sql import functions

        rows = rows.orderBy(functions.rand(seed)).limit(count)
    return rows.toPandas()


def _names(
    args: tuple[Any, ...], kwargs: dict[str, Any], predicted: str, default: str
) -> tuple[Any, Any]:
    """Take the names of label and prediction out of the arguments."""
    names = list(args) + [None] * (2 - len(args))
    return kwargs.pop("y_true", names[0]), kwargs.pop(predicted, names[1]) or default


def _split(kwargs: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take what is not of the plot out of the arguments."""
    return {name: kwargs.pop(name) for name in names if name in kwargs}


def _roc(cls: Any, df: DataFrame, *args: Any, **kwargs: Any) -> Any:
    options = {"drop_intermediate": True}
    (fpr, tpr, _), found, _ = _curve(df, args, kwargs, metrics.roc_curve, options)
    name, pos_label = kwargs.pop("name", None), kwargs.pop("pos_label")
    made = cls(fpr=fpr, tpr=tpr, roc_auc=area(found), name=name, pos_label=pos_label)
    return made.plot(**kwargs)


def _precision_recall(cls: Any, df: DataFrame, *args: Any, **kwargs: Any) -> Any:
    options = {"drop_intermediate": False}
    points, found, share = _curve(df, args, kwargs, metrics.precision_recall_curve, options)
    made = cls(
        precision=points[0],
        recall=points[1],
        average_precision=precision(found),
        name=kwargs.pop("name", None),
        pos_label=kwargs.pop("pos_label"),
        prevalence_pos_label=share,
    )
    return made.plot(**kwargs)


def _curve(
    df: DataFrame, args: tuple[Any, ...], kwargs: dict[str, Any], function: Any, options: Any
) -> Any:
    """Compute a curve of columns, and leave the name and the positive label in the arguments."""
    y_true, y_score = _names(args, kwargs, "y_score", "probability")
    columns = read_columns(df, y_true, None, y_score, kwargs.pop("sample_weight", None))
    given = {"max_points": MAX_POINTS, **options}
    given |= _split(kwargs, "drop_intermediate", "max_points", "pos_label")
    kwargs["pos_label"] = 1 if given.get("pos_label") is None else given["pos_label"]
    kwargs["name"] = kwargs.get("name") or "Classifier"
    return run(columns, {"curve": curve_and_areas(columns, function, given)})["curve"]


def _calibration(cls: Any, df: DataFrame, *args: Any, **kwargs: Any) -> Any:
    y_true, y_prob = _names(args, kwargs, "y_prob", "probability")
    columns = read_columns(df, y_true, None, y_prob).unweighted()
    options = _split(kwargs, "n_bins", "strategy", "pos_label")
    computation = calibrated(columns, calibration.calibration_curve, options)
    prob_true, prob_pred = run(columns, {"curve": computation})["curve"]
    positive = 1 if options.get("pos_label") is None else options["pos_label"]
    name = kwargs.pop("name", None) or "Classifier"
    made = cls(prob_true, prob_pred, None, estimator_name=name, pos_label=positive)
    return made.plot(**kwargs)
