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
    output : {"value", "values", "class", "probability"}
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
        if self.output == "values":
            return list_array(values.reshape(len(rows), -1))
        shares = probabilities(values, self.margin)
        if self.classes is not None:
            return self.classes.take(pa.array(shares.argmax(axis=1)))
        return list_array(shares)

    def empty(self) -> pa.Array:
        """Return the prediction of no rows."""
        if self.classes is not None:
            return self.classes[:0]
        lists = self.output in {"probability", "values"}
        return pa.array([], pa.list_(pa.float64()) if lists else pa.float64())


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
            "values" if output == "value" and has_several_outputs(model) else output,
            margin=getattr(model, "_predicts_margin", False) and output != "value",
            classes=class_array(model.classes_, model._label_decimal)
            if output == "class"
            else None,
        )
        kinds = {"value": "double", "values": "array<double>", "probability": "array<double>"}
        kind = kinds.get(predictor.output)
        raw = bytes(model._Booster.save_raw("ubj"))
        return predictor, raw, kind or class_type(model.classes_, model._label_decimal)

    def in_jvm(df: Any, columns: list[Column]) -> Any:
        from pyspark.sql import functions

        if any(feature.kind != "number" for feature in model._layout.features):
            return None
        trees = packed_trees(model._Booster)
        made: Any = trees and trees.column(df, columns, model.missing, output)
        if made is None or output == "probability":
            return made
        if output == "class":
            return _named(made, model)
        # (Trees of several targets are not walked by the JVM.)
        return functions.array(made) if model._n_targets else made

    return add_prediction(model, df, column, parameter, make, in_jvm)


def has_several_outputs(model: XGBModel) -> bool:
    """Say whether a prediction is several numbers: of several targets, or several quantiles."""
    if model._n_targets:
        return True
    row = np.full((1, model.n_features_in_), np.nan, dtype=np.float32)
    return booster_output(model._Booster, row, model.missing).ndim > 1


def _named(place: Any, model: XGBModel) -> Any:
    from pyspark.sql import functions

    decimal = model._label_decimal
    names = class_array(model.classes_, decimal).to_pylist()
    kind = class_type(model.classes_, decimal)
    literals = functions.array(*(functions.lit(name).cast(kind) for name in names))
    return functions.element_at(literals, place + 1)
