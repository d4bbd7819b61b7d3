"""What does ``XGBRegressor.fit(spark_df, "y")`` cost beside plain xgboost and xgboost.spark?

All contenders get the same cached DataFrame, the same hyper-parameters and the same number of
threads, and their time is that of the whole call. A fit is cold when it is the first of a fresh
session: Spark, Ray and the DataFrame are there, and no training process is. All others are warm. A
score on rows that none has seen stands beside each: a fit that is fast and wrong is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost
from xgboost.spark import SparkXGBRegressor

from benchmarks.harness import Contender, Measured, Table, Target, compare, turns
from benchmarks.options import Options
from benchmarks.processes import Usage
from benchmarks.regression_data import FEATURES, LABEL, PARAMS, regression_frame
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.xgboost import XGBRegressor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TINY = 200
SIZES, QUICK_SIZES = (100_000, 1_000_000, 10_000_000), (20_000,)
_MANY = 5_000_000
OURS, PLAIN, SPARK = "XGBRegressor.fit(spark_df)", "toPandas + xgboost", "xgboost.spark"
ONE = f"{OURS}, one worker"
"""With as many threads as the others have: what the default is on one node."""


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run the cold fits, then the tiny and the large warm ones."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    own = QUICK_SIZES if options.quick else SIZES
    sizes = (options.rows,) if options.rows else own
    (mode,) = options.modes or ("local",)
    tables = [_cold(options, mode)]
    with session(options, mode) as spark:
        settle = garbage_collector(spark)
        for rows in (TINY, *sizes):
            df = cached(_frame(spark, rows, seed=0))
            title = f"{rows:,} rows x {len(FEATURES)}, {_work(options)}"
            contenders = _contenders(df, _held_out(spark, rows), options)
            contenders.append(_one_worker(contenders[0], df, options.workers))
            # What takes minutes is warm after one round.
            long = rows > _MANY
            rounds = 1 if long else None
            tables.append(compare(title, contenders, options, settle, rounds, watch_warm_up=long))
            df.unpersist()
    return tables, targets(tables[0], tables[1], dict(zip(sizes, tables[2:], strict=True)))


def _work(options: Options) -> str:
    return f"50 rounds of depth 6, {options.workers} workers of 1 thread"


def _frame(spark: SparkSession, rows: int, seed: int) -> DataFrame:
    return regression_frame(spark, rows, seed, partitions(spark))


def _held_out(spark: SparkSession, rows: int) -> Any:
    return _frame(spark, min(max(1000, rows // 10), 200_000), seed=1000).toPandas()


def _cold(options: Options, mode: str) -> Table:
    """Time the first fit of one session after the other, each contender's in turn."""
    rows: dict[str, Measured] = {}
    for name in turns((OURS, PLAIN, SPARK), options.repeat, "first fit of a session"):
        with session(options, mode, fresh=True) as spark:
            df = cached(_frame(spark, TINY, seed=0))
            contenders = _contenders(df, _held_out(spark, TINY), options)
            contender = next(each for each in contenders if each.name == name)
            row = rows.setdefault(name, Measured(name))
            try:
                with Usage() as usage:
                    model = contender.run()
            except Exception as error:
                row.error = f"{type(error).__name__}: {error}"
                continue
            row.add(**usage.summary())
            row.facts = contender.check(model)
    note = "Each in a new session of Spark and Ray: training processes start within the time."
    return Table(f"Cold: {TINY} rows x {len(FEATURES)}, {_work(options)}", [*rows.values()], note)


def _contenders(df: DataFrame, held_out: Any, options: Options) -> list[Contender]:
    X, y = held_out[FEATURES], held_out[LABEL].to_numpy()
    rows = df.count()

    def facts(predict: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
        def check(model: Any) -> dict[str, Any]:
            residual = y - predict(model)
            rmse = float(np.sqrt(np.mean(residual**2)))
            r2 = float(1 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2))
            return {"rows": rows, "held-out RMSE": rmse, "held-out R²": r2}

        return check

    def ours() -> Any:
        return fit_ours(df, options.workers)

    def plain() -> Any:
        data: Any = df.toPandas()
        model = xgboost.XGBRegressor(n_jobs=options.workers, **PARAMS)
        return model.fit(data[FEATURES], data[LABEL])

    def spark() -> Any:
        model = SparkXGBRegressor(
            features_col=FEATURES,
            label_col=LABEL,
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


def _one_worker(like: Contender, df: DataFrame, threads: int) -> Contender:
    model = XGBRegressor(num_workers=1, cpus_per_worker=threads, **PARAMS)
    return replace(like, name=ONE, run=lambda: model.fit(df, LABEL))


def fit_ours(df: DataFrame, workers: int) -> XGBRegressor:
    """Train ours on so many workers of a thread each."""
    return XGBRegressor(num_workers=workers, cpus_per_worker=1, **PARAMS).fit(df, LABEL)


def targets(cold: Table, tiny: Table, large: dict[int, Table]) -> list[Target]:
    """What the project has set itself."""
    found = [
        Target("cold fit is times as fast as xgboost.spark", cold.ratio(SPARK, OURS), 1, True),
        Target(f"seconds of a fit of {TINY} rows", tiny.median(OURS), 0.4),
    ]
    for rows, table in large.items():
        found += [
            Target(f"{rows:,} rows: takes, of toPandas + xgboost", table.ratio(OURS, PLAIN), 1.5),
            Target(
                f"{rows:,} rows: one worker takes, of toPandas + xgboost",
                table.ratio(ONE, PLAIN),
                1.2,
            ),
            *(
                Target(f"{rows:,} rows: {who} times as fast as xgboost.spark", ratio, 2, True)
                for who, ratio in (
                    ("workers of a thread each are", table.ratio(SPARK, OURS)),
                    ("one worker is", table.ratio(SPARK, ONE)),
                )
            ),
            Target(
                f"{rows:,} rows: difference of held-out RMSE from plain xgboost",
                _difference(table),
                0.02,
            ),
        ]
    return found


def _difference(table: Table) -> float | None:
    errors = [table[name].facts.get("held-out RMSE") for name in (OURS, PLAIN)]
    return abs(errors[0] / errors[1] - 1) if all(errors) else None
