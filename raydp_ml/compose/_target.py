"""`TransformedTargetRegressor`."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import compose, preprocessing
from sklearn.base import _fit_context, clone
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import SparkEstimator, in_memory, is_spark
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, from_spark_schema, quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.models.pipeline_input import as_pipeline_promises
from raydp_ml.models.wrapped import label_of, require_ours, writing_to
from raydp_ml.preprocessing import FunctionTransformer
from raydp_ml.preprocessing._function import has_sql
from raydp_ml.spark_jobs.expressions import double
from raydp_ml.spark_jobs.scores import PREDICTION, spark_r2
from raydp_ml.transformers.base import InvertibleTransformer
from raydp_ml.transformers.named_columns import taken_out

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values


class TransformedTargetRegressor(SparkEstimator, compose.TransformedTargetRegressor):
    """Regress on a transformed target, and predict the target itself.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.compose.TransformedTargetRegressor`.

    Notes
    -----
    On a Spark DataFrame, the regressor is one of raydp_ml's, or a Pipeline that ends with one. The
    target is a column of numbers. It is transformed by one of raydp_ml's transformers that have an
    ``inverse_transform`` to one column (`PowerTransformer`, `QuantileTransformer`, the scalers), or
    by two of NumPy's functions that Spark SQL has too (``numpy.log1p`` and ``numpy.expm1``). As in
    scikit-learn, weights reach the regressor only, and labels of an ``eval_set`` are not
    transformed; rows that the role "validation" marks are.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.compose import TransformedTargetRegressor
    >>> from raydp_ml.xgboost import XGBRegressor
    >>> model = TransformedTargetRegressor(XGBRegressor(), func=np.log1p, inverse_func=np.expm1)
    >>> model.fit(df, "fare").predict(df).columns  # doctest: +SKIP
    ['distance', 'fare', 'prediction']
    """

    def fit(self, X: Data, y: Values | None = None, **fit_params: Any) -> Self:
        """Fit the transformer to the target, and the regressor to what it makes of it.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what scikit-learn takes
        y : str or array-like, default=None
            The target, or the name of a column of X; with a Spark DataFrame, None takes the role
            "label".
        **fit_params
            For the regressor's ``fit``: with a Spark DataFrame, names of columns.

        Returns
        -------
        TransformedTargetRegressor

        Raises
        ------
        SchemaError
            If the target is no column of numbers, or holds values that cannot be used.
        TypeError
            If regressor, transformer or functions know data in memory only, and X is a Spark
            DataFrame.
        ValueError
            As scikit-learn's, for example for one function without the other.
        """
        if is_spark(X):
            return self._fit_spark(X, y, fit_params)
        X, y, fit_params = taken_out(in_memory(X), y, **fit_params)
        super().fit(X, y, **fit_params)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_spark(self, df: DataFrame, y: Values | None, fit_params: dict[str, Any]) -> Self:
        require_batch(df)
        regressor = self._get_regressor(get_clone=True)
        require_ours(regressor, type(self).__name__, "regressor")
        label = label_of(df, y, type(self).__name__)
        kind = next(c for c in from_spark_schema(df.schema) if c.name == label)
        if kind.kind not in NUMERIC:
            raise SchemaError(
                f"The target of {type(self).__name__} is a column of numbers, and {label!r} is of "
                f"type {kind.type_name}. Cast it, or fit several targets one by one."
            )
        # As doubles, without a role: the one feature of the transformer.
        as_double = f"{double(label)} AS {quoted(label)}"
        target = select(df, as_double)
        transformer = self._fit_to_target(target, label)
        columns = [as_double if name == label else quoted(name) for name in df.columns]
        transformed = self._named(transformer, label).transform(select(df, *columns))
        regressor.fit(transformed, label, **fit_params)
        self.transformer_, self.regressor_, self._training_dim = transformer, regressor, 1
        if hasattr(regressor, "feature_names_in_"):
            self.feature_names_in_ = regressor.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def predict(self, X: Data, **predict_params: Any) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : Spark DataFrame, or what the regressor takes
        **predict_params
            For the regressor's ``predict``.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray
            For Spark, lazily: the same DataFrame plus the column that the regressor adds, with what
            the transformer's inverse makes of its predictions.

        Raises
        ------
        SchemaError
            As the regressor's ``predict``.
        TypeError
            If it was fitted in memory with a transformer that knows nothing else, and X is a Spark
            DataFrame.
        """
        check_is_fitted(self)
        if not is_spark(X):
            return super().predict(in_memory(X), **predict_params)
        made = self._inverted(self.regressor_.predict(X, **predict_params))
        return as_pipeline_promises(self, made, "prediction_col")

    def score(self, X: Data, y: Values | None = None, sample_weight: Values | None = None) -> float:
        """Return the coefficient of determination R² of the predictions.

        Parameters
        ----------
        X : as in ``predict``
        y : str or array-like, default=None
            As ``fit`` takes it.
        sample_weight : str or array-like, default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if not is_spark(X):
            X, y, weights = taken_out(in_memory(X), y, sample_weight=sample_weight)
            return float(super().score(X, y, **weights))
        predicted = writing_to(self.regressor_, "prediction_col", PREDICTION).predict(X)
        return spark_r2(X, self._inverted(predicted), y, sample_weight)

    def _saved_state(self, folder: Path) -> dict[str, object]:
        return {**super()._saved_state(folder), "_training_dim": self._training_dim}

    def _fit_to_target(self, target: DataFrame, label: str) -> Any:
        """Return a fitted transformer that, as scikit-learn's, knows no name of the target."""
        if self.transformer is None or (self.func, self.inverse_func) != (None, None):
            # scikit-learn checks the functions, and what becomes of a few values there and back.
            own = compose.TransformedTargetRegressor(
                transformer=self.transformer,
                func=self.func,
                inverse_func=self.inverse_func,
                check_inverse=self.check_inverse,
            )
            own._fit_transformer(_some(target))
            return own.transformer_
        made = _as_ours(clone(self.transformer))
        if made is None or made.fit(target).transform(target).columns != [label]:
            raise self._unusable(self.transformer)
        del made.feature_names_in_
        if self.check_inverse:
            some = _some(target)
            if not np.allclose(some, made.inverse_transform(made.transform(some))):
                warnings.warn(
                    "The provided functions or transformer are not strictly inverse of each other. "
                    "If you are sure you want to proceed regardless, set 'check_inverse=False'",
                    stacklevel=4,
                )
        return made

    def _inverted(self, made: DataFrame) -> DataFrame:
        """Replace the last column, a prediction of the regressor's, by what it stands for."""
        inverted: DataFrame = self._named(self.transformer_, made.columns[-1]).inverse_transform(
            made
        )
        return inverted

    def _named(self, transformer: Any, column: str) -> Any:
        """Return a copy of a fitted transformer whose one feature is that column."""
        made = _as_ours(transformer)
        if made is None:
            raise self._unusable(transformer)
        made.feature_names_in_ = np.array([column], dtype=object)
        return made

    def _unusable(self, transformer: Any) -> TypeError:
        what = type(transformer).__name__
        if isinstance(transformer, preprocessing.FunctionTransformer):
            what = f"func={transformer.func!r} and inverse_func={transformer.inverse_func!r}"
        return TypeError(
            f"On a Spark DataFrame, {type(self).__name__} takes a transformer of raydp_ml with an "
            "inverse_transform to one column (PowerTransformer, QuantileTransformer, a scaler), or "
            f"NumPy's functions that SQL has too (func=numpy.log1p, inverse_func=numpy.expm1). Got "
            f"{what} instead."
        )


def _as_ours(transformer: Any) -> Any:
    """Return a copy that transforms a Spark DataFrame, and back; None where there is none."""
    if isinstance(transformer, preprocessing.FunctionTransformer):
        params = transformer.get_params(deep=False)
        arguments = params["kw_args"] or params["inv_kw_args"]
        if arguments or not (has_sql(params["func"]) and has_sql(params["inverse_func"])):
            return None
        made = FunctionTransformer(**params)
        made.__dict__.update(vars(transformer))
        return made
    return copy.copy(transformer) if isinstance(transformer, InvertibleTransformer) else None


def _some(target: DataFrame) -> np.ndarray:
    return np.array(target.limit(10).collect(), dtype=float).reshape(-1, 1)
