"""`FunctionTransformer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn import preprocessing

from raydp_ml.base import in_memory, is_spark
from raydp_ml.exchange.columns import NUMERIC
from raydp_ml.transformers.base import ANY, SparkTransformer, replace_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data


def _logarithm(function: str, pole: int) -> str:
    # Spark's are null where NumPy's are infinite or NaN.
    return (
        f"if({{x}} > {pole}, {function}({{x}}), if({{x}} = {pole}, double('-Infinity'), "
        f"if({{x}} < {pole}, double('NaN'), null)))"
    )


# NumPy's functions of one argument that Spark SQL has too, with the same values.
_SQL = {
    np.abs: "abs({x})",
    np.absolute: "abs({x})",
    np.negative: "-{x}",
    np.sqrt: "sqrt({x})",
    np.cbrt: "cbrt({x})",
    np.square: "{x} * {x}",
    np.exp: "exp({x})",
    np.expm1: "expm1({x})",
    np.log: _logarithm("ln", 0),
    np.log1p: _logarithm("log1p", -1),
    np.log2: _logarithm("log2", 0),
    np.log10: _logarithm("log10", 0),
    np.sin: "sin({x})",
    np.cos: "cos({x})",
    np.tan: "tan({x})",
    np.arctan: "atan({x})",
    np.tanh: "tanh({x})",
    np.sinh: "sinh({x})",
    np.cosh: "cosh({x})",
    np.sign: "sign({x})",
    np.reciprocal: "if({x} = 0, double('Infinity'), 1 / {x})",
    # SQL's floor makes integers of 64 bits; doubles from 2^52 on have no fraction.
    np.floor: "if(isnan({x}) or abs({x}) >= 4503599627370496D, {x}, cast(floor({x}) as double))",
    np.ceil: "if(isnan({x}) or abs({x}) >= 4503599627370496D, {x}, cast(ceil({x}) as double))",
}


def has_sql(function: Callable[..., Any] | None) -> bool:
    """Whether a function of numbers is one that Spark SQL has too; None stands for the identity."""
    return function is None or function in _SQL


class FunctionTransformer(SparkTransformer, preprocessing.FunctionTransformer):
    """Apply a function.

    Parameters and results are scikit-learn's; see `sklearn.preprocessing.FunctionTransformer`.

    Notes
    -----
    On a Spark DataFrame, one of NumPy's functions of one argument that Spark SQL has too
    (``numpy.log1p``, ``numpy.sqrt``, ``numpy.sin``, ...) becomes SQL over each feature. Any other
    function gets the DataFrame, all columns included, and must return one. With ``validate``, a
    missing or infinite value fails the query that meets it. ``check_inverse`` has no effect.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.preprocessing import FunctionTransformer
    >>> FunctionTransformer(np.log1p).transform([[0.0]])
    array([[0.]])
    """

    def inverse_transform(self, X: Data) -> Any:
        """Apply ``inverse_func``."""
        if is_spark(X):
            return self._apply(X, self.inverse_func, self.inv_kw_args)
        return super().inverse_transform(self._as_computed(in_memory(X)))

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        return self._apply(df, self.func, self.kw_args)

    def _to_fit(self, X: Data, y: Any, **params: Any) -> tuple[Any, Any, dict[str, Any]]:
        if self.func in _SQL:
            return super()._to_fit(X, y, **params)
        # Functions of frames are given all columns here too.
        self._forget_spark()
        return in_memory(X), y, params

    def _as_computed(self, X: Data) -> Any:
        if not self._fitted_on_spark or self.func not in _SQL or self.kw_args:
            return X
        # NumPy's functions compute with small integers in half or single precision, or overflow.
        return X.astype(np.float64) if isinstance(X, (np.ndarray, pd.DataFrame)) else X

    @property
    def _kinds(self) -> frozenset[str]:  # type: ignore[override]
        # Any columns may go into a function of DataFrames; SQL's functions take numbers.
        return NUMERIC if self.func is not None and self.func in _SQL else ANY

    def _apply(
        self,
        df: DataFrame,
        function: Callable[..., DataFrame] | None,
        arguments: dict[str, object] | None,
    ) -> DataFrame:
        if function is None:
            return df
        if self.validate:
            df = self._refusing(df, self._checked_features(df, self._names_in(df)))
        if function in _SQL and not arguments:
            names = self._names_in(df)
            columns = self._checked_features(df, names)
            self._check_precision(columns)
            inputs = self._inputs(columns)
            template = _SQL[function]
            outputs = [
                [(name, template.format(x=x))] for name, x in zip(names, inputs, strict=True)
            ]
            return replace_columns(df, names, outputs)
        made = function(df, **(arguments or {}))
        if not is_spark(made):
            raise TypeError(
                f"The function {function!r} was given a Spark DataFrame, and must return one. Got "
                f"{type(made).__name__} instead. Write it with pyspark.sql.functions."
            )
        return made
