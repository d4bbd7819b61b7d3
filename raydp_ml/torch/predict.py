"""Predictions of a module on a Spark DataFrame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raydp_ml.prediction_column import (
    add_prediction,
    class_array,
    class_type,
    list_array,
    rows_table,
)
from raydp_ml.torch.output import class_shares, module_output
from raydp_ml.training.table_layout import Layout
from raydp_ml.training.torch_rows import Input, arrays_of, inputs_of, require_finite

if TYPE_CHECKING:
    from raydp_ml.torch.model import TorchModel


@dataclass(frozen=True)
class ModulePredictor:
    """All that a Spark task needs besides the module; plain data.

    Attributes
    ----------
    inputs : tuple of Input
        Whose features bear the names of the struct's fields.
    names : dict of str to str
        The features' own names, for errors.
    output : {"value", "values", "class", "probability"}
    one_logit : bool
        As `class_shares` takes it.
    classes : pyarrow.Array or None
    """

    inputs: tuple[Input, ...]
    names: dict[str, str]
    output: str
    one_logit: bool = False
    classes: pa.Array | None = None

    def load(self, raw: bytes) -> Any:
        """Return the module."""
        import torch
        from pyspark import cloudpickle

        # Spark runs one task per core already.
        torch.set_num_threads(1)
        return cloudpickle.loads(raw)

    def predict(self, model: Any, rows: pa.StructArray) -> pa.Array:
        """Predict a batch of n rows, given as structs of the features."""
        if len(rows) == 0:
            return self.empty()
        arrays = arrays_of(rows_table(rows), self.inputs)
        require_finite(arrays, self.inputs, True, self.names)
        values = module_output(model, self.inputs, arrays)
        if self.output == "value":
            return pa.array(values.reshape(-1).astype(np.float64))
        if self.output == "values":
            return list_array(values)
        shares = class_shares(values, self.one_logit)
        if self.classes is not None:
            return self.classes.take(pa.array(shares.argmax(axis=1)))
        return list_array(shares)

    def empty(self) -> pa.Array:
        """Return the prediction of no rows."""
        if self.classes is not None:
            return self.classes[:0]
        lists = self.output in {"probability", "values"}
        return pa.array([], pa.list_(pa.float64()) if lists else pa.float64())


def predict_column(model: TorchModel, df: Any, column: str, parameter: str, output: str) -> Any:
    """Add a column of predictions to a Spark DataFrame, lazily.

    Parameters
    ----------
    model : TorchModel
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

    def make(layout: Layout) -> tuple[ModulePredictor, bytes, str]:
        from pyspark import cloudpickle

        plain = {
            old.name: new for old, new in zip(model._layout.features, layout.features, strict=True)
        }
        inputs = tuple(
            Input(item.name, tuple(plain[of.name] for of in item.features), item.dtype)
            for item in inputs_of(model._layout, model.inputs)
        )
        wanted = "values" if output == "value" and model._n_targets else output
        predictor = ModulePredictor(
            inputs,
            {new.name: old for old, new in plain.items()},
            wanted,
            model._has_one_logit,
            class_array(model.classes_, model._label_decimal) if output == "class" else None,
        )
        kinds = {"value": "double", "values": "array<double>", "probability": "array<double>"}
        kind = kinds.get(wanted) or class_type(model.classes_, model._label_decimal)
        return predictor, cloudpickle.dumps(model.module_), kind

    return add_prediction(model, df, column, parameter, make)
