"""Exchange of data between Spark and Ray's object store, as Arrow blocks."""

from __future__ import annotations

from raydp_ml.exchange.blocks import Blocks
from raydp_ml.exchange.blocks_to_spark import to_spark
from raydp_ml.exchange.spark_to_blocks import from_spark

__all__ = ["Blocks", "from_spark", "to_spark"]
