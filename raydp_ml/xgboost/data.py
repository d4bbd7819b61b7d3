"""From the X, y, weights and evaluation sets given to ``fit`` to the data sets of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from raydp_ml.base import folds_case, kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    ColumnRoles,
    check_exists,
    from_arrow_schema,
    from_spark_schema,
    pick_columns,
    quoted,
    resolve_columns,
)
from raydp_ml.exchange.frames import dataset_blocks, named_table
from raydp_ml.exchange.jvm import require_live
from raydp_ml.training.xgboost_fit import DataSet
from raydp_ml.training.xgboost_matrix import (
    SPARSE,
    Feature,
    Layout,
    dense_column,
    feature_of,
    sparse_table,
)

# Columns that are made for arrays given beside X; the names show in no error.
MATRIX, LABEL, WEIGHT, GROUP = "__matrix__", "__label__", "__weight__", "__group__"


@dataclass
class TrainingData:
    """What ``fit`` was given, ready for `fit_booster`.

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
    _owned: list[Any] = field(default_factory=list)

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
    """

    kind: str
    enable_categorical: bool
    estimator: str


# --------------------------------------------------------------------------- Spark


def spark_training(
    X: Any, y: Any, sample_weight: Any, eval_set: Any, group: Any, task: Task
) -> TrainingData:
    """Resolve the columns of Spark DataFrames, then export just those to blocks.

    Raises
    ------
    SchemaError
        Before any Spark job, if a column is missing or of the wrong type.
    """
    names = {"y": y, "sample_weight": sample_weight, "group": group}
    for what, name in names.items():
        if name is not None and not isinstance(name, str):
            raise TypeError(
                f"With a Spark DataFrame, {what} is the name of one of its columns. "
                f"Got {type(name).__name__} instead."
            )
    require_live(X.sparkSession)
    roles = _spark_roles(X, y, sample_weight, group, task)
    frames = [(X, roles, "training data")]
    for index, (df, label) in enumerate(_spark_eval_sets(eval_set)):
        what = f"evaluation set {index}"
        frames.append((df, _spark_eval_roles(df, label, roles, what), what))
    data = TrainingData([], roles=tuple(roles.others))
    try:
        for df, found, what in frames:
            blocks = _export(df, found, sort=task.kind == "ranking")
            data._owned.append(blocks)
            layout = replace(_layout(found, blocks.schema), validation=found.validation)
            data.sets.append(DataSet(layout, blocks=blocks, what=what))
            require_rows(data.sets[-1])
    except BaseException:
        data.free()
        raise
    return data


def _spark_roles(X: Any, y: Any, sample_weight: Any, group: Any, task: Task) -> ColumnRoles:
    roles = resolve_columns(
        from_spark_schema(X.schema),
        label=y,
        sample_weight=sample_weight,
        group=group if task.kind == "ranking" else None,
        enable_categorical=task.enable_categorical,
        fold_case=folds_case(X),
    )
    _require_parts(roles, task)
    if task.kind != "ranking":
        roles = replace(roles, group=None)
    if task.kind != "classification":
        _require_numeric_label(roles, from_spark_schema(X.schema), task)
    return roles


def _require_parts(roles: ColumnRoles, task: Task) -> None:
    if roles.label is None:
        raise ValueError(
            f"This {task.estimator} estimator requires y to be passed, but the target y is None. "
            'Pass the name of the label\'s column, as in fit(df, "label"), or mark it once: '
            'raydp_ml.set_roles(df, label="label").'
        )
    if task.kind == "ranking" and roles.group is None:
        raise ValueError(
            f"{task.estimator} needs to know which rows are ranked together. Pass the name of a "
            'column, as in fit(df, "label", group="query"), or mark it once: '
            'raydp_ml.set_roles(df, group="query").'
        )


def _require_numeric_label(roles: ColumnRoles, columns: Sequence[Any], task: Task) -> None:
    (column,) = (item for item in columns if item.name == roles.label)
    if column.kind in {"string", "category"}:
        raise SchemaError(
            f"The label {column.name!r} is of type {column.type_name}, and {task.estimator} "
            "predicts numbers. Cast it to double, or use XGBClassifier for classes."
        )


def _spark_eval_sets(eval_set: Any) -> list[tuple[Any, str | None]]:
    """Turn each way to give evaluation frames into pairs (DataFrame, label or None)."""
    if eval_set is None:
        return []
    if kind_of(eval_set) == "spark":
        return [(eval_set, None)]
    if isinstance(eval_set, tuple) and len(eval_set) == 2 and isinstance(eval_set[1], str):
        return [eval_set]
    pairs: list[tuple[Any, str | None]] = []
    for item in eval_set:
        df, label = item if isinstance(item, tuple) else (item, None)
        if kind_of(df) != "spark" or not (label is None or isinstance(label, str)):
            raise TypeError(
                "With a Spark DataFrame, eval_set is a DataFrame, or a list of DataFrames or of "
                f"pairs (DataFrame, label column). Got {type(df).__name__} instead."
            )
        pairs.append((df, label))
    return pairs


def _spark_eval_roles(df: Any, label: str | None, roles: ColumnRoles, what: str) -> ColumnRoles:
    columns = from_spark_schema(df.schema)
    features = pick_columns(columns, roles.feature_names, f"The {what}")
    needed = [name for name in (label or roles.label, roles.group) if name is not None]
    pick_columns(columns, needed, f"The {what}")
    weight = roles.sample_weight if roles.sample_weight in df.columns else None
    return ColumnRoles(tuple(features), label or roles.label, weight, roles.group)


def _export(df: Any, roles: ColumnRoles, sort: bool) -> Any:
    """Export the features and the other columns in use, decimals as doubles."""
    from pyspark.sql import functions

    from raydp_ml.exchange import from_spark

    decimals = {column.name for column in from_spark_schema(df.schema) if column.kind == "decimal"}
    columns = []
    for name in roles.feature_names + roles.others:
        column = functions.col(quoted(name))
        columns.append(column.cast("double").alias(name) if name in decimals else column)
    selected = df.select(*columns)
    if sort:
        selected = selected.sort(functions.col(quoted(roles.group or "")))
    return from_spark(selected)


def require_rows(data: DataSet) -> None:
    """Raise `SchemaError` for blocks without a row, before any actor starts."""
    if data.blocks is not None and data.blocks.num_rows == 0:
        raise SchemaError(f"The {data.what} has no rows. Check the filters and joins before it.")


# --------------------------------------------------------------------------- frames in memory


def has_names(X: Any, kind: str) -> bool:
    """Say whether an in-memory X has names (a pandas frame may have numbers instead)."""
    if kind == "array":
        return False
    return kind != "pandas" or all(isinstance(name, str) for name in X.columns)


def frame_set(
    X: Any,
    y: Any,
    sample_weight: Any,
    group: Any,
    task: Task,
    what: str = "training data",
    as_blocks: bool = False,
) -> tuple[DataSet, ColumnRoles]:
    """Turn an in-memory frame and what is given beside it into a data set.

    `y`, `sample_weight` and `group` are column names or checked arrays.
    """
    kind = kind_of(X)
    given = {LABEL: y, WEIGHT: sample_weight, GROUP: group}
    names = {part: value for part, value in given.items() if isinstance(value, str)}
    arrays = {
        part: value for part, value in given.items() if value is not None and part not in names
    }
    blocks = table = None
    if as_blocks and kind in {"blocks", "ray"} and not arrays and task.kind != "ranking":
        blocks = X if kind == "blocks" else dataset_blocks(X)
        schema = blocks.schema
    else:
        table = named_table(X, kind)
        schema = table.schema
    roles = resolve_columns(
        from_arrow_schema(schema),
        label=names.get(LABEL),
        sample_weight=names.get(WEIGHT),
        group=names.get(GROUP),
        enable_categorical=task.enable_categorical,
        in_spark=False,
    )
    if roles.label is not None and task.kind != "classification":
        _require_numeric_label(roles, from_arrow_schema(schema), task)
    layout = _layout(roles, schema)
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


def column_values(table: pa.Table, name: str) -> np.ndarray:
    """Return a column of a table as an array."""
    check_exists(name, table.column_names, "column")
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_numpy()


def _layout(roles: ColumnRoles, schema: pa.Schema) -> Layout:
    return Layout(
        tuple(feature_of(name, schema.field(name).type) for name in roles.feature_names),
        label=roles.label,
        weight=roles.sample_weight,
        group=roles.group,
    )


def array_column(values: np.ndarray) -> pa.Array:
    """Return an array of shape (n,) or (n, k) as a column."""
    return dense_column(values) if values.ndim == 2 else pa.array(values)


def by_group(table: pa.Table, column: str) -> pa.Table:
    """Sort a table by its groups, unless the rows of each are together; ties keep their order."""
    from raydp_ml.training.xgboost_fit import group_boundaries
    from raydp_ml.training.xgboost_loop import group_runs

    try:
        group_boundaries(group_runs(table.column(column)))
    except SchemaError:
        import pyarrow.compute as pc

        return table.take(pc.sort_indices(table, sort_keys=[(column, "ascending")]))
    return table


# --------------------------------------------------------------------------- arrays


def array_set(
    matrix: Any,
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
