"""What does ``model.predict(spark_df)`` cost beside xgboost.spark and a pandas UDF by hand?

All contenders hold the same booster and add its prediction as a column to the same cached
DataFrame; a time is that of the whole job, to a sink that throws the rows away. xgboost.spark is
measured on columns of numbers, its faster way, and on the vector column of pyspark.ml's
pipelines. The floor is the same UDF without a model: the rows' way to Python and back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import xgboost
from xgboost.spark import SparkXGBRegressor
from xgboost.spark.summary import XGBoostTrainingSummary

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.regression_data import FEATURES, LABEL, PARAMS, regression_frame
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.xgboost import XGBRegressor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SIZES, QUICK_SIZES = (1_000_000, 2_000_000, 5_000_000), (20_000,)
OURS, BY_HAND, FLOOR = "model.predict(spark_df)", "pandas UDF by hand", "floor: no model"
SPARK, SPARK_VECTOR = "xgboost.spark, columns", "xgboost.spark, a vector column"
VECTOR = "features"
PREDICTION = "prediction"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Predict frames of each size."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    own = QUICK_SIZES if options.quick else SIZES
    sizes = (options.rows,) if options.rows else own
    (mode,) = options.modes or ("local",)
    tables = []
    with session(options, mode) as spark:
        settle = garbage_collector(spark)
        train = regression_frame(spark, min(200_000, 10 * sizes[0]), 0, partitions(spark))
        model = XGBRegressor(num_workers=options.workers, cpus_per_worker=1, **PARAMS)
        model.fit(train, LABEL)
        for rows in sizes:
            df = cached(regression_frame(spark, rows, seed=1000, partitions=partitions(spark)))
            title = f"{rows:,} rows x {len(FEATURES)} doubles, cached; 50 trees of depth 6"
            tables.append(compare(title, _contenders(df, model), options, settle))
            df.unpersist()
    pairs = zip(sizes, tables, strict=True)
    return tables, [target for rows, table in pairs for target in targets(rows, table)]


def _contenders(df: DataFrame, model: XGBRegressor) -> list[Contender]:
    ways: dict[str, Callable[[], DataFrame]] = {
        OURS: lambda: model.predict(df),
        BY_HAND: lambda: predicted_by_hand(df, model.get_booster()),
        SPARK: lambda: spark_model(model, FEATURES).transform(df),
        SPARK_VECTOR: lambda: spark_model(model, VECTOR).transform(_with_vector(df)),
        FLOOR: lambda: through_python(df),
    }
    return [_contender(name, way) for name, way in ways.items()]


def _contender(name: str, way: Callable[[], DataFrame]) -> Contender:
    found: dict[str, Any] = {}  # the same of every run: looked at once

    def run() -> DataFrame:
        df = way()
        df.write.format("noop").mode("overwrite").save()
        return df

    def check(df: DataFrame) -> dict[str, Any]:
        if not found:
            found.update(facts(df) if name != FLOOR else {"rows": df.count()})
        return found

    return Contender(name, run, check)


def facts(df: DataFrame) -> dict[str, Any]:
    """Rows, R² and a checksum of the pairs of row and prediction, whatever their order."""
    from pyspark.sql import functions as sql

    pair = sql.xxhash64("x0", sql.round(PREDICTION, 4))
    residual, spread = sql.avg(sql.expr(f"pow({LABEL} - {PREDICTION}, 2)")), sql.var_pop(LABEL)
    (row,) = df.agg(sql.count("*"), 1 - residual / spread, sql.bit_xor(pair)).collect()
    return {"rows": row[0], "R²": row[1], "checksum": f"{row[2] % 2**64:016x}"}


def predicted_by_hand(df: DataFrame, booster: xgboost.Booster) -> DataFrame:
    """What one writes who needs the job done: a broadcast model, and an iterator of batches."""
    from pyspark.sql import functions as sql

    model = df.sparkSession.sparkContext.broadcast(bytes(booster.save_raw("ubj")))

    def predict(batches: Iterator[pd.DataFrame]) -> Iterator[pd.Series]:
        booster = xgboost.Booster(model_file=bytearray(model.value))
        booster.set_param({"nthread": 1})
        for batch in batches:
            yield pd.Series(booster.inplace_predict(batch, validate_features=False))

    udf: Any = sql.pandas_udf(predict, "double")
    return df.withColumn(PREDICTION, udf(sql.struct(*FEATURES)))


def through_python(df: DataFrame) -> DataFrame:
    """Send the features to Python as Arrow, and one of them back."""
    from pyspark.sql import functions as sql

    def first(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            yield batch.field(0)

    arrow_udf: Any = sql.arrow_udf
    udf = arrow_udf(first, "double")
    return df.withColumn(PREDICTION, udf(sql.struct(*FEATURES)))


def spark_model(model: XGBRegressor, features: str | list[str]) -> Any:
    """Put a fitted booster into xgboost.spark's own model, with the calls that end its ``fit``."""
    booster = model.get_booster().copy()
    booster.set_param({"nthread": 1})  # as its tasks train: one for each CPU of a task
    estimator = SparkXGBRegressor(features_col=features, label_col=LABEL)
    genuine = estimator._convert_to_sklearn_model(booster.save_raw("json"), booster.save_config())
    wrapped = estimator._create_pyspark_model(genuine, XGBoostTrainingSummary())
    return estimator._copyValues(wrapped)


def _with_vector(df: DataFrame) -> DataFrame:
    from pyspark.ml.feature import VectorAssembler

    return VectorAssembler(inputCols=FEATURES, outputCol=VECTOR).transform(df)


def targets(rows: int, table: Table) -> list[Target]:
    """What the project has set itself, for a frame of so many rows."""
    faster = f"{rows:,} rows: predict is times as fast as xgboost.spark"
    return [
        Target(f"{faster} on columns", table.ratio(SPARK, OURS), 3, at_least=True),
        Target(f"{rows:,} rows: predict takes, of the UDF by hand", table.ratio(OURS, BY_HAND), 1),
    ]
