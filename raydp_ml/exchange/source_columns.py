"""A DataFrame with the columns of the one that it was made from."""

from __future__ import annotations

from typing import Any

from raydp_ml.exchange.jvm import java_object

__all__ = ["restored"]


def restored(made: Any, source: Any) -> Any:
    """Select all columns of `source`, and the last one of a DataFrame that was made from it.

    Returns
    -------
    pyspark.sql.DataFrame or None
        None where a step between the two, such as an aggregation, has no rows that the columns
        belong to, or our Java part cannot be used.
    """
    java = java_object(made.sparkSession, "columns.SourceColumns")
    jdf = java and java.restored(made._jdf, source._jdf)
    return None if jdf is None else type(made)(jdf, made.sparkSession)
