"""From frames and arrays in memory to the data sets of a training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
from sklearn.utils import get_tags
from sklearn.utils.validation import _num_samples, validate_data

from raydp_ml.base import has_names, kind_of, no_names
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks import Blocks
from raydp_ml.exchange.columns import (
    Column,
    ColumnRoles,
    check_alike,
    check_exists,
    from_arrow_schema,
    pick_columns,
    resolve_columns,
)
from raydp_ml.exchange.dataset_blocks import from_dataset
from raydp_ml.exchange.frames import named_table
from raydp_ml.exchange.pandas_frames import plain_columns
from raydp_ml.fit_data.evaluation_sets import memory_eval_sets
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.targets import check_group, check_labels, check_margins, check_weights
from raydp_ml.fit_data.training_data import Task, TrainingData, layout_of, require_numeric_label
from raydp_ml.training.rows.classes import encode_labels
from raydp_ml.training.rows.data_sets import DataSet
from raydp_ml.training.rows.layout import (
    SPARSE,
    Feature,
    Layout,
    dense_column,
    sparse_table,
)
from raydp_ml.training.rows.ranking_groups import group_boundaries, group_runs

if TYPE_CHECKING:
    import pandas as pd
    import ray.data
    from sklearn.base import BaseEstimator

    from raydp_ml.exchange.data_kinds import Data, Matrix, Values

# Columns that are made for arrays given beside X; the names show in no error.
MATRIX, LABEL, WEIGHT, GROUP = "__matrix__", "__label__", "__weight__", "__group__"
MARGIN = "__base_margin__"
_PART_OF = {LABEL: "label", WEIGHT: "weight", GROUP: "group", MARGIN: "margin"}

Columns: TypeAlias = "dict[str, str | np.ndarray]"
"""Names of columns, or checked arrays of such, by the names above."""


def memory_training(estimator: BaseEstimator, X: Data, given: Given, task: Task) -> TrainingData:
    """Check and convert what ``fit`` was given.

    Parameters
    ----------
    estimator : XGBModel
        Whose fitted number and names of features scikit-learn's checks set.
    X : frame, array or sparse matrix of shape (n_samples, n_features)
    given : Given
        With arrays, or with column names where X has names.
    task : Task

    Raises
    ------
    ValueError
        As scikit-learn's own estimators do.
    SchemaError
        If a column is missing or of the wrong type.
    """
    require_y(estimator, given.y)
    data = TrainingData([])
    pairs = memory_eval_sets(given.eval_set)
    weight = given.sample_weight if isinstance(given.sample_weight, str) else None
    one = _OneSet(estimator, data, task, weight)
    one.add(X, given, "training data")
    for index, ((features, labels), beside) in enumerate(
        zip(pairs, given.of_each(pairs), strict=True)
    ):
        named_margin = isinstance(given.base_margin, str) and "base_margin" not in beside.without
        if beside.base_margin is None and named_margin:
            beside = replace(beside, base_margin=given.base_margin)
        one.add(features, replace(beside, y=labels), f"evaluation set {index}")
    return data


def require_y(estimator: BaseEstimator, y: Values | None) -> None:
    """Raise for a missing y, in scikit-learn's words."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y "
            "is None. Pass an array, or the name of a column where X has names."
        )


class _OneSet:
    """Adds one data set after the other; the first is the one to train on."""

    def __init__(
        self, estimator: BaseEstimator, data: TrainingData, task: Task, weight: str | None
    ) -> None:
        self.estimator = estimator
        self.data = data
        self.task = task
        self.weight = weight
        self.roles: ColumnRoles | None = None

    def add(self, X: Data, given: Given, what: str) -> None:
        first = not self.data.sets
        named = has_names(X, kind_of(X))
        if not first and named != self.data.sets[0].layout.named:
            raise SchemaError(
                f"The {what} must have column names if the training data has, and only then. "
                f"Got {type(X).__name__}."
            )
        matrix: Any = X if named else checked_matrix(self.estimator, X, reset=first)
        columns = self._columns(matrix, given, first, what)
        if named:
            weight = None if "sample_weight" in given.without else self.weight
            made = self._frame(X, columns, what, weight)
        else:
            _refuse_names(X, columns)
            if not isinstance(matrix, np.ndarray) and not self._keeps_sparse():
                matrix = matrix.toarray()
            made = array_set(matrix, columns, what)
        self.data.sets.append(made)

    def _columns(self, matrix: Any, given: Given, first: bool, what: str) -> Columns:
        """Return names as they are, and arrays checked."""
        y, group = given.y, given.group
        weight, margin = given.sample_weight, given.base_margin
        if y is not None and not isinstance(y, str):
            task = self.task
            labels = check_labels(y, matrix, task.kind, task.array_label, task.bounds)
            y = self._labels(labels, first, what)
        if group is not None and not isinstance(group, str):
            group = check_group(group, matrix)
        if weight is not None and not isinstance(weight, str):
            weight = check_weights(weight, matrix, group)
        if margin is not None and not isinstance(margin, str):
            margin = check_margins(margin, matrix)
        found: Any = {LABEL: y, WEIGHT: weight, GROUP: group, MARGIN: margin}
        return {part: value for part, value in found.items() if value is not None}

    def _keeps_sparse(self) -> bool:
        """Whether what a sparse matrix does not hold is missing, as in the training data."""
        if self.data.sets:
            return self.data.sets[0].layout.sparse is not None
        return self.task.sparse

    def _labels(self, y: np.ndarray, first: bool, what: str) -> np.ndarray:
        if self.task.kind != "classification" or y.ndim == 2:
            return y
        if first and self.task.classes is not None:
            self.data.labels = self.task.classes
            return encode_labels(y, self.data.labels, what, "the model to go on from")
        if not first:
            return encode_labels(y, self.data.labels, what)
        self.data.labels, codes = np.unique(y, return_inverse=True)
        return codes

    def _frame(self, X: Data, columns: Columns, what: str, weight: str | None) -> DataSet:
        as_blocks = self.estimator.num_workers not in (0, None)
        made, roles = frame_set(X, columns, self.task, what, as_blocks, self.roles, weight)
        if self.roles is None:
            self.roles = roles
            self.data.roles = tuple(roles.others)
        return made


def _refuse_names(X: Data, columns: Columns) -> None:
    for value in columns.values():
        if isinstance(value, str):
            raise no_names(X, value)


def row_count(X: Any) -> int:
    """Return the number of rows of data in memory or in Ray."""
    kind = kind_of(X)
    if kind == "ray":
        return int(X.count())
    return _num_samples(X) if kind in {"array", "pandas"} else named_table(X, kind).num_rows


def checked_matrix(estimator: BaseEstimator, X: Data, reset: bool) -> Matrix:
    """Check an X without names by scikit-learn's rules: shape, finiteness, sparse formats.

    Returns
    -------
    ndarray or CSR matrix of shape (n_samples, n_features)
        Of a type that Arrow and XGBoost both have.
    """
    tags = get_tags(estimator).input_tags
    if kind_of(X) == "pandas":
        X = plain_columns(X)
        _refuse_kinds(estimator, X)
    # Where an infinite value stands for a missing one, XGBoost takes the other as a number.
    takes_infinite = np.isinf(getattr(estimator, "missing", np.nan))
    takes_nan = "allow-nan" if tags.allow_nan else True
    matrix = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr" if tags.sparse else False,
        ensure_all_finite=False if takes_infinite else takes_nan,
    )
    if not matrix.dtype.isnative:
        matrix = matrix.astype(matrix.dtype.newbyteorder("="))
    kind, size = matrix.dtype.kind, matrix.dtype.itemsize
    if kind == "b":
        return matrix.astype(np.uint8)
    if kind not in "iuf" or (kind == "f" and size not in (4, 8)):
        return matrix.astype(np.float64)
    return matrix


def _refuse_kinds(estimator: BaseEstimator, frame: pd.DataFrame) -> None:
    categories = getattr(estimator, "enable_categorical", False)
    for place, (name, kind) in enumerate(zip(frame.columns.tolist(), frame.dtypes, strict=True)):
        if categories and type(kind).__name__ == "CategoricalDtype":
            raise SchemaError(
                f"The column {name!r} holds categories, and a frame whose column "
                "names are not all strings counts as an array of numbers. Name its columns, for "
                "example by X.columns = X.columns.astype(str)."
            )
        first = frame.iloc[:, place].dropna().head(1) if kind.kind == "O" else []
        if any(isinstance(value, (list, np.ndarray)) for value in first):
            raise SchemaError(
                f"The column {name!r} holds arrays, and without names for all "
                f"columns, {type(estimator).__name__} takes numbers. Pass one array of all "
                "features, shape (n_samples, n_features)."
            )


def frame_set(
    X: Data,
    given: Columns,
    task: Task,
    what: str = "training data",
    as_blocks: bool = False,
    like: ColumnRoles | None = None,
    weight: str | None = None,
) -> tuple[DataSet, ColumnRoles]:
    """Turn an in-memory frame and what is given beside it into a data set.

    An evaluation set has the features of the training data, given as `like`. Without weights of
    its own, it has those of its column that bears the name `weight`, if there is one.
    """
    kind = kind_of(X)
    names = {part: value for part, value in given.items() if isinstance(value, str)}
    arrays = {part: value for part, value in given.items() if not isinstance(value, str)}
    blocks = table = None
    if as_blocks and kind in {"blocks", "ray"} and not arrays and task.kind != "ranking":
        blocks = X if isinstance(X, Blocks) else from_dataset(cast("ray.data.Dataset", X))
        schema = blocks.schema
    else:
        table = _wide_decimals(named_table(X, kind))
        schema = table.schema
    if weight is not None and weight in schema.names and WEIGHT not in given:
        names[WEIGHT] = weight
    columns = from_arrow_schema(schema)
    roles = resolve_columns(
        columns if like is None else _needed(columns, names, like, what),
        label=names.get(LABEL),
        sample_weight=names.get(WEIGHT),
        base_margin=names.get(MARGIN),
        group=names.get(GROUP),
        enable_categorical=task.enable_categorical,
        in_spark=False,
        array_label=task.array_label,
    )
    if roles.label is not None and task.kind != "classification":
        require_numeric_label(roles, columns, task)
    layout = layout_of(roles, schema)
    if table is not None:
        for part, values in arrays.items():
            table = table.append_column(part, array_column(values))
    layout = _with_parts(layout, arrays)
    if table is not None and layout.group is not None:
        table = by_group(table, layout.group)
    return DataSet(layout, table=table, blocks=blocks, what=what), roles


def _with_parts(layout: Layout, given: Iterable[str]) -> Layout:
    parts: dict[str, Any] = {_PART_OF[part]: part for part in given}
    return replace(layout, **parts)


def _wide_decimals(table: pa.Table) -> pa.Table:
    """Cast decimals of 32 and 64 bits, among which Arrow finds no distinct ones, to 128."""
    for place, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_decimal(kind) and kind.bit_width < 128:
            wide = pa.decimal128(kind.precision, kind.scale)
            table = table.set_column(place, field.name, table.column(place).cast(wide))
    return table


def column_values(table: pa.Table, name: str) -> np.ndarray:
    """Return a column of a table as an array."""
    check_exists(name, table.column_names, "column")
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_numpy()


def _needed(
    columns: list[Column], names: dict[str, str], like: ColumnRoles, what: str
) -> list[Column]:
    for name in names.values():
        check_exists(name, columns, f"label of the {what}")
    others = [column for column in columns if column.name in names.values()]
    features = pick_columns(columns, like.feature_names, f"The {what}")
    check_alike(features, like.features, what)
    return features + others


def array_column(values: np.ndarray) -> pa.Array:
    """Return an array of shape (n,) or (n, k) as a column."""
    return dense_column(values) if values.ndim == 2 else pa.array(values)


def by_group(table: pa.Table, column: str) -> pa.Table:
    """Sort a table by its groups, unless the rows of each are together; ties keep their order."""
    try:
        group_boundaries(group_runs(table.column(column)))
    except SchemaError:
        import pyarrow.compute as pc

        return table.take(pc.sort_indices(table, sort_keys=[(column, "ascending")]))
    return table


def array_set(matrix: Matrix, given: Columns, what: str = "training data") -> DataSet:
    """Turn a checked array or CSR matrix of shape (n, k) into a data set."""
    sparse = None
    if isinstance(matrix, np.ndarray):
        table = pa.table({MATRIX: dense_column(matrix)})
        features: tuple[Feature, ...] = (Feature(MATRIX, "vector", matrix.shape[1]),)
    else:
        table, sparse = sparse_table(matrix), matrix.shape[1]
        features = tuple(Feature(name, "number") for name in SPARSE)
    for part, values in given.items():
        table = table.append_column(part, array_column(np.asarray(values)))
    layout = _with_parts(Layout(features, sparse=sparse, named=False), given)
    if GROUP in given:
        table = by_group(table, GROUP)
    return DataSet(layout, table=table, what=what)
