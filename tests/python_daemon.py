"""Spark's daemon of Python workers, with what their tasks import already imported.

A worker ends with its task where that does not read all of its rows (`limit`) or fails, as in many
tests, and each new one would import for two seconds; forked from this daemon, it has all.
"""

from __future__ import annotations

import pandas  # noqa: F401
import pyarrow  # noqa: F401
import pyspark.worker  # noqa: F401
import xgboost  # noqa: F401
from pyspark.daemon import manager

import raydp_ml.models.predicting
import raydp_ml.xgboost  # noqa: F401

if __name__ == "__main__":
    manager()
