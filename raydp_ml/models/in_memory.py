"""What a worker that holds all rows hands to estimators and scorers, as scikit-learn has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.training.rows.classes import exact_values
from raydp_ml.training.rows.layout import Feature, is_list, one_array, vector_matrix


def form_for(estimator: Any, schema: pa.Schema, features: Sequence[str]) -> str:
    """Decide in which form an estimator gets its features.

    Returns
    -------
    {"arrow", "pandas", "matrix"}
        A table as it is for the models of raydp_ml alone, a frame for the transformers before
        them, and a matrix where the one feature is a vector.
    """
    if isinstance(estimator, TrainedModel):
        return "arrow"
    vectors = [name for name in features if is_list(schema.field(name).type)]
    return "matrix" if len(vectors) == len(features) == 1 else "pandas"


def in_form(table: pa.Table, form: str) -> Any:
    """Return features in the form that `form_for` has decided on."""
    if form == "arrow":
        return table
    if form == "pandas":
        return table.to_pandas()
    (name,) = table.column_names
    return _matrix(table, name)


def labels_of(table: pa.Table, name: str) -> np.ndarray:
    """Return a label, shape (n_rows,) or (n_rows, n_targets); decimals as int64 where they fit."""
    column = table.column(name)
    if is_list(column.type):
        return _matrix(table, name)
    values: np.ndarray = column.to_numpy()
    return exact_values(values) if pat.is_decimal(column.type) else values


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = one_array(table.column(name))
    width = len(column[0]) if len(column) else 0
    return np.ascontiguousarray(vector_matrix(column, Feature(name, "vector", width)))
