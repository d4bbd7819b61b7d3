"""Column roles: which column of a Spark DataFrame is label, weight, group, validation mark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from raydp_ml.base import is_spark, require_column_name
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    ROLES_KEY,
    Column,
    check_exists,
    check_unique,
    column_names,
    from_spark_schema,
    quoted,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["set_roles"]


def set_roles(
    df: DataFrame,
    *,
    label: str | None = None,
    sample_weight: str | None = None,
    group: str | None = None,
    validation: str | None = None,
    ignore: str | Iterable[str] = (),
) -> Any:
    """Write into a DataFrame's column metadata what its columns are for.

    Every estimator and transformer reads the roles, so that ``pipe.fit(df)`` needs no label
    name, a scaler leaves weights and labels alone, and early stopping works inside a Pipeline.
    The roles survive ``select``, ``filter``, joins, Parquet and raydp_ml's own transforms.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        What holds the columns; it is left as it is.
    label : str, default=None
        The column to predict.
    sample_weight : str, default=None
        The column of row weights.
    group : str, default=None
        The column that says which rows are ranked together (`raydp_ml.xgboost.XGBRanker`).
    validation : str, default=None
        A boolean column; rows with true are the evaluation set of early stopping.
    ignore : str or iterable of str, default=()
        Columns that are never features, such as ids.

    Returns
    -------
    pyspark.sql.DataFrame
        The same data, with the roles. A role given here is taken away from the column that had
        it before; roles not given stay as they were.

    Raises
    ------
    SchemaError
        If a column does not exist (the nearest name is given), or is given two roles.
    TypeError
        If `df` is not a Spark DataFrame.

    Examples
    --------
    >>> df = raydp_ml.set_roles(df, label="late", ignore=["flight"])  # doctest: +SKIP
    >>> make_pipeline(StandardScaler(), XGBClassifier()).fit(df)  # doctest: +SKIP
    """
    if not is_spark(df):
        raise TypeError(f"set_roles takes a Spark DataFrame. Got {type(df).__name__} instead.")
    ignored = [ignore] if isinstance(ignore, str) else column_names(ignore, "ignore")
    single = {
        "label": label,
        "sample_weight": sample_weight,
        "group": group,
        "validation": validation,
    }
    given = [(role, name) for role, name in single.items() if name is not None]
    for role, name in given:
        require_column_name(name, role, df.columns)
    given += [("ignore", name) for name in ignored]
    columns = from_spark_schema(df.schema)
    check_unique(column.name for column in columns)
    for role, name in given:
        check_exists(name, columns, role)
    roles: dict[str, str] = {}
    for role, name in given:
        if roles.get(name, role) != role:
            raise SchemaError(
                f"The column {name!r} cannot be both {roles[name]} and {role}. "
                "Give each its own column."
            )
        roles[name] = role
    return _with_metadata(df, columns, roles)


def _with_metadata(df: DataFrame, columns: list[Column], roles: dict[str, str]) -> DataFrame:
    from pyspark.sql import functions

    replaced = set(roles.values())
    selected = []
    for column in columns:
        expression = functions.col(quoted(column.name))
        role = roles.get(column.name)
        loses = role is None and column.role in replaced
        if role is not None or loses:
            metadata = {key: value for key, value in column.metadata.items() if key != ROLES_KEY}
            if role is not None:
                metadata[ROLES_KEY] = {"role": role}
            expression = expression.alias(column.name, metadata=metadata)
        selected.append(expression)
    return df.select(*selected)
