"""What does ``XGBRegressor.fit(spark_df, "y")`` cost beside plain xgboost and xgboost.spark?

All contenders get the same cached DataFrame, the same hyper-parameters and the same number of
threads, and their time is that of the whole call. A score on rows that none has seen stands beside
it: a fit that is fast and wrong is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost
from xgboost.spark import SparkXGBRegressor

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.xgboost import XGBRegressor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEATURES = [f"x{i}" for i in range(10)]
PARAMS: dict[str, Any] = {
    "n_estimators": 50,
    "max_depth": 6,
    "learning_rate": 0.3,
    "tree_method": "hist",
}
NOISE = 0.5
OURS, PLAIN, SPARK = "XGBRegressor.fit(spark_df)", "toPandas + xgboost", "xgboost.spark"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run the small and the large fit."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    small, large = 200, options.rows_or(1_000_000, 20_000)
    (mode,) = options.modes or ("local",)
    with session(options, mode) as spark:
        settle = garbage_collector(spark)
        held_out = _signal(spark, max(1000, large // 10), seed=1000).toPandas()
        tables = []
        for rows in (small, large):
            df = cached(_signal(spark, rows, seed=0))
            title = f"{rows:,} rows x {len(FEATURES)}, 50 rounds of depth 6"
            title += f", {options.workers} workers of 1 thread"
            tables.append(compare(title, _contenders(df, held_out, options), options, settle))
            df.unpersist()
    return tables, _targets(*tables)


def _signal(spark: SparkSession, rows: int, seed: int) -> DataFrame:
    """Uniform features, and a label of bends, steps and products of them with noise."""
    from pyspark.sql import functions as sql

    ids = spark.range(rows, numPartitions=partitions(spark))
    df = ids.select(*[sql.rand(seed + i).alias(name) for i, name in enumerate(FEATURES)])
    signal = (
        "10 * sin(3.14159 * x0 * x1) + 20 * pow(x2 - 0.5, 2) + 10 * x3 + 5 * x4"
        " + IF(x5 > 0.7, 3 * x6, 0)"
    )
    return df.withColumn("y", sql.expr(signal) + NOISE * sql.randn(seed + 99))


def _contenders(df: DataFrame, held_out: Any, options: Options) -> list[Contender]:
    X, y = held_out[FEATURES], held_out["y"].to_numpy()
    rows = df.count()

    def facts(predict: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
        def check(model: Any) -> dict[str, Any]:
            residual = y - predict(model)
            rmse = float(np.sqrt(np.mean(residual**2)))
            r2 = float(1 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2))
            return {"rows": rows, "held-out RMSE": rmse, "held-out R²": r2}

        return check

    def ours() -> Any:
        model = XGBRegressor(num_workers=options.workers, cpus_per_worker=1, **PARAMS)
        return model.fit(df, "y")

    def plain() -> Any:
        data: Any = df.toPandas()
        model = xgboost.XGBRegressor(n_jobs=options.workers, **PARAMS)
        return model.fit(data[FEATURES], data["y"])

    def spark() -> Any:
        model = SparkXGBRegressor(
            features_col=FEATURES,
            label_col="y",
            num_workers=options.workers,
            verbose=False,
            **PARAMS,
        )
        return model.fit(df)

    return [
        Contender(OURS, ours, facts(lambda model: model.predict(X))),
        Contender(PLAIN, plain, facts(lambda model: model.predict(X))),
        Contender(SPARK, spark, facts(lambda model: model.get_booster().inplace_predict(X))),
    ]


def _targets(small: Table, large: Table) -> list[Target]:
    ours = large[OURS].median
    return [
        Target("seconds of a fit of 200 rows", small[OURS].median, 0.4),
        Target("large fit takes, of toPandas + xgboost", ours / large[PLAIN].median, 1.5),
        Target(
            "large fit is times as fast as xgboost.spark",
            large[SPARK].median / ours,
            2,
            at_least=True,
        ),
        Target(
            "difference of held-out RMSE from plain xgboost",
            abs(large[OURS].facts["held-out RMSE"] / large[PLAIN].facts["held-out RMSE"] - 1),
            0.02,
        ),
    ]
