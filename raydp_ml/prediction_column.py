"""Predictions on a Spark DataFrame: one more column, computed lazily.

Spark's Python workers compute it, unless the model has a way of its own within the JVM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

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
from raydp_ml.exchange.task_python import task_python
from raydp_ml.trained_model import KINDS, TrainedModel
from raydp_ml.training.table_layout import Layout

_SPARK_TYPES = {
    "b": {1: "boolean"},
    "i": {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"},
    "u": {1: "smallint", 2: "int", 4: "bigint", 8: "bigint"},
    "f": {2: "float", 4: "float", 8: "double"},
}


class Predictor(Protocol):
    """All that a Spark task needs besides the model; plain data."""

    def load(self, raw: bytes) -> Any:
        """Return the model that travelled as `raw`."""

    def predict(self, model: Any, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features; the model may be None."""


def add_prediction(
    model: TrainedModel,
    df: Any,
    column: str,
    parameter: str,
    make: Callable[[Layout], tuple[Predictor, bytes, str]],
    in_jvm: Callable[[Any, list[Column]], Any] = lambda *_: None,
) -> Any:
    """Add a column of predictions to a Spark DataFrame, lazily.

    Parameters
    ----------
    model : TrainedModel
    df : pyspark.sql.DataFrame
    column : str
        Name of the new column.
    parameter : str
        The parameter that holds the name, for the error.
    make : callable
        Makes the predictor, the model's bytes and the column's Spark type from the layout of the
        structs; called when all checks have passed.
    in_jvm : callable
        Makes the new column from the DataFrame and its features, or None where Python must.

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
    computed = in_jvm(df, picked)
    if computed is not None:
        return df.select("*", computed.alias(column))
    # Names in a struct are unique and plain, whatever the columns are called.
    predictor, raw, spark_type = make(_renamed(model._layout))
    # PySpark tells the kind of the function by its annotations; its stubs ask for an argument.
    arrow_udf: Any = functions.arrow_udf
    udf = arrow_udf(_batches(predictor, _ship(df, raw)), spark_type)
    features = functions.struct(
        *(_expression(item, df).alias(f"c{index}") for index, item in enumerate(picked))
    )
    with task_python(df.sparkSession):
        return df.select("*", udf(features).alias(column))


def _renamed(layout: Layout) -> Layout:
    return layout.with_features(
        [replace(feature, name=f"c{index}") for index, feature in enumerate(layout.features)]
    )


def _expression(column: Column, df: Any) -> Any:
    """Return the column in a type that Arrow and the libraries have."""
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


def class_type(classes: np.ndarray) -> str:
    """Return the Spark type of a column of classes."""
    return _SPARK_TYPES.get(classes.dtype.kind, {}).get(classes.dtype.itemsize, "string")


def class_array(classes: np.ndarray) -> pa.Array:
    """Return the classes as an array of the Arrow type that `class_type` stands for."""
    kinds = {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
    }
    return pa.array(classes.tolist(), kinds.get(class_type(classes), pa.string()))


def list_array(matrix: np.ndarray) -> pa.ListArray:
    """Return a matrix of shape (n, k) as a column of n lists of doubles."""
    values = np.ascontiguousarray(matrix, dtype=np.float64)
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))


def rows_table(rows: pa.StructArray) -> pa.Table:
    """Return structs of the features as a table."""
    return pa.table(rows.flatten(), names=[field.name for field in rows.type])


@dataclass(frozen=True)
class _Closure:
    """A model that travels inside the function (Spark Connect has no broadcast)."""

    value: bytes


def _ship(df: Any, raw: bytes) -> Callable[[], tuple[str, bytes]]:
    """Send the model to the executors; returns how a task gets at it."""
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
        model = None
        for batch in batches:
            if model is None and len(batch):
                model = _load_once(predictor, *get_model())
            yield predictor.predict(model, batch)

    return predict


_loaded: dict[str, Any] = {}


def _load_once(predictor: Predictor, digest: str, raw: bytes) -> Any:
    """Load a model once per Python worker process, which serves many tasks."""
    if digest not in _loaded:
        _loaded.clear()
        _loaded[digest] = predictor.load(raw)
    return _loaded[digest]
