"""`spark_transformer`: any ``pyspark.ml`` stage as a step of a scikit-learn Pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import SparkEstimator, is_spark
from raydp_ml.exchange.jvm import require_batch

if TYPE_CHECKING:
    from pyspark.ml import Estimator, Transformer
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

__all__ = ["spark_transformer"]


class SparkStage(SparkEstimator, TransformerMixin, BaseEstimator):
    """A ``pyspark.ml`` Transformer or Estimator as a scikit-learn transformer.

    Parameters
    ----------
    stage : pyspark.ml.Transformer or pyspark.ml.Estimator
        Its own parameters (columns in and out among them) are set on it.

    Attributes
    ----------
    stage_ : pyspark.ml.Transformer
        The stage, or the model that its ``fit`` made.
    """

    def __init__(self, stage: Transformer | Estimator) -> None:
        self.stage = stage

    def fit(self, X: Data, y: Values | None = None) -> SparkStage:
        """Fit the stage to a Spark DataFrame, where it is an Estimator.

        Parameters
        ----------
        X : pyspark.sql.DataFrame
        y : str, default=None
            Ignored: a stage names its own columns.
        """
        df = self._require_spark(X)
        require_batch(df)
        self.stage_ = self.stage.fit(df) if hasattr(self.stage, "fit") else self.stage
        self._set_features_in(list(df.columns), len(df.columns))
        return self

    def transform(self, X: Data) -> DataFrame:
        """Return what the stage makes of the Spark DataFrame X, lazily."""
        df = self._require_spark(X)
        if hasattr(self.stage, "fit"):
            check_is_fitted(self)
        return cast("Transformer", getattr(self, "stage_", self.stage)).transform(df)

    def _require_spark(self, X: Data) -> DataFrame:
        if not is_spark(X):
            raise TypeError(
                f"A pyspark.ml {type(self.stage).__name__} takes a Spark DataFrame. Got "
                f"{type(X).__name__} instead."
            )
        return X

    def __sklearn_clone__(self) -> SparkStage:
        return SparkStage(self.stage.copy())


def spark_transformer(stage: Transformer | Estimator) -> SparkStage:
    """Wrap a ``pyspark.ml`` stage, to be a step of a scikit-learn Pipeline.

    Parameters
    ----------
    stage : pyspark.ml.Transformer or pyspark.ml.Estimator
        Its own parameters (columns in and out among them) are set on it.

    Returns
    -------
    SparkStage

    Raises
    ------
    TypeError
        If `stage` is none.

    Examples
    --------
    >>> from pyspark.ml.feature import NGram  # doctest: +SKIP
    >>> step = raydp_ml.spark_transformer(NGram(inputCol="words"))  # doctest: +SKIP
    """
    modules = [cls.__module__ for cls in type(stage).__mro__]
    is_stage = any(module.startswith("pyspark.ml") for module in modules)
    if isinstance(stage, type) or not is_stage or not hasattr(stage, "copy"):
        raise TypeError(
            "spark_transformer takes an object that is a pyspark.ml Transformer or Estimator. Got "
            f"{stage!r} instead."
        )
    return SparkStage(stage)
