"""`Normalizer` and `Binarizer`, which learn nothing from the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import preprocessing

from raydp_ml.exchange.columns import Column, ColumnRoles
from raydp_ml.exchange.sql_text import select, where
from raydp_ml.spark_jobs.expressions import double, helper, number
from raydp_ml.spark_jobs.summaries import no_rows
from raydp_ml.transformers.base import SparkTransformer
from raydp_ml.transformers.precision import common_dtype
from raydp_ml.transformers.vector_features import VectorFeatures

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from raydp_ml.exchange.data_kinds import Data

_ORDERS = {"l1": 1, "l2": 2, "max": np.inf}


class Normalizer(VectorFeatures, preprocessing.Normalizer):
    """Scale each row to unit norm.

    Parameters and results are scikit-learn's; see `sklearn.preprocessing.Normalizer`.

    Notes
    -----
    In Spark, ``fit`` reads no rows, and a missing or infinite value fails the query that meets it.
    Vectors may be among the features: ``fit`` looks at the first row then, and the output is one
    vector column ``normalizer``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import Normalizer
    >>> Normalizer().transform([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """

    def _as_in_spark(self, X: Data, made: Any) -> Any:
        X = np.asarray(X)
        if X.dtype == np.float32:
            # Computed in doubles, and yet what single precision takes for zero stays as it is.
            norms = np.linalg.norm(X.astype(np.float64), _ORDERS[self.norm], axis=1)
            tiny = norms < 10 * np.finfo(np.float32).eps
            if tiny.any():
                made[tiny] = X[tiny]
        return made

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        first = where(select(df, f"{x} AS x"), "x is not null").head()
        if first is None:
            raise no_rows()
        return first["x"].size

    def _vector_outputs(
        self, spark: SparkSession, x: str
    ) -> tuple[list[list[str]], list[tuple[str, str]]]:
        return [], [(type(self).__name__.lower(), f"raydp_ml_unit({x}, '{self.norm}')")]

    def _inputs(self, columns: Sequence[Column]) -> list[Any]:
        return list(columns)

    def _helpers(self, inputs: Sequence[Any]) -> list[list[str]]:
        values = [double(column.name) for column in inputs]
        if self.norm == "l2":
            norm = f"sqrt({' + '.join(f'{x} * {x}' for x in values)})"
        elif self.norm == "l1":
            norm = " + ".join(f"abs({x})" for x in values)
        else:
            norm = f"array_max(array({','.join(f'abs({x})' for x in values)}))"
        # Such rows scikit-learn leaves as they are; of a sparse matrix, only those of zeros.
        least = 10 * np.finfo(common_dtype(inputs)).eps
        return [[norm], [f"if({helper(0)} < {number(least)}, 1.0D, {helper(0)})"]]

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        return [[f"{double(column.name)} / {helper(1)}"] for column in inputs]


class Binarizer(SparkTransformer, preprocessing.Binarizer):
    """Set values above a threshold to 1 and all others to 0.

    Parameters and results are scikit-learn's; see `sklearn.preprocessing.Binarizer`.

    Notes
    -----
    In Spark, ``fit`` reads no rows, and a missing or infinite value fails the query that meets it.
    Columns that are all of single precision are compared so, as in memory.

    Examples
    --------
    >>> from raydp_ml.preprocessing import Binarizer
    >>> Binarizer().transform([[3.0, -4.0]])
    array([[1., 0.]])
    """

    _computes = False

    def _inputs(self, columns: Sequence[Column]) -> list[str]:
        edge = number(common_dtype(columns)(self.threshold))
        return [f"{double(column.name)} > {edge}" for column in columns]

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return [[f"if({above}, 1.0D, 0.0D)"] for above in inputs]
