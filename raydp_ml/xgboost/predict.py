"""Predictions of a booster on a Spark DataFrame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.exchange.columns import Column
from raydp_ml.prediction_column import (
    add_prediction,
    class_array,
    class_type,
    list_array,
    rows_table,
)
from raydp_ml.training.table_layout import Layout, number
from raydp_ml.training.xgboost_matrix import features_of
from raydp_ml.xgboost.jvm_trees import packed_trees
from raydp_ml.xgboost.model import XGBModel
from raydp_ml.xgboost.output import booster_output, load_booster, probabilities


@dataclass(frozen=True)
class BoosterPredictor:
    """All that a Spark task needs besides the booster; plain data.

    Attributes
    ----------
    layout : Layout
    missing : float
    output : {"value", "class", "probability"}
    margin : bool
        Whether probabilities come from the scores before the link function.
    classes : pyarrow.Array or None
    """

    layout: Layout
    missing: float
    output: str
    margin: bool = False
    classes: pa.Array | None = None

    def load(self, raw: bytes) -> Any:
        """Return the booster."""
        # Spark runs one task per core already.
        return load_booster(raw, n_jobs=1)

    def predict(self, model: Any, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features."""
        if len(rows) == 0:
            return self.empty()
        data = number_matrix(rows, self.layout)
        if data is None:
            data = features_of(rows_table(rows), self.layout)
        values = booster_output(model, data, self.missing, self.margin)
        if self.output == "value":
            return pa.array(values.astype(np.float64))
        shares = probabilities(values, self.margin)
        if self.classes is not None:
            return self.classes.take(pa.array(shares.argmax(axis=1)))
        return list_array(shares)

    def empty(self) -> pa.Array:
        """Return the prediction of no rows."""
        if self.classes is not None:
            return self.classes[:0]
        kind = pa.list_(pa.float64()) if self.output == "probability" else pa.float64()
        return pa.array([], kind)


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


def predict_column(model: XGBModel, df: Any, column: str, parameter: str, output: str) -> Any:
    """Add a column of predictions to a Spark DataFrame, lazily.

    Parameters
    ----------
    model : XGBModel
        Fitted.
    df : pyspark.sql.DataFrame
    column : str
        Name of the new column.
    parameter : str
        The parameter that holds the name, for the error.
    output : {"value", "class", "probability"}

    Returns
    -------
    pyspark.sql.DataFrame
        As `add_prediction` says.
    """

    def make(layout: Layout) -> tuple[BoosterPredictor, bytes, str]:
        predictor = BoosterPredictor(
            layout,
            model.missing,
            output,
            margin=getattr(model, "_predicts_margin", False) and output != "value",
            classes=class_array(model.classes_) if output == "class" else None,
        )
        kind = {"value": "double", "probability": "array<double>"}.get(output)
        raw = bytes(model._Booster.save_raw("ubj"))
        return predictor, raw, kind or class_type(model.classes_)

    def in_jvm(df: Any, columns: list[Column]) -> Any:
        if any(feature.kind != "number" for feature in model._layout.features):
            return None
        trees = packed_trees(model._Booster)
        made = trees and trees.column(df, columns, model.missing, output)
        return _named(made, model.classes_) if made is not None and output == "class" else made

    return add_prediction(model, df, column, parameter, make, in_jvm)


def _named(place: Any, classes: np.ndarray) -> Any:
    from pyspark.sql import functions

    names = functions.array(*map(functions.lit, classes.tolist()))
    return functions.element_at(names, place + 1).cast(class_type(classes))
