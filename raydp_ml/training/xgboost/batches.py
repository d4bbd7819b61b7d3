"""From rows of Arrow to what a matrix of XGBoost is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.layout import Layout, label_of, margin_of, one_array
from raydp_ml.training.rows.ranking_groups import group_sizes
from raydp_ml.training.rows.reports import repeat_rows
from raydp_ml.training.xgboost.matrix import booster_names, features_of

if TYPE_CHECKING:
    import xgboost
    from scipy.sparse import csr_array

    from raydp_ml.training.xgboost.spec import TrainSpec

_MOST = float(np.finfo(np.float32).max)
"""Beyond it, a number is infinite to XGBoost."""


@dataclass(frozen=True)
class Batch:
    """Rows, and what XGBoost is told of them.

    Attributes
    ----------
    table : pyarrow.Table
    layout : Layout
    weighing : dict of str to ndarray
        Weights and sizes of groups, by XGBoost's names.
    labels : dict of str to ndarray
        Labels or their bounds, and base margins.
    as_codes : bool
        Whether categories come without their dictionary.
    """

    table: pa.Table
    layout: Layout
    weighing: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    as_codes: bool = False

    def features(self) -> dict[str, Any]:
        """Return the features, and their names where the data itself has none."""
        data = features_of(self.table, self.layout, self.as_codes)
        if isinstance(data, pa.Table):
            return {"data": data}
        return {"data": data, "feature_names": booster_names(self.layout.feature_names)}


def batch_of(table: pa.Table, layout: Layout, spec: TrainSpec, trains: bool) -> Batch:
    """Describe some rows.

    Parameters
    ----------
    table : pyarrow.Table
    layout : Layout
    spec : TrainSpec
    trains : bool
        Whether they are trained on, rather than evaluated on.
    """
    weight = layout.weight
    if weight is not None and trains and spec.repeats_rows:
        table, weight = repeat_rows(table, weight), None
    weighing: dict[str, np.ndarray] = {}
    sizes = group_sizes(table, layout) if spec.task == "ranking" else None
    if weight is not None:
        values = one_array(table.column(weight)).cast(pa.float64())
        weights = values.to_numpy(zero_copy_only=False)
        weighing["weight"] = weights if sizes is None else _group_weights(weights, sizes)
    if sizes is not None:
        weighing["group"] = sizes
    # XGBoost refuses dictionaries where a worker has no rows, as may be of an evaluation set. The
    # model has the same dictionary from the rows to train on.
    as_codes = layout.has_categories and not trains
    return Batch(table, layout, weighing, _labels(table, layout, spec), as_codes)


def types_of(layout: Layout, spec: TrainSpec, ref: xgboost.DMatrix | None) -> Sequence[str] | None:
    """Return the types of features that XGBoost is told; `ref` is that of an evaluation set."""
    types: Sequence[str] | None = spec.matrix.get("feature_types")
    return types if ref is None or not layout.has_categories else ref.feature_types


def _labels(table: pa.Table, layout: Layout, spec: TrainSpec) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    label, margin = label_of(table, layout, spec.classes), margin_of(table, layout)
    if label is not None and layout.bounds:
        labels |= {"label_lower_bound": label[:, 0], "label_upper_bound": label[:, 1]}
    elif label is not None:
        labels["label"] = label
    if margin is not None:
        labels["base_margin"] = margin
    return labels


def _group_weights(weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    if not len(sizes):
        return weights
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    low, high = np.minimum.reduceat(weights, starts), np.maximum.reduceat(weights, starts)
    if (low != high).any():
        raise SchemaError(
            "The rows of a group must all have the same weight, since XGBoost weighs whole groups "
            f"when it ranks, and {int((low != high).sum())} of {len(sizes)} groups have different "
            "weights. Give each group one weight, for example its mean."
        )
    return low


def infinite_columns(data: pa.Table | np.ndarray | csr_array) -> list[str]:
    """Return the features that hold values which are infinite to XGBoost."""
    if isinstance(data, pa.Table):
        return [
            item.name
            for item in data.schema
            if pat.is_floating(item.type)
            and pc.any(pc.greater(pc.abs(data.column(item.name)), _MOST)).as_py()
        ]
    if isinstance(data, np.ndarray):
        return [f"#{index}" for index in np.flatnonzero((np.abs(data) > _MOST).any(axis=0))]
    return []


def infinite_values(columns: list[str]) -> SchemaError:
    """Return the error for such features."""
    return SchemaError(
        f"The features {columns} hold infinite values, or such beyond single precision, which "
        "XGBoost cannot use. Replace them, for example with null, which stands for a missing value."
    )
