"""Plans of Spark Connect, which are trees of objects in this process."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from raydp_ml.exchange.columns import quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["restored"]

# Steps that hand on each row with whatever it holds, or leave it out as a whole.
_TRANSPARENT = frozenset(
    {
        *("CollectMetrics", "Drop", "Filter", "Hint", "Limit", "Offset", "Repartition"),
        *("RepartitionByExpression", "Sample", "Sort", "SubqueryAlias", "Tail", "WithColumns"),
        *("WithColumnsRenamed", "WithWatermark"),
    }
)
_STAR = re.compile(r"\s*(\w+\.)?\*")


def restored(made: DataFrame, source: DataFrame) -> DataFrame | None:
    """Do what `source_columns.restored` does, for DataFrames of Spark Connect.

    The columns of `source` travel through the steps between the two under names of their own.
    """
    from pyspark.sql.connect import functions
    from pyspark.sql.connect.dataframe import DataFrame
    from pyspark.sql.connect.plan import Project

    plans: Any = (made, source)
    end, start = (df._plan for df in plans)
    names = source.columns
    if len({name.lower() for name in names}) < len(names):
        return None
    hidden = [f"__raydp_ml_source_{index}" for index in range(len(names))]
    columns: list[Any] = [functions.col(quoted(name)) for name in names]
    copies = [column.alias(name) for column, name in zip(columns, hidden, strict=True)]
    first = Project(start, [functions.col("*"), *copies])
    whole = _with_columns(end, start, first, [functions.col(name) for name in hidden])
    if whole is None:
        return None
    back = [functions.col(inner).alias(name) for inner, name in zip(hidden, names, strict=True)]
    chosen: list[Any] = [*back, functions.col(quoted(made.columns[-1]))]
    session: Any = made.sparkSession
    return DataFrame(Project(whole, chosen), session)


def _with_columns(plan: Any, start: Any, first: Any, columns: list[Any]) -> Any:
    """Copy the steps down to `start`, which `first` stands in for; None where one drops rows' own.

    A copy keeps the step's number, by which columns that a user chose (``df["x"]``) know it.
    """
    if plan is start:
        return first
    kind = type(plan).__name__
    if plan is None or plan._references or kind not in {*_TRANSPARENT, "Project"}:
        return None
    child = _with_columns(plan._child, start, first, columns)
    if child is None:
        return None
    step = copy.copy(plan)
    step._child = child
    if kind == "Project" and not any(map(_is_star, plan._columns)):
        step._columns = [*plan._columns, *columns]
    return step


def _is_star(column: Any) -> bool:
    """Whether a column of a projection stands for all of them."""
    expression = column._expr
    if type(expression).__name__ == "UnresolvedStar":
        return True
    return bool(_STAR.match(getattr(expression, "_expr", "") or ""))
