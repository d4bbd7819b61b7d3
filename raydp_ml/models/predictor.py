"""What a Spark task predicts with: all but the model, which travels once for each executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import numpy as np
import pyarrow as pa

from raydp_ml.exchange.columns import decimal_digits
from raydp_ml.spark_jobs.expressions import literal
from raydp_ml.training.rows.classes import holds_decimals, values_of
from raydp_ml.training.rows.layout import Layout

_SPARK_TYPES = {
    "b": {1: "boolean"},
    "i": {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"},
    "u": {1: "smallint", 2: "int", 4: "bigint", 8: "decimal(20,0)"},
    "f": {2: "float", 4: "float", 8: "double"},
}

Model = TypeVar("Model")


@dataclass(frozen=True)
class Predictor(ABC, Generic[Model]):
    """Plain data; what each library adds computes the numbers.

    Attributes
    ----------
    layout : Layout
    output : {"value", "values", "class", "probability"}
        "values" are several of them a row.
    classes : pyarrow.Array or None
        Those that "class" picks from.
    """

    layout: Layout
    output: str
    classes: pa.Array | None

    @abstractmethod
    def load(self, raw: bytes) -> Model:
        """Return the model that travelled as `raw`."""

    def with_layout(self, layout: Layout) -> Self:
        """Return a predictor of the same features under other names."""
        return replace(self, layout=layout)

    @abstractmethod
    def compute(self, model: Model, rows: pa.StructArray) -> np.ndarray:
        """Return values of shape (n,) or (n, k), or the shares of k classes.

        What raises a `SchemaError` fails the query with its text.
        """

    def predict(self, model: Model, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features."""
        if len(rows) == 0:
            return self.empty()
        made = self.compute(model, rows)
        if self.classes is not None:
            return self.classes.take(pa.array(made.argmax(axis=1)))
        if self.output == "value":
            return pa.array(made.reshape(-1).astype(np.float64))
        return list_array(made.reshape(len(rows), -1))

    def empty(self) -> pa.Array:
        """Return the prediction of no rows."""
        if self.classes is not None:
            return self.classes[:0]
        return pa.array([], pa.float64() if self.output == "value" else pa.list_(pa.float64()))


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


def class_texts(classes: np.ndarray, decimal: tuple[int, int] | None) -> list[str]:
    """Return the classes as SQL, of the type that `class_type` says."""
    kind = class_type(classes, decimal)
    values = class_array(classes, decimal).to_pylist()
    return [f"cast({literal(value)} as {kind})" for value in values]


def list_array(values: np.ndarray) -> pa.ListArray:
    """Return an array of shape (n, k, ...) as a column of n lists (of lists ...) of doubles."""
    made = pa.array(np.ascontiguousarray(values, dtype=np.float64).reshape(-1))
    for length in reversed(values.shape[1:]):
        offsets = np.arange(0, len(made) + 1, length, dtype=np.int32)
        made = pa.ListArray.from_arrays(pa.array(offsets), made)
    return made


def rows_table(rows: pa.StructArray) -> pa.Table:
    """Return structs of the features as a table."""
    return pa.table(rows.flatten(), names=[field.name for field in rows.type])
