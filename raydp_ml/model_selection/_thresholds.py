"""scikit-learn's classifiers with a threshold of their own, which work on Spark DataFrames too."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import model_selection
from sklearn.base import _fit_context, clone
from sklearn.exceptions import NotFittedError

# Private: how scikit-learn averages the scores of folds, each at thresholds of its own.
from sklearn.model_selection._classification_threshold import _mean_interpolated_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _estimator_has, check_is_fitted

from raydp_ml.base import SparkEstimator, check_output_column, is_spark
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.model_selection._scores import no_score
from raydp_ml.model_selection._study import Study, given_of
from raydp_ml.model_selection._threshold_scores import scored, split_scores
from raydp_ml.model_selection._trials import Trial
from raydp_ml.models.pipeline_input import as_pipeline_promises
from raydp_ml.models.predictor import class_texts
from raydp_ml.models.wrapped import (
    label_of,
    last_step,
    require_ours,
    show_features_of,
    writing_to,
)
from raydp_ml.spark_jobs.expressions import number
from raydp_ml.spark_jobs.scores import PREDICTION, spark_accuracy

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

__all__ = ["FixedThresholdClassifier", "TunedThresholdClassifierCV"]

_SCORE = "__raydp_ml_threshold_score"


class _ThresholdClassifier(SparkEstimator):
    """What both classifiers share: the class is that of a probability beside a threshold."""

    estimator: Any
    estimator_: Any
    response_method: str

    def fit(self, X: Data, y: Values | None = None, **params: Any) -> Self:
        """Fit the classifier.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, or what scikit-learn takes
        y : str or array-like, default=None
            With a Spark DataFrame, the label's column; None takes the role "label".
        **params
            With a Spark DataFrame, names of columns for the estimator's ``fit``, such as
            ``sample_weight``, and ``groups`` for the splitter.

        Returns
        -------
        object
            Itself, fitted.

        Raises
        ------
        SchemaError
            For columns that do not exist or cannot be used.
        TypeError
            If the estimator, or `cv`, knows data in memory only, and X is a Spark DataFrame.
        ValueError
            As scikit-learn's, for example for more than two classes.
        """
        X = blocks_as_frame(X)
        if not is_spark(X):
            super().fit(X, y, **params)  # type: ignore[misc]
            return self
        self._fit_frame(X, y, params)
        show_features_of(self.estimator_, self)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_frame(self, df: DataFrame, y: Values | None, params: dict[str, Any]) -> Self:
        require_batch(df)
        require_ours(self.estimator, type(self).__name__, "estimator")
        if self.response_method == "decision_function":
            raise TypeError(
                "On a Spark DataFrame, a threshold is one of probabilities: response_method is "
                "'auto' or 'predict_proba'. Got 'decision_function' instead."
            )
        self._fit_spark(df, y, params)
        return self

    def predict(self, X: Data) -> Any:
        """Predict the class.

        Parameters
        ----------
        X : Spark DataFrame, or what the estimator takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples,)
            For Spark, lazily: the same DataFrame plus the column that the estimator's ``predict``
            adds.

        Raises
        ------
        SchemaError
            As the estimator's ``predict``.
        """
        if not is_spark(X):
            return super().predict(X)  # type: ignore[misc]
        name = last_step(self._fitted()).prediction_col
        return as_pipeline_promises(self, self._predicted(X, name), "prediction_col")

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Data) -> Any:
        """Predict the probability of each class by the fitted estimator; see its own method."""
        made = super().predict_proba(X)  # type: ignore[misc]
        return as_pipeline_promises(self, made, "probability_col") if is_spark(X) else made

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Data) -> Any:
        """Predict the logarithm of each probability by the fitted estimator; see its own method."""
        made = super().predict_log_proba(X)  # type: ignore[misc]
        return as_pipeline_promises(self, made, None) if is_spark(X) else made

    def score(self, X: Data, y: Values | None = None, sample_weight: Values | None = None) -> float:
        """Return the share of right predictions.

        Parameters
        ----------
        X : as in ``predict``
        y : str or array-like, default=None
            With a Spark DataFrame, the label's column; None takes the role "label".
        sample_weight : str or array-like, default=None

        Returns
        -------
        float
        """
        X = blocks_as_frame(X)
        if not is_spark(X):
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        return spark_accuracy(X, self._predicted(X, PREDICTION), y, sample_weight)

    def _fit_spark(self, df: DataFrame, y: Values | None, params: dict[str, Any]) -> None:
        raise NotImplementedError

    def _cut(self) -> tuple[Any, float]:
        """Return the positive class, None for the second, and the threshold."""
        raise NotImplementedError

    def _fitted(self) -> Any:
        fitted = getattr(self, "estimator_", self.estimator)
        check_is_fitted(fitted)
        return fitted

    def _predicted(self, df: DataFrame, name: str) -> DataFrame:
        fitted = self._fitted()
        positive, threshold = self._cut()
        place = place_of_positive(fitted, positive)
        check_output_column(df, name, "prediction_col")
        made = writing_to(fitted, "probability_col", _SCORE).predict_proba(df)
        last = last_step(fitted)
        held = class_texts(last.classes_, last._label_decimal)
        reached = f"element_at({_SCORE}, {place + 1}) >= {number(threshold)}"
        chosen = f"if({reached}, {held[place]}, {held[1 - place]}) AS {quoted(name)}"
        return select(made, *(quoted(c) for c in made.columns if c != _SCORE), chosen)


class FixedThresholdClassifier(_ThresholdClassifier, model_selection.FixedThresholdClassifier):
    """Predict the positive class from a probability on that is a parameter.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.model_selection.FixedThresholdClassifier`.

    Notes
    -----
    On a Spark DataFrame, the estimator is one of raydp_ml's classifiers, or a Pipeline that ends
    with one, and the threshold one of its probabilities.

    Examples
    --------
    >>> from raydp_ml.model_selection import FixedThresholdClassifier
    >>> from raydp_ml.xgboost import XGBClassifier
    >>> model = FixedThresholdClassifier(XGBClassifier(), threshold=0.2, pos_label="late")
    >>> model.fit(df, "status").predict(df).columns  # doctest: +SKIP
    ['distance', 'status', 'prediction']
    """

    def _fit_spark(self, df: DataFrame, y: Values | None, params: dict[str, Any]) -> None:
        label = label_of(df, y, type(self).__name__)
        fitted = clone(self.estimator).fit(df, label, **params)
        place_of_positive(fitted, self.pos_label)
        self.estimator_ = fitted

    def _cut(self) -> tuple[Any, float]:
        return self.pos_label, 0.5 if self.threshold == "auto" else self.threshold


class TunedThresholdClassifierCV(_ThresholdClassifier, model_selection.TunedThresholdClassifierCV):
    """Predict the positive class from that probability on that scores best, by cross-validation.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.model_selection.TunedThresholdClassifierCV`.

    Notes
    -----
    On a Spark DataFrame, the estimator is one of raydp_ml's classifiers, or a Pipeline that ends
    with one. The fits of the folds run as those of `cross_validate` do. Two jobs then count the
    classes between the thresholds, in all folds at once, and scikit-learn's scorer sees each
    cell of a confusion matrix as one row with a weight: it has to take weights. A share of the rows
    as `cv` is ``ShuffleSplit(1, test_size=share)``. Weights (the role, or ``sample_weight``) go to
    the fits and to the scores; rows that the role "validation" marks are in no fold.

    Examples
    --------
    >>> from raydp_ml.model_selection import TunedThresholdClassifierCV
    >>> from raydp_ml.xgboost import XGBClassifier
    >>> model = TunedThresholdClassifierCV(XGBClassifier(), scoring="f1")
    >>> model.fit(df, "late").best_threshold_  # doctest: +SKIP
    0.38
    """

    def _fit_spark(self, df: DataFrame, y: Values | None, params: dict[str, Any]) -> None:
        scorer = self._get_curve_scorer()
        positive = scorer._get_pos_label()
        if not scorer._accept_sample_weight():
            raise TypeError(
                f"On a Spark DataFrame, scoring is of a metric that takes sample_weight. Got "
                f"{self.scoring!r} instead."
            )
        given = given_of(self.estimator, df, y, params)
        if isinstance(self.cv, str):  # "prefit"
            estimator = self._prefit()
            place = place_of_positive(estimator, positive)
            rows = [split_scores(df, estimator, given.label, given.weight, place)]
            thresholds, scores = scored(rows, estimator, place, self.thresholds, scorer)
        else:
            estimator, thresholds, scores = self._cross_validated(given, scorer, positive)
        if any(np.isclose(each[0], each[-1]) for each in thresholds):
            raise ValueError(
                "The provided estimator makes constant predictions. Therefore, it is impossible to "
                "optimize the decision threshold."
            )
        chosen = np.asarray(self.thresholds)
        if isinstance(self.thresholds, Integral):
            ends = np.min(thresholds), np.max(thresholds)
            chosen = np.linspace(*ends, num=self.thresholds)
        means = _mean_interpolated_score(chosen, thresholds, scores)
        best = means.argmax()
        self.estimator_, self._curve_scorer = estimator, scorer
        self.best_score_, self.best_threshold_ = means[best], chosen[best]
        if self.store_cv_results:
            self.cv_results_: Mapping[str, Any] = {"thresholds": chosen, "scores": means}

    def _prefit(self) -> Any:
        if self.refit is True:
            raise ValueError("When cv='prefit', refit cannot be True.")
        try:
            check_is_fitted(self.estimator, "classes_")
        except NotFittedError as error:
            raise NotFittedError("When cv='prefit', `estimator` must be fitted.") from error
        return self.estimator

    def _cross_validated(
        self, given: Any, scorer: Any, positive: Any
    ) -> tuple[Any, list[np.ndarray], list[np.ndarray]]:
        """Return the fitted estimator, and the thresholds and scores of each split."""
        if isinstance(self.cv, Real) and not isinstance(self.cv, Integral):
            raise TypeError(
                f"On a Spark DataFrame, cv is a number of folds or a splitter. Got the share "
                f"{self.cv!r}. Pass ShuffleSplit(1, test_size={self.cv!r})."
            )
        study = Study(
            self.estimator, given, self.cv, no_score, n_jobs=self.n_jobs, error_score="raise"
        )
        with study:
            if study.n_splits > 1 and self.refit is False:
                raise ValueError("When cv has several folds, refit cannot be False.")
            if study.marked.classes is not None:
                _check_two(len(study.marked.classes))
            trials = [Trial({}, split, with_estimator=True) for split in range(study.n_splits)]
            models = [result["estimator"] for result in study.run(trials)]
            study.close_trials()
            place = place_of_positive(models[0], positive)
            rows = [
                split_scores(study.test_rows(split), model, given.label, given.weight, place)
                for split, model in enumerate(models)
            ]
            thresholds, scores = scored(rows, models[0], place, self.thresholds, scorer)
            if self.refit:
                return study.refitted(clone(self.estimator)), thresholds, scores
            return models[0], thresholds, scores

    def _restore_state(self, state: dict[str, Any], folder: Path) -> None:
        super()._restore_state(state, folder)
        self._curve_scorer = self._get_curve_scorer()

    def _cut(self) -> tuple[Any, float]:
        check_is_fitted(self, "estimator_")
        return self._curve_scorer._get_pos_label(), self.best_threshold_


def place_of_positive(fitted: Any, positive: Any) -> int:
    """Return the place of the positive class, by default the second of two.

    Raises
    ------
    ValueError
        For another number of classes, or a class that there is not.
    """
    classes = fitted.classes_
    _check_two(len(classes))
    if positive is None:
        return 1
    found = np.flatnonzero(classes == positive)
    if not found.size:
        raise ValueError(
            f"pos_label={positive} is not a valid label: It should be one of {classes}"
        )
    return int(found[0])


def _check_two(classes: int) -> None:
    if classes != 2:
        kind = "multiclass" if classes > 2 else "one class"
        raise ValueError(f"Only binary classification is supported. Unknown label type: {kind}")
