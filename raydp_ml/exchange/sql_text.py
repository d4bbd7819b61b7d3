"""Spark SQL text -> DataFrames that mean the same in every session.

Text is what transformers are written in, and a session is its user's: settings change what the
parser makes of text, and a function that the user registered hides Spark's own of that name. So
our Java part parses it under Spark's default settings and names each function in full. Where that
part cannot be used, the session's own parser has to do, and settings that would change a meaning
are refused.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from raydp_ml.exceptions import SessionError
from raydp_ml.exchange.jvm import JavaObject, as_frame, is_connect, java_object

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = [
    "aggregate",
    "run_query",
    "select",
    "select_columns",
    "server_column",
    "vector_to_array",
    "where",
]

_PLAIN = {
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.parser.quotedRegexColumnNames": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.enforceReservedKeywords": "false",
    "spark.sql.legacy.exponentLiteralAsDecimal.enabled": "false",
}
"""Settings that our text depends on where the session's own parser reads it."""
_DEFAULTS = {"spark.sql.variable.substitute": "true"}


def select(df: DataFrame, *texts: str) -> DataFrame:
    """Select SQL expressions, as ``df.selectExpr`` does in a session without settings.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    *texts : str

    Returns
    -------
    pyspark.sql.DataFrame

    Raises
    ------
    SessionError
        Where our Java part cannot be used, and the session has settings of the parser.
    """
    java = _java(df.sparkSession)
    if java is None:
        return _checked(df, texts).selectExpr(*texts)
    return as_frame(java.select(df, _packed(texts)), df.sparkSession)


def select_columns(df: DataFrame, columns: Sequence[Column]) -> DataFrame:
    """Select columns that are made of ``pyspark.sql.functions``, which a user's hide as well."""
    java = _java(df.sparkSession)
    if java is None:
        return df.select(*columns)
    return as_frame(java.selectColumns(df, list(columns)), df.sparkSession)


def vector_to_array(df: DataFrame) -> Callable[..., Column]:
    """Return PySpark's function of that name for a DataFrame; it fails on a null vector."""
    if is_connect(df):
        from pyspark.ml.connect.functions import vector_to_array
    else:
        from pyspark.ml.functions import vector_to_array
    return vector_to_array


def where(df: DataFrame, text: str) -> DataFrame:
    """Keep the rows that meet a condition; as `select` otherwise."""
    java = _java(df.sparkSession)
    if java is None:
        return _checked(df, [text]).where(text)
    return as_frame(java.where(df, text), df.sparkSession)


def aggregate(df: DataFrame, keys: Sequence[str], aggregates: Mapping[str, str]) -> DataFrame:
    """Group by SQL expressions and aggregate; as `select` otherwise.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    keys : sequence of str
    aggregates : mapping of str to str
        Names and SQL.

    Returns
    -------
    pyspark.sql.DataFrame
        The keys, then the aggregates.
    """
    from raydp_ml.exchange.columns import quoted

    texts = [f"{sql} AS {quoted(name)}" for name, sql in aggregates.items()]
    java = _java(df.sparkSession)
    if java is not None:
        return as_frame(java.aggregate(df, _packed(keys), _packed(texts)), df.sparkSession)
    from pyspark.sql.functions import expr

    return _checked(df, [*keys, *texts]).groupBy(*map(expr, keys)).agg(*map(expr, texts))


def server_column(
    df: DataFrame, function: str, texts: Sequence[str], constants: Sequence[bytes | str | float]
) -> Column | None:
    """Call a function of ours that a Spark Connect server may have.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Of Spark Connect.
    function : str
        One of the Java class ``ml.raydp.trees.ServerFunctions``.
    texts : sequence of str
        SQL of its first arguments.
    constants : sequence of bytes, str or float
        The others.

    Returns
    -------
    pyspark.sql.Column or None
        None where the server was not given our jar, or one that packs constants in another way,
        and where settings of the session change what the texts mean.
    """
    spark = df.sparkSession
    if spark not in _served:
        _served[spark] = {}
    known = _served[spark]
    if function not in known:
        known[function] = spark.catalog.functionExists(function)
    if not known[function] or _changed(df, texts):
        return None
    from pyspark.sql.functions import call_function, expr, lit

    return call_function(function, *map(expr, texts), *map(lit, constants))


def run_query(
    df: DataFrame, statement: str, place: str, tables: Sequence[str], foreign: bool
) -> DataFrame | tuple[str, str]:
    """Run a query of the user's own over a DataFrame, once Spark's parser has found it to be one.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    statement : str
        In the session's own dialect, with the user's own functions.
    place : str
        The name that stands for the DataFrame in it.
    tables : sequence of str
        Names of other tables that it may read.
    foreign : bool
        Whether someone else wrote it: then no function of the user's is called, and none of Spark's
        that reads files.

    Returns
    -------
    pyspark.sql.DataFrame or (str, str)
        A pair is why it was refused: "command", "table", "function", "foreign" (a function as
        well), or "place" (which it does not name), and what was met.

    Raises
    ------
    SessionError
        Where our Java part cannot be used.
    pyspark.errors.ParseException, pyspark.errors.AnalysisException
    """
    java = java_object(df.sparkSession, "columns.Query")
    if java is None:
        raise SessionError(
            "A query of the user's own is checked by raydp_ml's Java part before it runs, which "
            "needs a classic session of Spark 4.0 to 4.3 (raydp_ml.init_spark). Elsewhere, run it "
            "before the Pipeline: spark.sql('select ... from {df}', df=df)."
        )
    made = java.run(df, str(statement), place, tables, foreign)
    if isinstance(made, str):
        kind, what = made.split(":", 1)
        return kind, what
    return as_frame(made, df.sparkSession)


_served: weakref.WeakKeyDictionary[SparkSession, dict[str, bool]] = weakref.WeakKeyDictionary()
_known: weakref.WeakKeyDictionary[SparkSession, JavaObject | None] = weakref.WeakKeyDictionary()


def _java(spark: SparkSession) -> JavaObject | None:
    # A few calls into the JVM each time otherwise, and a warning where there is none.
    if spark not in _known:
        _known[spark] = java_object(spark, "columns.SqlText")
    return _known[spark]


def _packed(texts: Sequence[str]) -> bytes:
    # One call for all of them: a list would cost a call for each.
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(4, "big") + text for text in encoded)


def _checked(df: DataFrame, texts: Sequence[str]) -> DataFrame:
    """Return the DataFrame, if its session has no settings that change what the texts mean."""
    changed = _changed(df, texts)
    if changed:
        raise SessionError(
            f"The settings {changed} of this session change what SQL means, and raydp_ml's Java "
            "part, which does not depend on them, cannot be used here. Set them to what it needs: "
            + "; ".join(f"spark.conf.set({key!r}, {_PLAIN.get(key, 'false')!r})" for key in changed)
            + "."
        )
    return df


def _changed(df: DataFrame, texts: Sequence[str]) -> dict[str, str]:
    """Return the settings of a DataFrame's session that change what the texts mean."""
    plain = dict(_PLAIN)
    if any("${" in text for text in texts):
        # In a column's name: our literals have no dollar sign.
        plain["spark.sql.variable.substitute"] = "false"
    conf = df.sparkSession.conf
    held = conf.getAll if is_connect(df) else {key: conf.get(key, None) for key in plain}
    # What is not set is as we need it, but for the substitution of variables.
    found = {key: str(held.get(key) or _DEFAULTS.get(key, plain[key])).lower() for key in plain}
    return {key: value for key, value in found.items() if value != plain[key]}
