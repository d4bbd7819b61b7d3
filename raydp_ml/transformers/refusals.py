"""Values that scikit-learn refuses, refused by the query that meets them: transforms are lazy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydp_ml.exchange.columns import NUMERIC, Column, quoted
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["refuse"]

_FLOATS = frozenset({"float", "double"})
_KINDS = NUMERIC | {"string"}


def refuse(df: DataFrame, columns: Sequence[Column], who: str, *, allow_missing: bool) -> DataFrame:
    """Let a query fail that computes a column with a value that scikit-learn would refuse.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    columns : sequence of raydp_ml.exchange.columns.Column
        Those to look at. Vectors are left to what reads their entries.
    who : str
        The transformer, for the error.
    allow_missing : bool
        Whether null and NaN may occur. Infinity may not.

    Returns
    -------
    pyspark.sql.DataFrame
        The same columns with the same values.
    """
    checked = {
        column.name: sql
        for column in columns
        if (sql := _checked(column, who, allow_missing)) is not None
    }
    if not checked:
        return df
    return select(
        df, *(f"{checked[n]} AS {quoted(n)}" if n in checked else quoted(n) for n in df.columns)
    )


def _checked(column: Column, who: str, allow_missing: bool) -> str | None:
    x = quoted(column.name)
    floating = column.type_name in _FLOATS
    if column.kind not in _KINDS or (allow_missing and not floating):
        return None
    if allow_missing:
        # True for null as well, of which no comparison is true.
        good = f"{x} is null or abs({x}) != double('Infinity')"
        what, remedy = "infinity", "Replace it, for example with null, before."
    else:
        # NaN - NaN and Infinity - Infinity are NaN, and null - null is null.
        good = f"{x} - {x} = 0" if floating else f"{x} is not null"
        what = "null, NaN or infinity" if floating else "null"
        remedy = "Impute it first, for example with raydp_ml.impute.SimpleImputer."
    # One literal: a text that is put together would be compiled into each column's code.
    message = text(f"{who} takes no {what}, and the column {column.name!r} holds one. {remedy}")
    return f"if({good}, {x}, cast(raise_error({message}) as {column.type_name}))"
