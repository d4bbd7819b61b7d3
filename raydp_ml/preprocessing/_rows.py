"""`Normalizer` and `Binarizer`, which learn nothing from the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn import preprocessing

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.exchange.sql_text import select, where
from raydp_ml.expressions import helper, number, when_held
from raydp_ml.statistics import no_rows
from raydp_ml.transformer import SparkTransformer
from raydp_ml.vector_features import VectorFeatures


class Normalizer(VectorFeatures, preprocessing.Normalizer):
    """Scale each row to unit norm.

    Parameters and results are scikit-learn's; see `sklearn.preprocessing.Normalizer`.

    Notes
    -----
    In Spark, ``fit`` reads no rows, and a row with a missing value becomes missing as a whole.
    Vectors may be among the features: ``fit`` looks at the first row then, and the output is one
    vector column ``normalizer``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import Normalizer
    >>> Normalizer().transform([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """

    def _learn_vectors(self, df: Any, x: str, roles: ColumnRoles) -> int:
        first = where(select(df, f"{x} AS x"), "x is not null").head()
        if first is None:
            raise no_rows()
        return first["x"].size

    def _vector_outputs(self, spark: Any, x: str) -> tuple[list[list[str]], list[tuple[str, str]]]:
        return [], [(type(self).__name__.lower(), f"raydp_ml_unit({x}, '{self.norm}')")]

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        if self.norm == "l2":
            norm = f"sqrt({' + '.join(f'{x} * {x}' for x in inputs)})"
        elif self.norm == "l1":
            norm = " + ".join(f"abs({x})" for x in inputs)
        else:
            # A sum, unlike SQL's greatest, is missing where a value is.
            most = f"array_max(array({','.join(f'abs({x})' for x in inputs)}))"
            norm = f"{most} + 0 * ({' + '.join(inputs)})"
        return [[norm], [f"if({helper(0)} = 0, 1.0D, {helper(0)})"]]

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return [[f"{x} / {helper(1)}"] for x in inputs]


class Binarizer(SparkTransformer, preprocessing.Binarizer):
    """Set values above a threshold to 1 and all others to 0.

    Parameters and results are scikit-learn's; see `sklearn.preprocessing.Binarizer`.

    Notes
    -----
    In Spark, ``fit`` reads no rows, and missing values stay missing.

    Examples
    --------
    >>> from raydp_ml.preprocessing import Binarizer
    >>> Binarizer().transform([[3.0, -4.0]])
    array([[1., 0.]])
    """

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        edge = number(self.threshold)
        return [[when_held(x, f"if({x} > {edge}, 1.0D, 0.0D)")] for x in inputs]
