"""Transformers of ``pyspark.ml`` vectors, which are to Spark what sparse matrices are in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from raydp_ml.exchange.columns import (
    NUMERIC,
    Column,
    ColumnRoles,
)
from raydp_ml.spark_jobs import vectors
from raydp_ml.spark_jobs.vector_moments import require_java
from raydp_ml.transformers.base import Named, SparkTransformer, replace_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["VectorFeatures", "VectorScaler"]


class VectorFeatures(SparkTransformer):
    """Mixin of transformers that also take vectors, alone or beside columns of numbers.

    In memory, the same features are a sparse matrix, whose columns have no names. So has a
    transformer that was fitted on vectors none: ``n_features_in_`` are the entries of all.
    """

    _kinds = NUMERIC | {"vector"}

    def _learn_from(self, df: DataFrame, roles: ColumnRoles) -> None:
        vars(self).pop("_vector_columns", None)
        if not _holds_vectors(roles.features):
            super()._learn_from(df, roles)
            return
        vectors.register(df.sparkSession)
        width = self._learn_vectors(df, vectors.joined(roles.features), roles)
        self._set_features_in(None, width)
        self._vector_columns = roles.feature_names

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        """Set the fitted attributes from vectors, SQL `x`; return how many entries they have."""
        raise NotImplementedError

    def _vector_outputs(
        self, spark: SparkSession, x: str
    ) -> tuple[list[list[str]], list[tuple[str, str]]]:
        """Give helpers, and the names and SQL of the outputs, for vectors."""
        raise NotImplementedError

    def _is_vector(self) -> bool:
        return self._vector_columns is not None

    def _checked_features(self, df: DataFrame, names: Sequence[str]) -> list[Column]:
        # Those of `_transform_spark` above this class: it was fitted on columns of numbers.
        return self._picked(df, names, NUMERIC)

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        names = self._vector_names(df)
        if names is None:
            return super()._transform_spark(df)
        picked = self._picked(df, names, self._kinds)
        df = self._refusing(df, picked)
        vectors.register(df.sparkSession)
        helpers, outputs = self._vector_outputs(df.sparkSession, vectors.joined(picked))
        made: Named = [outputs, *([] for _ in names[1:])]
        return replace_columns(df, names, made, helpers)

    def _vector_names(self, df: DataFrame) -> list[str] | None:
        """Name the columns of vectors to transform; None where the features are columns."""
        check_is_fitted(self)
        if self._vector_columns is not None:
            return self._vector_columns
        if hasattr(self, "feature_names_in_"):
            return None
        # What was fitted in memory on a sparse matrix knows no names.
        found = self._resolve(df, None, None)
        return found.feature_names if _holds_vectors(found.features) else None


class VectorScaler(VectorFeatures):
    """Mixin of transformers that keep some entries of vectors, each times a factor."""

    _bound = np.inf
    """The greatest absolute value of an output."""

    def _allows_infinite(self) -> bool:
        """Whether ``transform`` takes infinite values."""
        return False

    def _factors(self) -> np.ndarray:
        """Return a factor for each entry, 0 for one that is left out."""
        raise NotImplementedError

    def _vector_outputs(
        self, spark: SparkSession, x: str
    ) -> tuple[list[list[str]], list[tuple[str, str]]]:
        packed = np.ascontiguousarray(self._factors(), dtype=">f8").tobytes()
        allowed = self._allows_missing(), self._allows_infinite()
        bound = float(self._bound)
        name = named_by_content("selection", packed + f"{bound} {allowed}".encode())
        java = require_java(spark, "columns.VectorSelection")
        java.register(spark, name, packed, bound, *allowed)
        return [], [(type(self).__name__.lower(), f"{name}({x})")]


def named_by_content(kind: str, content: bytes) -> str:
    """Name an SQL function so that the same one bears the same name, however often it is made."""
    return f"raydp_ml_{kind}_{hashlib.sha256(content).hexdigest()[:16]}"


def _holds_vectors(columns: Sequence[Column]) -> bool:
    return any(column.kind == "vector" for column in columns)
