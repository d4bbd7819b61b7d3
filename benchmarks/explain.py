"""What does ``model.explain(spark_df)`` cost beside xgboost.spark and a pandas UDF by hand?

All contenders hold the same booster of 100 trees of depth 6, and add the SHAP values of each row
to the same cached DataFrame; a time is that of the whole job, to a sink that throws the rows away.
xgboost.spark's ``pred_contrib_col`` comes with its prediction; it is measured on columns of
numbers, its faster way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
import xgboost

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.predict import spark_model
from benchmarks.regression_data import FEATURES, LABEL, PARAMS, regression_frame
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.xgboost import XGBRegressor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS, QUICK_ROWS = 1_000_000, 5_000
OURS, BY_HAND, SPARK = "model.explain(spark_df)", "pandas UDF by hand", "xgboost.spark, columns"
TREES = 100
CONTRIBUTIONS = "contributions"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Explain the predictions of one frame."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    rows = options.rows_or(ROWS, QUICK_ROWS)
    (mode,) = options.modes or ("local",)
    with session(options, mode) as spark:
        settle = garbage_collector(spark)
        train = regression_frame(spark, min(200_000, 10 * rows), 0, partitions(spark))
        params = {**PARAMS, "n_estimators": TREES}
        model = XGBRegressor(num_workers=options.workers, cpus_per_worker=1, **params)
        model.fit(train, LABEL)
        df = cached(regression_frame(spark, rows, seed=1000, partitions=partitions(spark)))
        title = f"{rows:,} rows x {len(FEATURES)} doubles, cached; {TREES} trees of depth 6"
        table = compare(
            title, _contenders(df, model), options, settle, warm_up=1, watch_warm_up=True
        )
        df.unpersist()
    return [table], targets(rows, table)


def _contenders(df: DataFrame, model: XGBRegressor) -> list[Contender]:
    ways: dict[str, Callable[[], DataFrame]] = {
        OURS: lambda: model.explain(df),
        BY_HAND: lambda: explained_by_hand(df, model.get_booster()),
        SPARK: lambda: explained_by_spark(df, model),
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
            found.update(facts(df))
        return found

    return Contender(name, run, check)


def facts(df: DataFrame) -> dict[str, Any]:
    """Rows, and the mean size of the contributions of two features and of the bias."""
    from pyspark.sql import functions as sql

    sizes = [
        sql.round(sql.avg(sql.abs(sql.element_at(CONTRIBUTIONS, place))), 4) for place in (1, 4, -1)
    ]
    (row,) = df.limit(2000).agg(sql.count("*"), *sizes).collect()
    return {"rows looked at": row[0], "|x0|": row[1], "|x3|": row[2], "|bias|": row[3]}


def explained_by_hand(df: DataFrame, booster: xgboost.Booster) -> DataFrame:
    """What one writes who needs the job done: a broadcast model, and an iterator of batches."""
    from pyspark.sql import functions as sql

    model = df.sparkSession.sparkContext.broadcast(bytes(booster.save_raw("ubj")))

    def explain(batches: Iterator[pd.DataFrame]) -> Iterator[pd.Series]:
        booster = xgboost.Booster(model_file=bytearray(model.value))
        booster.set_param({"nthread": 1})
        for batch in batches:
            matrix = xgboost.DMatrix(batch, nthread=1)
            values = booster.predict(matrix, pred_contribs=True, validate_features=False)
            yield pd.Series(list(values.astype(float)))

    udf: Any = sql.pandas_udf(explain, "array<double>")
    return df.withColumn(CONTRIBUTIONS, udf(sql.struct(*FEATURES)))


def explained_by_spark(df: DataFrame, model: XGBRegressor) -> DataFrame:
    """xgboost.spark's own model, asked for contributions, as arrays like the others'."""
    from pyspark.ml.functions import vector_to_array

    wrapped = spark_model(model, FEATURES)
    wrapped.set(wrapped.getParam("pred_contrib_col"), CONTRIBUTIONS)
    made = wrapped.transform(df)
    if made.schema[CONTRIBUTIONS].dataType.typeName() == "array":
        return made
    return made.withColumn(CONTRIBUTIONS, vector_to_array(CONTRIBUTIONS))


def targets(rows: int, table: Table) -> list[Target]:
    """What the project has set itself, for a frame of so many rows."""
    faster = f"{rows:,} rows: explain is times as fast as xgboost.spark's pred_contrib_col"
    return [Target(faster, table.ratio(SPARK, OURS), 3, at_least=True)]
