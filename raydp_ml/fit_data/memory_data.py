"""From frames and arrays in memory to the data sets of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from sklearn.utils import get_tags
from sklearn.utils.validation import _num_samples, validate_data

from raydp_ml.base import kind_of
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
from raydp_ml.fit_data.targets import check_group, check_labels, check_weights
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


def memory_training(
    estimator: BaseEstimator,
    X: Data,
    y: Values | None,
    sample_weight: Values | None,
    eval_set: object,
    group: Values | None,
    eval_group: Sequence[Values] | None,
    task: Task,
) -> TrainingData:
    """Check and convert what ``fit`` was given.

    Parameters
    ----------
    estimator : XGBModel
        Whose fitted number and names of features scikit-learn's checks set.
    X : frame, array or sparse matrix of shape (n_samples, n_features)
    y, sample_weight, group : array, or column name where X has names
    eval_set : list of pairs (X, y) or None
    eval_group : list or None
        The groups of each evaluation set.
    task : Task

    Raises
    ------
    ValueError
        As scikit-learn's own estimators do.
    SchemaError
        If a column is missing or of the wrong type.
    """
    require_y(estimator, y)
    data = TrainingData([])
    pairs = memory_eval_sets(eval_set)
    groups = [None] * len(pairs) if eval_group is None else list(eval_group)
    one = _OneSet(estimator, data, task)
    one.add(X, y, sample_weight, group, "training data")
    for index, ((features, labels), of) in enumerate(zip(pairs, groups, strict=True)):
        one.add(features, labels, None, of, f"evaluation set {index}")
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

    def __init__(self, estimator: BaseEstimator, data: TrainingData, task: Task) -> None:
        self.estimator = estimator
        self.data = data
        self.task = task
        self.roles: ColumnRoles | None = None

    def add(
        self,
        X: Data,
        y: Values | None,
        sample_weight: Values | None,
        group: Values | None,
        what: str,
    ) -> None:
        first = not self.data.sets
        named = has_names(X, kind_of(X))
        if not first and named != self.data.sets[0].layout.named:
            raise SchemaError(
                f"The {what} must have column names if the training data has, and only then. "
                f"Got {type(X).__name__}."
            )
        matrix: Any = X if named else checked_matrix(self.estimator, X, reset=first)
        if y is not None and not isinstance(y, str):
            y = self._labels(check_labels(y, matrix, self.task.kind), first, what)
        if group is not None and not isinstance(group, str):
            group = check_group(group, matrix)
        if sample_weight is not None and not isinstance(sample_weight, str):
            sample_weight = check_weights(sample_weight, matrix, group)
        if named:
            made = self._frame(X, y, sample_weight, group, what)
        else:
            labels, weights, groups = _without_names(X, y, sample_weight, group)
            if not isinstance(matrix, np.ndarray) and not self._keeps_sparse():
                matrix = matrix.toarray()
            made = array_set(matrix, labels, weights, groups, what)
        self.data.sets.append(made)

    def _keeps_sparse(self) -> bool:
        """Whether what a sparse matrix does not hold is missing, as in the training data."""
        if self.data.sets:
            return self.data.sets[0].layout.sparse is not None
        return self.task.sparse

    def _labels(self, y: np.ndarray, first: bool, what: str) -> np.ndarray:
        if self.task.kind != "classification":
            return y
        if not first:
            return encode_labels(y, self.data.labels, what)
        self.data.labels, codes = np.unique(y, return_inverse=True)
        return codes

    def _frame(
        self,
        X: Data,
        y: str | np.ndarray | None,
        sample_weight: str | np.ndarray | None,
        group: str | np.ndarray | None,
        what: str,
    ) -> DataSet:
        as_blocks = self.estimator.num_workers not in (0, None)
        made, roles = frame_set(X, y, sample_weight, group, self.task, what, as_blocks, self.roles)
        if self.roles is None:
            self.roles = roles
            self.data.roles = tuple(roles.others)
        return made


def _without_names(X: Data, *given: str | np.ndarray | None) -> list[np.ndarray | None]:
    arrays: list[np.ndarray | None] = []
    for value in given:
        if isinstance(value, str):
            raise ValueError(
                f"The column name {value!r} was given, and X ({type(X).__name__}) has no column "
                "names. Pass an array, or a frame as X."
            )
        arrays.append(value)
    return arrays


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
    matrix = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr" if tags.sparse else False,
        ensure_all_finite="allow-nan" if tags.allow_nan else True,
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


def has_names(X: Data, kind: str) -> bool:
    """Say whether an in-memory X has names (a pandas frame may have numbers instead)."""
    if kind == "array":
        return False
    return kind != "pandas" or all(
        isinstance(name, str) for name in cast("pd.DataFrame", X).columns
    )


def frame_set(
    X: Data,
    y: str | np.ndarray | None,
    sample_weight: str | np.ndarray | None,
    group: str | np.ndarray | None,
    task: Task,
    what: str = "training data",
    as_blocks: bool = False,
    like: ColumnRoles | None = None,
) -> tuple[DataSet, ColumnRoles]:
    """Turn an in-memory frame and what is given beside it into a data set.

    `y`, `sample_weight` and `group` are column names or checked arrays. An evaluation set has the
    features of the training data, given as `like`.
    """
    kind = kind_of(X)
    given = {LABEL: y, WEIGHT: sample_weight, GROUP: group}
    names = {part: value for part, value in given.items() if isinstance(value, str)}
    arrays = {
        part: value
        for part, value in given.items()
        if value is not None and not isinstance(value, str)
    }
    blocks = table = None
    if as_blocks and kind in {"blocks", "ray"} and not arrays and task.kind != "ranking":
        blocks = X if isinstance(X, Blocks) else from_dataset(cast("ray.data.Dataset", X))
        schema = blocks.schema
    else:
        table = _wide_decimals(named_table(X, kind))
        schema = table.schema
    columns = from_arrow_schema(schema)
    roles = resolve_columns(
        columns if like is None else _needed(columns, names, like, what),
        label=names.get(LABEL),
        sample_weight=names.get(WEIGHT),
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
    layout = replace(
        layout,
        label=layout.label or (LABEL if LABEL in arrays else None),
        weight=layout.weight or (WEIGHT if WEIGHT in arrays else None),
        group=layout.group or (GROUP if GROUP in arrays else None),
    )
    if table is not None and layout.group is not None:
        table = by_group(table, layout.group)
    return DataSet(layout, table=table, blocks=blocks, what=what), roles


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


def array_set(
    matrix: Matrix,
    y: np.ndarray | None,
    sample_weight: np.ndarray | None,
    group: np.ndarray | None,
    what: str = "training data",
) -> DataSet:
    """Turn a checked array or CSR matrix of shape (n, k) into a data set."""
    sparse = None
    if isinstance(matrix, np.ndarray):
        table = pa.table({MATRIX: dense_column(matrix)})
        features: tuple[Feature, ...] = (Feature(MATRIX, "vector", matrix.shape[1]),)
    else:
        table, sparse = sparse_table(matrix), matrix.shape[1]
        features = tuple(Feature(name, "number") for name in SPARSE)
    parts = {LABEL: y, WEIGHT: sample_weight, GROUP: group}
    given = {part: values for part, values in parts.items() if values is not None}
    for part, values in given.items():
        table = table.append_column(part, array_column(values))
    layout = Layout(
        features,
        sparse=sparse,
        named=False,
        label=LABEL if LABEL in given else None,
        weight=WEIGHT if WEIGHT in given else None,
        group=GROUP if GROUP in given else None,
    )
    if group is not None:
        table = by_group(table, GROUP)
    return DataSet(layout, table=table, what=what)
