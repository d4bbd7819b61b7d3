"""`CalibratedClassifierCV`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import calibration
from sklearn.base import _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import SparkEstimator, check_output_column, in_memory, is_spark
from raydp_ml.calibration._calibrators import calibrated
from raydp_ml.calibration._expressions import add_calibrated
from raydp_ml.calibration._saved import restored_calibrator, saved_calibrator
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.model_selection._scores import no_score
from raydp_ml.model_selection._study import Study, given_of
from raydp_ml.models.pipeline_input import as_pipeline_promises
from raydp_ml.models.predictor import class_texts
from raydp_ml.models.wrapped import last_step, require_ours, show_features_of
from raydp_ml.spark_jobs.scores import PREDICTION, spark_accuracy

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

_PROBABILITY = "__raydp_ml_probability"


class CalibratedClassifierCV(SparkEstimator, calibration.CalibratedClassifierCV):
    """Calibrate the probabilities of a classifier by cross-validation.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.calibration.CalibratedClassifierCV`.

    Notes
    -----
    On a Spark DataFrame, the estimator is one of raydp_ml's classifiers, or a Pipeline that ends
    with one, or one of these that is fitted already, in a `sklearn.frozen.FrozenEstimator`. The
    fits of the folds run as those of `raydp_ml.model_selection.cross_validate` do. What the
    classifiers predict of the rows that they have not seen goes to Ray's object store, and
    scikit-learn's own calibrators are fitted there, those of each fold on one worker: no row
    reaches the driver. For each row these are 8 bytes for each class (for one of two), and 16 for
    label and weight. Where 2.5 times the predictions of all folds are more than the memory that is
    free, a `ResourceError` says how to calibrate on a sample.

    Probabilities are calibrated in double precision, also those of single precision that XGBoost
    has. Weights (the role, or ``sample_weight``) go to the fits and to the calibrators, in a
    Pipeline too; rows that the role "validation" marks are in no fold. Calibrated probabilities are
    SQL over those of the classifiers, without a Python worker of their own.

    In memory, scikit-learn's "temperature" knows classes by their places: labels that are numbers
    other than 0, 1, ... it takes for places that there are not, so that they are refused.

    Examples
    --------
    >>> from raydp_ml.calibration import CalibratedClassifierCV
    >>> from raydp_ml.xgboost import XGBClassifier
    >>> model = CalibratedClassifierCV(XGBClassifier(), method="isotonic", cv=3)
    >>> model.fit(df, "late").predict_proba(df).columns  # doctest: +SKIP
    ['distance', 'late', 'probability']
    """

    def fit(
        self,
        X: Data,
        y: Values | None = None,
        sample_weight: Values | None = None,
        **fit_params: Any,
    ) -> Self:
        """Fit the classifiers, and calibrate each on the rows that it was not trained on.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what scikit-learn takes
        y : str or array-like, default=None
            With a Spark DataFrame, the label's column; None takes the role "label".
        sample_weight : str or array-like, default=None
            With a Spark DataFrame, a column's name; None takes the role "sample_weight".
        **fit_params
            For the estimator's ``fit``. With a Spark DataFrame, ``groups`` for the splitter.

        Returns
        -------
        CalibratedClassifierCV

        Raises
        ------
        SchemaError
            For columns that do not exist or cannot be used.
        ResourceError
            Where the predictions of a fold are too many for a worker.
        TypeError
            If the estimator, or `cv`, knows data in memory only, and X is a Spark DataFrame.
        ValueError
            As scikit-learn's, for example for a class with fewer rows than folds.
        """
        X = blocks_as_frame(X)
        if is_spark(X):
            return self._fit_frame(X, y, {"sample_weight": sample_weight, **fit_params})
        self._check_places(y)
        super().fit(in_memory(X), y, sample_weight, **fit_params)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_frame(self, df: DataFrame, y: Values | None, params: dict[str, Any]) -> Self:
        require_batch(df)
        estimator = self._get_estimator()
        require_ours(estimator, type(self).__name__, "estimator")
        frozen = isinstance(estimator, FrozenEstimator)
        if frozen:
            check_is_fitted(estimator.estimator)
        given = given_of(estimator, df, y, params)
        ensemble = not frozen if self.ensemble == "auto" else bool(self.ensemble)
        # As scikit-learn: the default number of folds asks for nothing.
        least = self.cv if isinstance(self.cv, int) else getattr(self.cv, "n_splits", None)
        study = Study(estimator, given, self.cv, no_score, n_jobs=self.n_jobs, error_score="raise")
        with study:
            self.classes_, self.calibrated_classifiers_ = calibrated(
                study, self.method, ensemble, least
            )
        show_features_of(self.calibrated_classifiers_[0].estimator, self)
        return self

    def predict(self, X: Data) -> Any:
        """Predict the class with the highest calibrated probability.

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
        TypeError
            If it was fitted in memory around an estimator that knows nothing else, and X is a Spark
            DataFrame.
        """
        if not is_spark(X):
            return super().predict(in_memory(X))
        name = self._writes_to("prediction_col")
        return as_pipeline_promises(self, self._predicted(X, name), "prediction_col")

    def predict_proba(self, X: Data) -> Any:
        """Predict the calibrated probability of each class.

        Parameters
        ----------
        X : Spark DataFrame, or what the estimator takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. For Spark, lazily: the same DataFrame plus the column that
            the estimator's ``predict_proba`` adds.

        Raises
        ------
        SchemaError, TypeError
            As ``predict``.
        """
        if not is_spark(X):
            return super().predict_proba(in_memory(X))
        name = self._writes_to("probability_col")
        check_output_column(X, name, "probability_col")
        made = add_calibrated(X, self.calibrated_classifiers_, self.classes_, name)
        return as_pipeline_promises(self, made, "probability_col")

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
            return float(super().score(in_memory(X), y, sample_weight))
        self._writes_to("prediction_col")
        return spark_accuracy(X, self._predicted(X, PREDICTION), y, sample_weight)

    def _writes_to(self, parameter: str) -> str:
        """Return the column of the predictions; raise where there can be none in Spark."""
        check_is_fitted(self)
        for pair in self.calibrated_classifiers_:
            require_ours(pair.estimator, type(self).__name__, "estimator")
        name: str = getattr(last_step(self), parameter)
        return name

    def _predicted(self, df: DataFrame, name: str) -> DataFrame:
        check_output_column(df, name, "prediction_col")
        made = add_calibrated(df, self.calibrated_classifiers_, self.classes_, _PROBABILITY)
        classes = ", ".join(class_texts(self.classes_, last_step(self)._label_decimal))
        best = f"array_position({_PROBABILITY}, array_max({_PROBABILITY}))"
        chosen = f"element_at(array({classes}), cast({best} as int)) AS {quoted(name)}"
        return select(made, *map(quoted, df.columns), chosen)

    def _saved_estimators(self) -> dict[str, Any]:
        pairs = self.calibrated_classifiers_ if hasattr(self, "classes_") else []
        held = {f"classifier_{index}": pair.estimator for index, pair in enumerate(pairs)}
        return {**super()._saved_estimators(), **held}

    def _saved_state(self, folder: Path) -> dict[str, object]:
        state = super()._saved_state(folder)
        pairs: Any = state.pop("calibrated_classifiers_")
        calibrators = [[saved_calibrator(one) for one in pair.calibrators] for pair in pairs]
        return {**state, "calibrators": calibrators, "calibrated_by": pairs[0].method}

    def _restore_state(self, state: dict[str, Any], folder: Path) -> None:
        method, calibrators = state.pop("calibrated_by"), state.pop("calibrators")
        self.calibrated_classifiers_ = [
            calibration._CalibratedClassifier(
                state.pop(f"classifier_{index}"),
                [restored_calibrator(method, one) for one in saved],
                classes=state["classes_"],
                method=method,
            )
            for index, saved in enumerate(calibrators)
        ]
        super()._restore_state(state, folder)

    def _check_places(self, y: Any) -> None:
        """Refuse labels by which scikit-learn's temperature would come out wrong."""
        if self.method != "temperature" or y is None:
            return
        labels = np.asarray(y)
        if labels.dtype == object:  # pandas' own integers
            labels = np.asarray(labels.tolist())
        if labels.ndim != 1 or labels.dtype.kind not in "iuf":
            return
        classes = np.unique(labels)
        if not np.array_equal(classes, np.arange(len(classes))) and np.isfinite(classes).all():
            raise ValueError(
                "In memory, method='temperature' takes labels that are strings, booleans, or the "
                f"numbers 0, 1, ... without a gap. Got the classes {classes[:10].tolist()}: "
                "scikit-learn would take them for places among the classes. Encode them, "
                "sklearn.preprocessing.LabelEncoder().fit_transform(y)."
            )
