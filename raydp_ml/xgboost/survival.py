"""Labels of ``survival:aft``: between which bounds each one lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raydp_ml.base import kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, check_exists, from_spark_schema, quoted
from raydp_ml.exchange.frames import named_table
from raydp_ml.exchange.sql_text import select
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.memory_data import column_values
from raydp_ml.spark_jobs.expressions import double

BOUNDS = "__raydp_ml_bounds"
OBJECTIVE = "survival:aft"


def with_bounds(X: Any, given: Given) -> tuple[Any, Given, tuple[str, ...]]:
    """Make one label of two columns of bounds, in X and in the evaluation sets.

    Parameters
    ----------
    X : as in ``fit``
    given : Given
        Its `y` may be a pair of names.

    Returns
    -------
    X, Given, tuple of str
        With one label, and the names of the columns that it was made of.

    Raises
    ------
    SchemaError
        If there is no such column, or it holds no numbers.
    """
    own: Any = given.y
    names = tuple(own) if _is_pair(own) else ()
    X, y = _joined(X, own)
    pairs = given.eval_set
    if kind_of(X) == "spark" and pairs is not None:
        one = not isinstance(pairs, (list, tuple)) or _is_pair_of_spark(pairs)
        pairs = [_evaluated(item, given.y) for item in ([pairs] if one else pairs)]
    elif isinstance(pairs, (list, tuple)):
        pairs = [_joined(*item) if len(item) == 2 else item for item in pairs]
    return X, replace(given, y=y, eval_set=pairs), names


def _is_pair(y: Any) -> bool:
    return isinstance(y, (list, tuple)) and len(y) == 2 and all(isinstance(name, str) for name in y)


def _is_pair_of_spark(pairs: Sequence[Any]) -> bool:
    return isinstance(pairs, tuple) and len(pairs) == 2 and kind_of(pairs[1]) != "spark"


def _evaluated(item: Any, y: Any) -> Any:
    """Return an evaluation set of Spark; one without a label of its own has that of X."""
    df, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
    return _joined(df, y if label is None else label) if kind_of(df) == "spark" else item


def _joined(X: Any, y: Any) -> tuple[Any, Any]:
    if not _is_pair(y):
        return X, y
    lower, upper = y
    kind = kind_of(X)
    if kind == "spark":
        columns = from_spark_schema(X.schema)
        for name in y:
            check_exists(name, columns, "bound of the label")
            (column,) = (item for item in columns if item.name == name)
            if column.kind not in NUMERIC:
                raise SchemaError(
                    f"The bound {name!r} of the label is of type {column.type_name}, and bounds "
                    "are numbers. Cast it to double."
                )
        others = [quoted(name) for name in X.columns if name not in y]
        bounds = f"array({double(lower)}, {double(upper)}) AS {quoted(BOUNDS)}"
        return select(X, *others, bounds), BOUNDS
    table = named_table(X, kind)
    values = [np.asarray(column_values(table, name), dtype=np.float64) for name in y]
    return table.drop_columns(list(y)), np.column_stack(values)
