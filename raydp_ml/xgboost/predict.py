"""Predictions on a Spark DataFrame: one more column, computed lazily in Spark's Python workers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import check_output_column
from raydp_ml.exchange.columns import (
    Column,
    check_kinds,
    from_spark_schema,
    pick_columns,
    quoted,
)
from raydp_ml.exchange.jvm import is_connect, require_live
from raydp_ml.training.xgboost_matrix import Layout, features_of
from raydp_ml.xgboost.model import KINDS, XGBModel
from raydp_ml.xgboost.output import booster_output, load_booster, probabilities

_SPARK_TYPES = {
    "b": {1: "boolean"},
    "i": {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"},
    "u": {1: "smallint", 2: "int", 4: "bigint", 8: "bigint"},
    "f": {2: "float", 4: "float", 8: "double"},
}


@dataclass(frozen=True)
class Predictor:
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

    def predict(self, booster: Any, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features."""
        if len(rows) == 0:
            return self.empty()
        table = pa.table(rows.flatten(), names=[field.name for field in rows.type])
        data = features_of(table, self.layout)
        values = booster_output(booster, data, self.missing, self.margin)
        if self.output == "value":
            return pa.array(values.astype(np.float64))
        shares = probabilities(values, self.margin)
        if self.classes is not None:
            return self.classes.take(pa.array(shares.argmax(axis=1)))
        shares = np.ascontiguousarray(shares.astype(np.float64))
        offsets = np.arange(0, shares.size + 1, shares.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(shares.reshape(-1)))

    def empty(self) -> pa.Array:
        """Return the prediction of no rows."""
        if self.classes is not None:
            return self.classes[:0]
        kind = pa.list_(pa.float64()) if self.output == "probability" else pa.float64()
        return pa.array([], kind)


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
        The same rows in the same order, all columns, and the new one last.

    Raises
    ------
    SchemaError
        If a feature is missing or of another type, or the new column is there already.
    """
    from pyspark.sql import functions

    check_is_fitted(model)
    require_live(df.sparkSession)
    model._require_names_in("predict")
    columns = from_spark_schema(df.schema)
    picked = pick_columns(columns, model._column_names, type(model).__name__)
    for item, feature in zip(picked, model._layout.features, strict=True):
        check_kinds([item], KINDS[feature.kind], supports_categories=False)
    check_output_column(df, column, parameter)
    predictor = Predictor(
        # Names in a struct are unique and plain, whatever the columns are called.
        _renamed(model._layout),
        model.missing,
        output,
        margin=getattr(model, "_predicts_margin", False) and output != "value",
        classes=pa.array(model.classes_.tolist(), _arrow_type(model.classes_))
        if output == "class"
        else None,
    )
    # PySpark tells the kind of the function by its annotations; its stubs ask for an argument.
    arrow_udf: Any = functions.arrow_udf
    udf = arrow_udf(_batches(predictor, _ship(df, model)), _spark_type(model, output))
    features = functions.struct(
        *(_expression(item, df).alias(f"c{index}") for index, item in enumerate(picked))
    )
    return df.select("*", udf(features).alias(column))


def _renamed(layout: Layout) -> Layout:
    return layout.with_features(
        [replace(feature, name=f"c{index}") for index, feature in enumerate(layout.features)]
    )


def _expression(column: Column, df: Any) -> Any:
    """Return the column in a type that Arrow and XGBoost both have."""
    from pyspark.sql import functions

    expression = functions.col(quoted(column.name))
    if column.kind == "vector":
        if is_connect(df):
            from pyspark.ml.connect.functions import vector_to_array
        else:
            from pyspark.ml.functions import vector_to_array
        # The function itself fails on a null vector.
        return functions.when(expression.isNotNull(), vector_to_array(expression))
    return expression.cast("double") if column.kind == "decimal" else expression


def _spark_type(model: XGBModel, output: str) -> str:
    if output == "value":
        return "double"
    if output == "probability":
        return "array<double>"
    kind = model.classes_.dtype
    return _SPARK_TYPES.get(kind.kind, {}).get(kind.itemsize, "string")


def _arrow_type(classes: np.ndarray) -> pa.DataType | None:
    kinds = {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
    }
    name = _SPARK_TYPES.get(classes.dtype.kind, {}).get(classes.dtype.itemsize, "string")
    return kinds.get(name, pa.string())


@dataclass(frozen=True)
class _Closure:
    """A model that travels inside the function (Spark Connect has no broadcast)."""

    value: bytes


def _ship(df: Any, model: XGBModel) -> Callable[[], tuple[str, bytes]]:
    """Send the model to the executors; returns how a task gets at it."""
    raw = bytes(model._Booster.save_raw("ubj"))
    digest = hashlib.sha256(raw).hexdigest()
    # A broadcast goes to each executor once; a closure goes with every task.
    holder = _Closure(raw) if is_connect(df) else df.sparkSession.sparkContext.broadcast(raw)

    def get() -> tuple[str, bytes]:
        return digest, holder.value

    return get


def _batches(
    predictor: Predictor, get_model: Callable[[], tuple[str, bytes]]
) -> Callable[[Iterator[pa.Array]], Iterator[pa.Array]]:
    """Return the function of a Spark task."""

    def predict(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        booster = None
        for batch in batches:
            if booster is None and len(batch):
                booster = _load_once(*get_model())
            yield predictor.predict(booster, batch)

    return predict


_loaded: dict[str, Any] = {}


def _load_once(digest: str, raw: bytes) -> Any:
    """Load a model once per Python worker process, which serves many tasks."""
    if digest not in _loaded:
        _loaded.clear()
        # Spark runs one task per core already.
        _loaded[digest] = load_booster(raw, n_jobs=1)
    return _loaded[digest]
