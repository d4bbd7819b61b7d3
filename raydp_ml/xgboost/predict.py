"""Predictions of a booster on a Spark DataFrame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.exchange.columns import Column
from raydp_ml.models.predictor import Predictor, rows_table
from raydp_ml.training.rows.layout import Layout, number
from raydp_ml.training.xgboost.matrix import features_of
from raydp_ml.xgboost.jvm_trees import packed_trees
from raydp_ml.xgboost.output import booster_output, load_booster, probabilities

if TYPE_CHECKING:
    import xgboost
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class BoosterPredictor(Predictor["xgboost.Booster"]):
    """All that a Spark task needs besides the booster.

    Attributes
    ----------
    missing : float
    margin : bool
        Whether probabilities come from the scores before the link function.
    """

    missing: float
    margin: bool = False

    def load(self, raw: bytes) -> xgboost.Booster:
        """Return the booster."""
        # Spark runs one task per core already.
        return load_booster(raw, n_jobs=1)

    def with_layout(self, layout: Layout) -> BoosterPredictor:
        """Return a predictor of the same features under other names."""
        return replace(self, layout=layout)

    def compute(self, model: xgboost.Booster, rows: pa.StructArray) -> np.ndarray:
        """Return values, or the shares of classes."""
        data = features_of_rows(rows, self.layout)
        values = booster_output(model, data, self.missing, self.margin)
        return values if self.output in {"value", "values"} else probabilities(values, self.margin)


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
    columns = [number(column) for column in rows.flatten()]
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
    from pyspark.sql import functions

    if any(feature.kind != "number" for feature in predictor.layout.features):
        return None
    several = predictor.output == "values"  # of one target: those of more are no such trees
    trees = packed_trees(booster)
    made = (
        None
        if trees is None
        else trees.column(df, columns, predictor.missing, "value" if several else predictor.output)
    )
    if made is None or predictor.output in {"value", "probability"}:
        return made
    return functions.array(made) if several else _named(made, predictor.classes)


def _named(place: SparkColumn, classes: pa.Array) -> SparkColumn:
    from pyspark.sql import functions
    from pyspark.sql.pandas.types import from_arrow_type

    kind = from_arrow_type(classes.type)
    literals = functions.array(*(functions.lit(name).cast(kind) for name in classes.to_pylist()))
    return functions.element_at(literals, place + 1)
