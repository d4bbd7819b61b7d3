"""`FunctionTransformer`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn import preprocessing

from raydp_ml.base import in_memory, is_spark
from raydp_ml.exchange.columns import NUMERIC, Column
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


def _whole(number: str) -> str:
    # SQL's floor makes integers of 64 bits, which have no -0.0; doubles from 2^52 on have no
    # fraction.
    return f"if(isnan({{x}}) or {{x}} = 0 or abs({{x}}) >= 4503599627370496D, {{x}}, {number})"


_FLOOR = "cast(floor({x}) as double)"
_CEIL = "-cast(floor(-{x}) as double)"  # -0.0 from -1 on, as NumPy's

# NumPy's functions of one argument that Spark SQL has too, with the same values.
_SQL: dict[Callable[..., Any], str] = {
    np.absolute: "abs({x})",
    np.fabs: "abs({x})",
    np.positive: "{x}",
    np.negative: "-{x}",
    np.sqrt: "sqrt({x})",
    np.cbrt: "cbrt({x})",
    np.square: "{x} * {x}",
    np.exp: "exp({x})",
    np.exp2: "power(2D, {x})",
    np.expm1: "expm1({x})",
    np.log: _logarithm("ln", 0),
    np.log1p: _logarithm("log1p", -1),
    np.log2: _logarithm("log2", 0),
    np.log10: _logarithm("log10", 0),
    np.sin: "sin({x})",
    np.cos: "cos({x})",
    np.tan: "tan({x})",
    np.arcsin: "asin({x})",
    np.arccos: "acos({x})",
    np.arctan: "atan({x})",
    np.tanh: "tanh({x})",
    np.sinh: "sinh({x})",
    np.cosh: "cosh({x})",
    **dict.fromkeys((np.degrees, np.rad2deg), "degrees({x})"),
    **dict.fromkeys((np.radians, np.deg2rad), "radians({x})"),
    np.sign: "sign({x}) + 0D",  # which makes 0.0 of -0.0
    # Only a power knows that one over -0.0 is -inf; a division is the more exact otherwise.
    np.reciprocal: "if({x} = 0, power({x}, -1D), 1 / {x})",
    np.floor: _whole(_FLOOR),
    np.ceil: _whole(_CEIL),
    np.trunc: _whole(f"if({{x}} < 0, {_CEIL}, {_FLOOR})"),
    **dict.fromkeys((np.rint, np.round, np.around), "rint({x})"),
}
# Of these a number of any type is the same as of the double.
_EXACT = frozenset(
    {
        *(np.absolute, np.fabs, np.positive, np.negative, np.sign),
        *(np.floor, np.ceil, np.trunc, np.rint, np.round, np.around),
    }
)
_DTYPES = {
    "boolean": np.bool_,
    "tinyint": np.int8,
    "smallint": np.int16,
    "int": np.int32,
    "bigint": np.int64,
    "float": np.float32,
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

    Spark computes in doubles. In memory NumPy computes with small types in their own precision,
    and with integers in integers: ``numpy.square`` of 100 as int8 is 16, ``numpy.reciprocal`` of
    the integer 3 is 0. Fitted on Spark, it computes with doubles in memory too; fitted in memory,
    it warns on Spark of columns whose results may differ.

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
            return self._inverse_spark(X)
        return super().inverse_transform(self._as_computed(in_memory(X)))

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        return self._apply(df, self.func, self.kw_args)

    def _inverse_spark(self, df: DataFrame) -> DataFrame:
        # As deep as `_transform_spark`, so that a warning names the caller's line here too.
        return self._apply(df, self.inverse_func, self.inv_kw_args)

    def _to_fit(self, X: Data, y: Any, **params: Any) -> tuple[Any, Any, dict[str, Any]]:
        if self.func in _SQL:
            return super()._to_fit(X, y, **params)
        # Functions of frames are given all columns here too.
        self._forget_spark()
        return self._in_memory(X), y, params

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
            self._warn_of_types(function, columns)
            inputs = self._inputs(columns)
            template = _SQL[function]
            outputs = [
                [(name, template.format(x=x))] for name, x in zip(names, inputs, strict=True)
            ]
            return replace_columns(df, names, outputs)
        remedy = "Write it with pyspark.sql.functions."
        try:
            made = function(df, **(arguments or {}))
        except (TypeError, AttributeError) as error:
            # What NumPy, Python's own functions and those for pandas say of a DataFrame of Spark.
            raise TypeError(
                f"The function {function!r} was given a Spark DataFrame, and must return one. It "
                f"failed instead: {error}. {remedy}"
            ) from error
        if not is_spark(made):
            raise TypeError(
                f"The function {function!r} was given a Spark DataFrame, and must return one. Got "
                f"{type(made).__name__} instead. {remedy}"
            )
        return made

    def _warn_of_types(self, function: Callable[..., Any], columns: Sequence[Column]) -> None:
        """Warn where NumPy computes otherwise in memory, where this was fitted, than Spark."""
        if not hasattr(self, "n_features_in_") or self._fitted_on_spark:
            return
        other = [column.name for column in columns if _differs(function, column.type_name)]
        if other:
            warnings.warn(
                f"{type(self).__name__} was fitted in memory, where NumPy computes with the "
                f"columns {other} in single precision or in integers. Spark computes in doubles, "
                "so that results may differ. Cast the columns to double before fit, or fit on a "
                "Spark DataFrame.",
                stacklevel=5,
            )


def _differs(function: Callable[..., Any], type_name: str) -> bool:
    """Whether a function makes other numbers of a Spark type in NumPy than of doubles."""
    dtype = _DTYPES.get(type_name)
    if dtype is None or function in _EXACT:
        return False
    if function is np.square:  # which overflows; of 64 bits only where doubles round, too
        return type_name in {"tinyint", "smallint", "int", "float"}
    if function is np.reciprocal:
        return True
    try:
        return bool(function(np.ones(1, dtype)).dtype != np.float64)
    except TypeError:  # NumPy has no such function of it
        return False
