"""A DataFrame with the columns of the one that it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_ml.exchange import connect_plans
from raydp_ml.exchange.jvm import as_frame, is_connect, java_object

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["restored"]


def restored(made: DataFrame, source: DataFrame) -> DataFrame | None:
    """Select all columns of `source`, and the last one of a DataFrame that was made from it.

    Returns
    -------
    pyspark.sql.DataFrame or None
        None where a step between the two, such as an aggregation, has no rows that the columns
        belong to, or our Java part cannot be used in a session that is none of Spark Connect.
    """
    if is_connect(made):
        return connect_plans.restored(made, source)
    java = java_object(made.sparkSession, "columns.SourceColumns")
    whole = java and java.restored(made, source)
    return None if whole is None else as_frame(whole, made.sparkSession)
