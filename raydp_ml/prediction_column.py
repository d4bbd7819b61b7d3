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
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import check_output_column
from raydp_ml.exchange.columns import (
    Column,
    check_kinds,
    decimal_digits,
    from_spark_schema,
    pick_columns,
    quoted,
)
from raydp_ml.exchange.jvm import is_connect, require_live
from raydp_ml.exchange.sql_text import select_columns, vector_to_array
from raydp_ml.exchange.task_python import task_python
from raydp_ml.pipeline_input import as_pipeline_promises
from raydp_ml.trained_model import KINDS, TrainedModel
from raydp_ml.training.classes import holds_decimals, values_of
from raydp_ml.training.table_layout import Feature, Layout

_SPARK_TYPES = {
    "b": {1: "boolean"},
    "i": {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"},
    "u": {1: "smallint", 2: "int", 4: "bigint", 8: "decimal(20,0)"},
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
        The same rows in the same order, all columns, and the new one last; in a Pipeline the
        columns that the Pipeline was given.

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
        made = select_columns(df, [functions.col("*"), computed.alias(column)])
        return as_pipeline_promises(model, made, parameter)
    # Names in a struct are unique and plain, whatever the columns are called.
    predictor, raw, spark_type = make(_renamed(model._layout))
    # PySpark tells the kind of the function by its annotations; its stubs ask for an argument.
    arrow_udf: Any = functions.arrow_udf
    udf = arrow_udf(_batches(predictor, _ship(df, raw)), spark_type)
    allows_missing = get_tags(model).input_tags.allow_nan
    features = functions.struct(
        *(
            _expression(df, item, feature, allows_missing).alias(f"c{index}")
            for index, (item, feature) in enumerate(
                zip(picked, model._layout.features, strict=True)
            )
        )
    )
    with task_python(df.sparkSession):
        made = select_columns(df, [functions.col("*"), udf(features).alias(column)])
    return as_pipeline_promises(model, made, parameter)


def _renamed(layout: Layout) -> Layout:
    return layout.with_features(
        [replace(feature, name=f"c{index}") for index, feature in enumerate(layout.features)]
    )


def _expression(df: Any, column: Column, feature: Feature, allows_missing: bool) -> Any:
    """Return the column in a type that Arrow and the libraries have."""
    from pyspark.sql import functions

    expression = functions.col(quoted(column.name))
    if feature.kind == "vector":
        return _array(df, column, feature, allows_missing)
    return expression.cast("double") if column.kind == "decimal" else expression


def _array(df: Any, column: Column, feature: Feature, allows_missing: bool) -> Any:
    """Return a column of vectors or arrays, checked in the JVM: its errors are one line."""
    from pyspark.sql import functions

    expression = values = functions.col(quoted(column.name))
    if column.kind == "vector":
        values = vector_to_array(df)(expression)
    what = f"The {column.kind}s of the column {column.name!r}"
    wrong = functions.concat(
        functions.lit(f"{what} must have {feature.width} elements, as in fit, and one has "),
        functions.size(values).cast("string"),
        functions.lit(". Pad or cut them, or drop such rows."),
    )
    # The functions themselves fail on a null vector.
    there = expression.isNotNull()
    made = functions.when(there & (functions.size(values) == feature.width), values)
    made = made.when(there, functions.raise_error(wrong))
    if allows_missing:
        return made
    null = f"{what} must not be null, since a network cannot use missing values. Drop such rows: "
    return made.otherwise(functions.raise_error(functions.lit(f"{null}df.na.drop().")))


def class_type(classes: np.ndarray, decimal: tuple[int, int] | None) -> str:
    """Return the Spark type of a column of classes, which may stand for decimals."""
    if decimal is not None:
        return f"decimal({decimal[0]},{decimal[1]})"
    if holds_decimals(classes):
        kind = pa.array(classes.tolist()).type
        return f"decimal({kind.precision},{kind.scale})" if kind.bit_width == 128 else "string"
    return _SPARK_TYPES.get(classes.dtype.kind, {}).get(classes.dtype.itemsize, "string")


def class_array(classes: np.ndarray, decimal: tuple[int, int] | None) -> pa.Array:
    """Return the classes as an array of the Arrow type that `class_type` stands for."""
    kind = class_type(classes, decimal)
    if kind.startswith("decimal"):
        return values_of(classes, pa.decimal128(*decimal_digits(kind)))
    kinds = {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
    }
    if kind in kinds:
        return pa.array(classes.tolist(), kinds[kind])
    return pa.array([str(value) for value in classes.tolist()], pa.string())


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
