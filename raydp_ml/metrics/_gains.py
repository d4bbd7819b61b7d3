"""Discounted gains of groups of rows, by the order of a score (Jarvelin, Kekalainen, 2002)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.metrics._columns import Columns
from raydp_ml.metrics._jobs import Computation, Function, Options, Sums, Task
from raydp_ml.spark_jobs.expressions import number
from raydp_ml.spark_jobs.summaries import only_row

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["gains"]


def gains(columns: Columns, function: Function, options: Options) -> Computation:
    """Compute `dcg_score` or `ndcg_score`: the mean over the groups."""
    ((_, found),) = yield Sums((), {"low": "min(u)"})
    function([[found["low"], 1.0]], [[0.0, 1.0]], **options)
    row = yield Task(lambda df: only_row(_means(df, columns, function.__name__, options)))
    if row["missing"]:
        raise SchemaError(
            f"{row['missing']} rows have no group: it is null or NaN. Give each row one, or drop "
            "such rows."
        )
    if row["single"]:
        raise SchemaError(
            f"{row['single']} groups have one row only, for which no order can be better than "
            "another. Drop them."
        )
    if row["uneven"]:
        raise SchemaError(
            f"In {row['uneven']} groups the rows have not all the same sample_weight, which is "
            "that of the group."
        )
    return row["value"]


def _means(df: DataFrame, columns: Columns, name: str, options: Options) -> DataFrame:
    floating = columns.group is not None and columns.group.type_name in {"float", "double"}
    group = "0" if columns.group is None else "g"
    missing = "g is null or isnan(g)" if floating else f"{group} is null"
    rows = select(
        df, *(f"{group} AS g", "u", f"{columns.s} AS s", f"{columns.w} AS w"), f"{missing} AS lost"
    )
    # Rows of one score share their places: no order of the rows matters.
    k, base = options.get("k"), options.get("log_base", 2)
    shared = _discounted("avg(u) over (partition by g, s)", "s", k, base)
    placed = select(
        rows, "g", "w", "lost", f"{shared} AS gain", f"{_discounted('u', 'u', k, base)} AS best"
    )
    sums = {
        "gain": "sum(gain)",
        "best": "sum(best)",
        "rows": "count(1)",
        "lost": "count_if(lost)",
        "low": "min(w)",
        "high": "max(w)",
    }
    value = "if(best = 0, 0D, gain / nullif(best, 0D))" if name == "ndcg_score" else "gain"
    single = "count_if(rows = 1)" if name == "ndcg_score" else "0L"
    means = {
        "value": f"sum(high * {value}) / nullif(sum(high), 0D)",
        "missing": "sum(lost)",
        "single": single,
        "uneven": "count_if(low != high)",
    }
    return aggregate(aggregate(placed, ["g"], sums), [], means)


def _discounted(value: str, order: str, k: int | None, base: float) -> str:
    place = f"row_number() over (partition by g order by {order} desc)"
    gain = f"{value} * {number(math.log(base))} / ln({place} + 1D)"
    return gain if k is None else f"if({place} <= {k}, {gain}, 0D)"
