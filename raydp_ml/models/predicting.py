"""``predict`` and ``score`` of numbers and of classes, whichever library has learnt them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import assert_all_finite

from raydp_ml.base import check_output_column, is_spark
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import select
from raydp_ml.fit_data.targets import plain_labels
from raydp_ml.models.pipeline_input import as_pipeline_promises
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.models.wrapped import writing_to
from raydp_ml.spark_jobs.scores import PREDICTION, spark_accuracy, spark_r2
from raydp_ml.training.rows.classes import exact_values, holds_decimals, positions

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from raydp_ml.exchange.data_kinds import Data, Values


LOG_PROBABILITY = "log_probability"
"""The column that ``predict_log_proba`` adds."""

_SHARES, _SHARE = "__raydp_ml_shares", "__raydp_ml_share"


class PredictsNumbers(RegressorMixin, TrainedModel):
    """Base of the regressors."""

    prediction_col: str

    def predict(self, X: Data) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes

        Returns
        -------
        pyspark.sql.DataFrame, or ndarray of shape (n_samples,) or (n_samples, n_targets)
            For Spark, lazily: the same DataFrame plus the column `prediction_col`, of doubles or,
            for several targets, arrays of doubles. In a Pipeline, the same that the Pipeline got.

        Raises
        ------
        SchemaError
            If a feature is missing, or there is a column `prediction_col` already. From a network
            also if a feature holds null, NaN or infinity (for Spark, when the column is computed).
            If a vector or array has another length than in ``fit``; for Spark that is found when
            the column is computed, and raised by Spark with the same text.
        """
        if is_spark(X):
            return self._with_prediction(X, self.prediction_col, "prediction_col", "value")
        return self._raw(X).astype(np.float64)

    def score(self, X: Data, y: Values | None = None, sample_weight: Values | None = None) -> float:
        """Return the coefficient of determination R² of the predictions.

        Parameters
        ----------
        X : as in ``predict``
        y : str or array-like of shape (n_samples,), default=None
            A column's name where X has names; None takes the role "label" (Spark).
        sample_weight : str or array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            For several targets, the mean of their R².
        """
        if is_spark(X):
            predicted = self._with_prediction(X, PREDICTION, "prediction_col", "value")
            return spark_r2(X, predicted, y, sample_weight, self._n_targets)
        X, y, sample_weight = self._score_inputs(X, y, sample_weight)
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class PredictsClasses(ClassifierMixin, TrainedModel):
    """Base of the classifiers."""

    classes_: np.ndarray
    prediction_col: str
    probability_col: str

    def predict(self, X: Data) -> Any:
        """Predict the class.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples,)
            For Spark, lazily: the same DataFrame plus the column `prediction_col`, of the
            label's type (a label of decimals keeps precision and scale). In a Pipeline, the same
            that the Pipeline got.

        Raises
        ------
        SchemaError
            If a feature is missing, or there is a column `prediction_col` already. From a network
            also if a feature holds null, NaN or infinity (for Spark, when the column is computed).
            If a vector or array has another length than in ``fit``; for Spark that is found when
            the column is computed, and raised by Spark with the same text.
        """
        if is_spark(X):
            return self._with_prediction(X, self.prediction_col, "prediction_col", "class")
        best = self._shares(X).argmax(axis=1)  # raises before there are classes_
        return self.classes_[best]

    def predict_proba(self, X: Data) -> Any:
        """Predict the probability of each class.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. For Spark, lazily: the same DataFrame plus the column
            `probability_col`, an array of doubles.

        Raises
        ------
        SchemaError
            As `predict`, of `probability_col`.
        """
        if is_spark(X):
            return self._with_prediction(X, self.probability_col, "probability_col", "probability")
        return self._shares(X)

    def predict_log_proba(self, X: Data) -> Any:
        """Predict the natural logarithm of the probability of each class.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; that of zero is -inf. For Spark, lazily: the same DataFrame
            plus the column "log_probability", an array of doubles.

        Raises
        ------
        SchemaError
            As `predict_proba`, of the column "log_probability".
        """
        if not is_spark(X):
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        check_output_column(X, LOG_PROBABILITY, None)
        made = writing_to(self, "probability_col", _SHARES).predict_proba(X)
        # (Spark's logarithm of zero is null.)
        logarithm = f"if({_SHARE} = 0, double('-Infinity'), ln({_SHARE}))"
        column = f"transform({_SHARES}, {_SHARE} -> {logarithm}) AS {LOG_PROBABILITY}"
        made = select(made, *map(quoted, X.columns), column)
        return as_pipeline_promises(self, made, None)

    def score(self, X: Data, y: Values | None = None, sample_weight: Values | None = None) -> float:
        """Return the share of right predictions.

        Parameters
        ----------
        X : as in ``predict``
        y : str or array-like of shape (n_samples,), default=None
            A column's name where X has names; None takes the role "label" (Spark).
        sample_weight : str or array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        if is_spark(X):
            predicted = self._with_prediction(X, PREDICTION, "prediction_col", "class")
            return spark_accuracy(X, predicted, y, sample_weight, self._n_targets)
        X, y, sample_weight = self._score_inputs(X, y, sample_weight)
        if self._n_targets:
            return float(accuracy_score(_rows(y), self.predict(X), sample_weight=sample_weight))
        y, predicted = _comparable(y, self.predict(X), self.classes_)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def _shares(self, X: Data) -> np.ndarray:
        """Return the probabilities for an in-memory X, shape (n, n_classes), float64."""
        raise NotImplementedError


def _comparable(
    y: Values | None, predicted: np.ndarray, classes: np.ndarray
) -> tuple[Any, np.ndarray]:
    """Return labels and predictions such that scikit-learn compares them exactly."""
    labels = np.asarray(plain_labels(y))
    if labels.ndim != 1:
        return y, predicted
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    labels = exact_values(labels)
    kinds = {labels.dtype.kind, classes.dtype.kind}
    exact = holds_decimals(labels) or holds_decimals(classes)
    if not exact and (len(kinds) == 1 or not kinds <= set("iuf")):
        return labels, predicted
    if exact and any(isinstance(value, str) for value in (*labels[:1], *classes[:1])):
        raise SchemaError(
            f"The labels {labels[:3].tolist()} are of another kind than the classes "
            f"{classes[:3].tolist()}. Score with labels of the kind that the classifier was fitted "
            "with."
        )
    if labels.dtype.kind == "f" and holds_decimals(classes):
        # As in Spark: the decimal that is written with the digits of the float.
        floats = np.array([float(value) for value in classes])
        return positions(labels, floats), positions(predicted, classes)
    # NumPy would make doubles of both.
    return positions(labels, classes), positions(predicted, classes)


def _rows(y: Any) -> np.ndarray:
    """Return labels of shape (n, n_labels), of lists as a column of a frame holds them too."""
    labels = np.asarray(plain_labels(y))
    return np.stack(labels.tolist()) if labels.dtype == object and labels.ndim == 1 else labels
