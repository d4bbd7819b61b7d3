"""What a training is given: data sets, whatever X was."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import Column, ColumnRoles
from raydp_ml.training.rows.data_sets import DataSet
from raydp_ml.training.rows.layout import Layout, feature_of

if TYPE_CHECKING:
    from raydp_ml.exchange.blocks import Blocks

_MOST_DIGITS = 38
"""Of a decimal of Spark's."""


@dataclass
class TrainingData:
    """What ``fit`` was given, ready to be trained on.

    Attributes
    ----------
    sets : list of DataSet
        The training data, then the evaluation sets.
    labels : ndarray or None
        The distinct labels that the label column's codes stand for, when y was an array of
        classes.
    roles : tuple of str
        Columns of X that are not features; ``predict`` leaves them aside in memory.
    """

    sets: list[DataSet]
    labels: np.ndarray | None = None
    roles: tuple[str, ...] = ()
    _owned: list[Blocks] = field(default_factory=list)

    @property
    def label_decimal(self) -> tuple[int, int] | None:
        """Precision and scale of a label column of Spark's decimals."""
        first = self.sets[0]
        if first.layout.label is None:
            return None
        kind = first.schema.field(first.layout.label).type
        if not pa.types.is_decimal(kind) or kind.precision > _MOST_DIGITS:
            return None
        return kind.precision, kind.scale

    def to_blocks(self, count: int) -> None:
        """Put the tables into the object store, for `count` workers."""
        from raydp_ml.exchange.blocks import put_table

        for index, data in enumerate(self.sets):
            if data.table is not None:
                blocks = put_table(data.table, max(1, count))
                self._owned.append(blocks)
                self.sets[index] = replace(data, table=None, blocks=blocks)

    def to_tables(self) -> None:
        """Fetch the blocks into this process."""
        for index, data in enumerate(self.sets):
            if data.blocks is not None:
                self.sets[index] = replace(data, table=data.blocks.to_arrow(), blocks=None)

    def free(self) -> None:
        """Release the blocks that were made for this training."""
        for blocks in self._owned:
            blocks.free()


@dataclass(frozen=True)
class Task:
    """What the estimator wants of its data.

    Attributes
    ----------
    kind : {"regression", "classification", "ranking"}
    enable_categorical : bool
    estimator : str
        Its class, for errors.
    array_label : bool, default=False
        Whether the label may be an array: several targets.
    sparse : bool, default=False
        Whether what a sparse matrix does not hold is missing; otherwise it is zero.
    bounds : bool, default=False
        Whether a label is a list of a lower and an upper bound.
    classes : ndarray or None
        Those that the labels must be among; None for whichever there are.
    check_features : callable
        Called with the names and the number of a DataFrame's features before any Spark job, where
        its schema tells them; raises for features that the estimator's parameters do not fit.
    """

    kind: str
    enable_categorical: bool
    estimator: str
    array_label: bool = False
    sparse: bool = False
    bounds: bool = False
    classes: np.ndarray | None = None
    check_features: Callable[[list[str], int], object] = lambda *_: None

    @property
    def classifier(self) -> str:
        """The class that predicts classes with the same library."""
        return re.sub("(Regressor|Ranker)$", "Classifier", self.estimator)


def layout_of(roles: ColumnRoles, schema: pa.Schema) -> Layout:
    """Describe a table by what its columns are for."""
    return Layout(
        tuple(feature_of(name, schema.field(name).type) for name in roles.feature_names),
        label=roles.label,
        weight=roles.sample_weight,
        group=roles.group,
        margin=roles.base_margin,
    )


def require_numeric_label(roles: ColumnRoles, columns: Sequence[Column], task: Task) -> None:
    """Raise `SchemaError` when numbers are to be predicted, and the label is text."""
    (column,) = (item for item in columns if item.name == roles.label)
    if column.kind in {"string", "category"}:
        raise SchemaError(
            f"The label {column.name!r} is of type {column.type_name}, and {task.estimator} "
            f"predicts numbers. Cast it to double, or use {task.classifier} for classes."
        )
