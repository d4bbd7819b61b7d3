"""Predictions of a booster on a Spark DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import Column
from raydp_ml.models.predictor import Predictor, list_array, rows_table
from raydp_ml.training.rows.layout import Feature, Layout, as_numbers, vector_matrix
from raydp_ml.training.rows.reports import singles
from raydp_ml.training.xgboost.matrix import features_of
from raydp_ml.xgboost.jvm_rows import NO_MARGINS, margins_for_jvm, rows_for_jvm
from raydp_ml.xgboost.jvm_trees import packed_leaves, packed_trees
from raydp_ml.xgboost.output import (
    LIKELY,
    Asked,
    booster_output,
    leaves,
    load_booster,
    probabilities,
)

if TYPE_CHECKING:
    import xgboost
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame
    from scipy.sparse import csr_array


_INTEGERS = pa.list_(pa.int32())
_NOT_FINITE = (
    "The base margins hold missing or infinite values, or such beyond single precision. They must "
    "be finite numbers: fix or drop such rows."
)


class OfBooster(Predictor["xgboost.Booster"]):
    """Base of what Spark's tasks ask a booster."""

    def load(self, raw: bytes) -> xgboost.Booster:
        """Return the booster."""
        # Spark runs one task per core already.
        return load_booster(raw, n_jobs=1)


@dataclass(frozen=True)
class BoosterPredictor(OfBooster):
    """All that a Spark task needs besides the booster.

    Attributes
    ----------
    asked : Asked
        Which output of the booster is wanted. For the classes, the margin means that probabilities
        are made of it here.
    from_margin : bool
        Whether the last column of the layout is where each row begins.
    """

    asked: Asked
    from_margin: bool = False

    def compute(self, model: xgboost.Booster, rows: pa.StructArray) -> np.ndarray:
        """Return values, or the shares of classes."""
        layout, margins = self.layout, None
        if self.from_margin:
            *features, last = layout.features
            margins = _margins(rows.field(last.name), last)
            layout = layout.with_features(features)
            rows = pa.StructArray.from_arrays(
                [rows.field(feature.name) for feature in features],
                [feature.name for feature in features],
            )
        data = features_of_rows(rows, layout)
        values = booster_output(model, data, self.asked, margins)
        return values if self.gives_numbers else probabilities(values, self.asked.margin)

    @property
    def gives_numbers(self) -> bool:
        """Whether the output is that of the booster as it is."""
        return self.output in {"value", "values", "labels"}

    def predict(self, model: xgboost.Booster, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features."""
        if self.output != "labels" or not len(rows):
            return super().predict(model, rows)
        made = self.compute(model, rows).reshape(len(rows), -1)
        return list_array(made > LIKELY).cast(_INTEGERS)

    def empty(self) -> pa.Array:
        """Return the prediction of no rows."""
        return pa.array([], _INTEGERS) if self.output == "labels" else super().empty()


@dataclass(frozen=True)
class LeafPredictor(OfBooster):
    """The same for the leaves of all trees.

    Attributes
    ----------
    asked : Asked
    """

    asked: Asked

    def compute(self, model: xgboost.Booster, rows: pa.StructArray) -> np.ndarray:
        """Return leaves of shape (n, n_trees)."""
        return leaves(model, features_of_rows(rows, self.layout), self.asked)

    def predict(self, model: xgboost.Booster, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features."""
        if len(rows) == 0:
            return self.empty()
        return list_array(self.compute(model, rows)).cast(_INTEGERS)

    def empty(self) -> pa.Array:
        """Return the leaves of no rows."""
        return pa.array([], _INTEGERS)


def _margins(column: pa.Array, feature: Feature) -> np.ndarray:
    margins = (
        vector_matrix(column, feature)
        if feature.kind == "vector"
        else as_numbers(column).to_numpy(zero_copy_only=False)
    ).astype(np.float64)
    if not np.isfinite(singles(margins)).all():
        raise SchemaError(_NOT_FINITE)
    return margins


def features_of_rows(rows: pa.StructArray, layout: Layout) -> np.ndarray | csr_array | pa.Table:
    """Return the features of structs in a form that XGBoost takes."""
    matrix = number_matrix(rows, layout)
    return features_of(rows_table(rows), layout) if matrix is None else matrix


def number_matrix(rows: pa.StructArray, layout: Layout) -> np.ndarray | None:
    """Return features that are all numbers as a matrix, which XGBoost reads faster than a table.

    Parameters
    ----------
    rows : pyarrow.StructArray of n rows
    layout : Layout

    Returns
    -------
    ndarray of shape (n, n_features), dtype float32, or None
        None where a column is no number, or where integers with nulls would be rounded twice.
    """
    if any(feature.kind != "number" for feature in layout.features):
        return None
    columns = [as_numbers(column) for column in rows.flatten()]
    if any(column.null_count and not pat.is_floating(column.type) for column in columns):
        return None
    matrix = np.empty((len(rows), len(columns)), dtype=np.float32)
    with np.errstate(over="ignore"):  # what is too large is infinite, as to XGBoost itself
        for place, column in enumerate(columns):
            matrix[:, place] = column.to_numpy(zero_copy_only=False)
    return matrix


def trees_column(
    booster: xgboost.Booster, predictor: BoosterPredictor, df: DataFrame, columns: list[Column]
) -> SparkColumn | None:
    """Make the column of predictions within the JVM, where it can walk the booster's trees.

    Parameters
    ----------
    booster : xgboost.Booster
    predictor : BoosterPredictor
        What is asked for.
    df : pyspark.sql.DataFrame
    columns : list of Column
        The features.

    Returns
    -------
    pyspark.sql.Column or None
    """
    if predictor.asked.margin and not predictor.gives_numbers:
        return None
    features: Sequence[Feature] = predictor.layout.features
    margins: str | None = NO_MARGINS
    if predictor.from_margin:
        *columns, column = columns
        *features, feature = features
        margins = margins_for_jvm(df, column, feature, _NOT_FINITE)
    rows = rows_for_jvm(df, columns, features)
    trees = packed_trees(booster, predictor.asked, predictor.from_margin)
    if margins is None or rows is None or trees is None:
        return None
    made = trees.column(df, rows, predictor.asked.missing, predictor.output, margins)
    if made is None or predictor.output != "class":
        return made
    return _named(made, predictor.classes)


def _named(place: SparkColumn, classes: pa.Array) -> SparkColumn:
    from pyspark.sql import functions
    from pyspark.sql.pandas.types import from_arrow_type

    kind = from_arrow_type(classes.type, prefer_timestamp_ntz=True)
    literals = functions.array(*(functions.lit(name).cast(kind) for name in classes.to_pylist()))
    return functions.element_at(literals, place + 1)


def leaves_column(
    booster: xgboost.Booster, predictor: LeafPredictor, df: DataFrame, columns: list[Column]
) -> SparkColumn | None:
    """Make the column of leaves within the JVM, as `trees_column` that of predictions."""
    rows = rows_for_jvm(df, columns, predictor.layout.features)
    trees = packed_leaves(booster, predictor.asked)
    if rows is None or trees is None:
        return None
    return trees.column(df, rows, predictor.asked.missing, "leaves")
