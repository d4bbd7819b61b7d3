"""Spark on Ray: start and stop the Spark session that the rest of the package works with.

Importing this package loads neither pyspark nor ray; ``init_spark`` does.
"""

from __future__ import annotations

from raydp_ml.session.lifecycle import init_spark, spark_session, stop_spark

__all__ = ["init_spark", "spark_session", "stop_spark"]
