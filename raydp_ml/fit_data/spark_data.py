"""From Spark DataFrames to the data sets of a training: resolve the columns, export just those."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_ml.base import folds_case, require_column_name
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    ColumnRoles,
    check_alike,
    check_part_kinds,
    from_spark_schema,
    pick_columns,
    quoted,
    resolve_columns,
)
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.fit_data.evaluation_sets import spark_eval_sets
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.training_data import Task, TrainingData, layout_of, require_numeric_label
from raydp_ml.training.rows.data_sets import DataSet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.blocks import Blocks


def spark_training(X: DataFrame, given: Given, task: Task) -> TrainingData:
    """Resolve the columns of Spark DataFrames, then export just those to blocks.

    Raises
    ------
    SchemaError
        Before any Spark job, if a column is missing or of the wrong type.
    """
    require_batch(X)
    roles = _spark_roles(X, given, task)
    frames = [(X, roles, "training data")]
    pairs = spark_eval_sets(given.eval_set)
    for index, ((df, label), beside) in enumerate(zip(pairs, given.of_each(pairs), strict=True)):
        require_batch(df)
        what = f"evaluation set {index}"
        frames.append((df, _spark_eval_roles(df, label, beside, roles, task, what), what))
    data = TrainingData([], roles=tuple(roles.others))
    try:
        for df, found, what in frames:
            blocks = _export(df, found, task.kind)
            data._owned.append(blocks)
            layout = replace(layout_of(found, blocks.schema), validation=found.validation)
            data.sets.append(DataSet(layout, blocks=blocks, what=what))
            require_rows(data.sets[-1])
    except BaseException:
        data.free()
        raise
    return data


def _spark_roles(X: DataFrame, given: Given, task: Task) -> ColumnRoles:
    label, weight, margin, group = (
        require_column_name(getattr(given, what), what, X.columns)
        for what in ("y", "sample_weight", "base_margin", "group")
    )
    roles = resolve_columns(
        from_spark_schema(X.schema),
        label=label,
        sample_weight=weight,
        base_margin=margin,
        group=group if task.kind == "ranking" else None,
        enable_categorical=task.enable_categorical,
        fold_case=folds_case(X),
        array_label=task.array_label,
    )
    _require_parts(roles, task)
    if task.kind != "ranking":
        roles = replace(roles, group=None)
    if task.kind != "classification":
        require_numeric_label(roles, from_spark_schema(X.schema), task)
    if not any(column.kind in {"vector", "array"} for column in roles.features):
        task.check_features(roles.feature_names, len(roles.features))
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


def _spark_eval_roles(
    df: DataFrame, label: str | None, beside: Given, roles: ColumnRoles, task: Task, what: str
) -> ColumnRoles:
    columns = from_spark_schema(df.schema)
    fold_case = folds_case(df)
    features = pick_columns(columns, roles.feature_names, f"The {what}", fold_case=fold_case)
    check_alike(features, roles.features, what)
    weight = require_column_name(beside.sample_weight, "sample_weight_eval_set", df.columns)
    margin = require_column_name(beside.base_margin, "base_margin_eval_set", df.columns)
    if weight is None and "sample_weight" not in beside.without:
        marked = [column.name for column in columns if column.role == "sample_weight"]
        same = [name for name in df.columns if name == roles.sample_weight]
        weight = next(iter(marked + same), None)
    if margin is None and "base_margin" not in beside.without:
        margin = roles.base_margin
    holders = {
        "label": label or roles.label,
        "sample_weight": weight,
        "group": roles.group,
        "base_margin": margin,
    }
    needed = [name for name in holders.values() if name is not None]
    pick_columns(columns, needed, f"The {what}", fold_case=fold_case)
    check_part_kinds(columns, holders, task.array_label)
    return ColumnRoles(tuple(features), **holders)


_ORDER = "__raydp_ml_order"


def _export(df: DataFrame, roles: ColumnRoles, task: str) -> Blocks:
    """Export the features and the other columns in use; decimals as doubles, unless keys."""
    from pyspark.sql import functions

    from raydp_ml.exchange import from_spark

    names = roles.feature_names + roles.others
    keys = {roles.group, roles.label if task == "classification" else None}
    for column in from_spark_schema(df.schema):
        kind = None
        if column.kind == "decimal" and column.name not in keys:
            kind = "double"
        elif column.type_name == "array<boolean>":
            kind = "array<tinyint>"
        if kind is not None and column.name in names:
            df = df.withColumn(column.name, functions.col(quoted(column.name)).cast(kind))
    if task == "ranking":
        name = roles.group or ""
        group = functions.col(quoted(name))
        # By bytes, as the rows of a group are told apart later: a collation may mix two groups.
        is_text = df.schema[name].dataType.typeName() == "string"
        # XGBoost breaks ties by the order of the rows, which a shuffle alone would make up anew.
        df = select(df, "*", f"monotonically_increasing_id() AS {_ORDER}")
        df = df.sort(group.cast("string") if is_text else group, functions.col(_ORDER))
    return from_spark(df, names)


def require_rows(data: DataSet) -> None:
    """Raise `SchemaError` for blocks without a row, before any actor starts."""
    if data.blocks is not None and data.blocks.num_rows == 0:
        raise SchemaError(f"The {data.what} has no rows. Check the filters and joins before it.")
