"""Pipelines and unions of transformers, for Spark DataFrames and in-memory data.

`Pipeline` and `make_pipeline` are scikit-learn's own, which pass a Spark DataFrame on as it is.
What a Pipeline predicts is the DataFrame that it was given plus one column: the features come back
as they were, and what the transformers made of them goes. Where a step of SQL or functions has
aggregated, joined or united rows, there is nothing to give back, and its columns stay.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from sklearn import pipeline
from sklearn.pipeline import Pipeline, _name_estimators, make_pipeline
from sklearn.utils.metadata_routing import _raise_for_params

from raydp_ml.base import is_spark
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.preprocessing import FunctionTransformer
from raydp_ml.transformers.base import ANY, SparkTransformer, compared_columns
from raydp_ml.transformers.side_by_side import Part, side_by_side

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame
    from sklearn.base import BaseEstimator

    from raydp_ml.exchange.data_kinds import Data, Values

__all__ = ["FeatureUnion", "Pipeline", "make_pipeline", "make_union"]


class FeatureUnion(SparkTransformer, pipeline.FeatureUnion):
    """Apply several transformers to all features, and put their outputs next to each other.

    Parameters and results are scikit-learn's; see `sklearn.pipeline.FeatureUnion`.

    Notes
    -----
    On a Spark DataFrame, the transformers must be raydp_ml's (or Pipelines of them), and the
    outputs stand where the first feature stood.

    Examples
    --------
    >>> from raydp_ml.pipeline import FeatureUnion
    >>> from raydp_ml.preprocessing import Binarizer, MinMaxScaler
    >>> both = FeatureUnion([("scale", MinMaxScaler()), ("sign", Binarizer())])
    >>> both.fit_transform([[-1.0], [3.0]])
    array([[0., 0.],
           [1., 1.]])
    """

    _kinds = ANY
    _computes = False
    _names: list[str] | None = None
    """The features of the Spark DataFrame that it was fitted on."""

    def _to_fit(self, X: Data, y: Any, **params: Any) -> tuple[Any, Any, dict[str, Any]]:
        self.__dict__.pop("_names", None)
        return super()._to_fit(X, y, **params)

    def _compared(self, frame: pd.DataFrame) -> set[str]:
        return set().union(*(compared_columns(step, frame) for _, step in self.transformer_list))

    def fit(self, X: Data, y: Values | None = None, **fit_params: Any) -> Self:
        """Fit all transformers; see `raydp_ml.compose.ColumnTransformer.fit`."""
        if is_spark(X):
            self._fit_transform_spark(X, y, **fit_params)
            return self
        X, y, fit_params = self._to_fit(X, y, **fit_params)
        return super(SparkTransformer, self).fit(X, y, **fit_params)

    def _fit_transform_spark(self, df: DataFrame, y: Values | None, **params: Any) -> DataFrame:
        _raise_for_params(params, self, "fit_transform")
        require_batch(df)
        roles = self._resolve(df, y, None)
        self.transformer_list: list[tuple[str, BaseEstimator]] = list(self.transformer_list)
        self._validate_transformers()
        self._validate_transformer_weights()
        chosen = [(name, _ours(step), weight) for name, step, weight in self._iter()]
        parts = [
            Part(name, roles.feature_names, partial(step.fit_transform, y=y), weight)
            for name, step, weight in chosen
        ]
        made = self._joined(df, roles.feature_names, parts)
        self._names = roles.feature_names
        self._update_transformer_list([step for _, step, _ in chosen])
        return made

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        chosen = [(name, _ours(step), weight) for name, step, weight in self._iter()]
        if chosen:
            features = list(self._require_names_in("transform"))
        else:  # no transformer is left that knows the names
            features = self._names or self._resolve(df, None, None).feature_names
        parts = [Part(name, features, step.transform, weight) for name, step, weight in chosen]
        return self._joined(df, features, parts)

    def _joined(self, df: DataFrame, features: list[str], parts: list[Part]) -> DataFrame:
        made, _ = side_by_side(df, features, parts, self._add_prefix_for_feature_names_out)
        return made


def make_union(
    *transformers: BaseEstimator,
    n_jobs: int | None = None,
    verbose: bool = False,
    verbose_feature_names_out: bool = True,
) -> FeatureUnion:
    """Make a `FeatureUnion` of transformers, naming them itself.

    See Also
    --------
    sklearn.pipeline.make_union : The same in memory.
    """
    return FeatureUnion(
        _name_estimators(transformers),
        n_jobs=n_jobs,
        verbose=verbose,
        verbose_feature_names_out=verbose_feature_names_out,
    )


def _ours(step: BaseEstimator) -> BaseEstimator:
    """Replace scikit-learn's stand-in for "passthrough" by ours, which knows Spark."""
    if type(step).__module__.startswith("sklearn.preprocessing"):
        return FunctionTransformer(feature_names_out="one-to-one")
    return step
