"""What projections make of one DataFrame, next to each other in one projection a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydp_ml.exchange.jvm import JavaObject, as_frame, java_object

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["joined_projections", "only_projections", "sees_projections"]


def sees_projections(df: DataFrame) -> bool:
    """Tell whether our Java part can be used, which sees how a DataFrame was made."""
    return java_object(df.sparkSession, "columns.Projections") is not None


def only_projections(source: DataFrame, made: DataFrame) -> bool:
    """Tell whether nothing but projections lies between two DataFrames."""
    return bool(_projections(source).over(source, made))


def joined_projections(source: DataFrame, made: Sequence[DataFrame]) -> DataFrame:
    """Select all columns of `source`, then those of each DataFrame that projections made of it."""
    joined = _projections(source).joined(source, list(made))
    return as_frame(joined, source.sparkSession)


def _projections(df: DataFrame) -> JavaObject:
    java = java_object(df.sparkSession, "columns.Projections")
    assert java is not None
    return java
