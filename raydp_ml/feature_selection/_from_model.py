"""`SelectFromModel`."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import feature_selection
from sklearn.base import _fit_context, clone
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import is_spark
from raydp_ml.compose._selector import pandas_template
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.feature_selection._selector import Selector
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.models.wrapped import require_ours
from raydp_ml.transformers.base import SparkTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

_COLUMNS = NUMERIC | {"string", "category"}
"""What a model may find important, one importance a column."""


class SelectFromModel(Selector, feature_selection.SelectFromModel):
    """Keep the features that a model found important.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.feature_selection.SelectFromModel`.

    Notes
    -----
    On a Spark DataFrame, the estimator is one of raydp_ml's, or a Pipeline that ends with one, and
    the features are the columns that it was fitted on. Vectors may be among them: the output is
    then one vector column ``selectfrommodel``. A function as `max_features` is given a pandas frame
    of the features' names, without rows.

    Examples
    --------
    >>> from raydp_ml.feature_selection import SelectFromModel
    >>> from raydp_ml.xgboost import XGBRegressor
    >>> X = [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]]
    >>> model = XGBRegressor(n_estimators=2, min_child_weight=0)
    >>> SelectFromModel(model).fit(X, [1.0, 2.0, 3.0, 4.0]).get_support()
    array([ True, False])
    """

    _kinds = _COLUMNS | {"vector"}

    def fit(self, X: Data, y: Values | None = None, **fit_params: Any) -> Self:
        """Fit the estimator, unless it is fitted (`prefit`).

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what scikit-learn takes
        y : str or array-like, default=None
            With a Spark DataFrame, the label's column; None takes the role "label".
        **fit_params
            For the estimator's ``fit``: with a Spark DataFrame, names of columns.

        Returns
        -------
        SelectFromModel

        Raises
        ------
        SchemaError
            If the columns cannot be features, or there is not one importance for each of them.
        TypeError
            If the estimator knows data in memory only, and X is a Spark DataFrame.
        ValueError
            If the estimator has no importances.
        """
        if is_spark(X):
            return self._fit_estimator(X, y, fit_params)
        X, y, fit_params = self._to_fit(X, y, **fit_params)
        return super(SparkTransformer, self).fit(X, y, **fit_params)

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_estimator(self, df: DataFrame, y: Values | None, fit_params: dict[str, Any]) -> Self:
        require_batch(df)
        require_ours(self.estimator, type(self).__name__, "estimator")
        if self.prefit:
            check_is_fitted(self.estimator)
            fitted = deepcopy(self.estimator)
        else:
            self._resolve(df, y, fit_params.get("sample_weight"))
            fitted = clone(self.estimator).fit(df, y, **fit_params)
        columns = self._picked(df, _columns_of(fitted), self._kinds)
        self._check_max_features(pandas_template(columns))
        self.estimator_ = fitted
        self._fitted_on_spark = True
        self.__dict__.pop("_vector_columns", None)
        names = [column.name for column in columns]
        if any(column.kind == "vector" for column in columns):
            self._vector_columns = names
            self._set_features_in(None, fitted.n_features_in_)
        else:
            self._set_features_in(names, len(names))
        self._check_importances(names)
        return self

    def _check_importances(self, names: Sequence[str]) -> None:
        found = len(self.get_support())
        if found != self.n_features_in_:
            raise SchemaError(
                f"The estimator has {found} importances, and was fitted on {self.n_features_in_} "
                f"features: {list(names)[:10]}. Put the steps that make others of them before "
                "SelectFromModel, into a Pipeline with it."
            )

    def _set_features_in(self, names: list[str] | None, count: int) -> None:
        # `n_features_in_` is the estimator's.
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _checked_features(self, df: DataFrame, names: Sequence[str]) -> list[Column]:
        return self._picked(df, names, _COLUMNS)

    def _genuine_state(self) -> dict[str, Any]:
        """Return what scikit-learn's own object holds, for `raydp_ml.to_sklearn`."""
        state = dict(vars(self))
        if hasattr(state.get("estimator_"), "to_xgboost"):
            # With importances, which scikit-learn's object of the same labels has not.
            state["estimator_"] = state["estimator_"].to_xgboost()
        return state


def _columns_of(fitted: Any) -> list[str]:
    """Return the columns of a DataFrame that an estimator was fitted on."""
    if isinstance(fitted, TrainedModel):
        fitted._require_names_in("fit")
        return fitted._column_names
    if not hasattr(fitted, "feature_names_in_"):
        raise SchemaError(
            f"The estimator, {type(fitted).__name__}, was fitted on data without column names, so "
            "it cannot be told which columns its importances belong to. Fit it on a frame whose "
            "columns are no vectors, or take its last step alone as the estimator."
        )
    return list(fitted.feature_names_in_)
