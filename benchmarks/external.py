"""What do fit and predict cost where neither the object store nor a worker can hold the rows?

The store has room for a third of the rows; Ray spills the others to disk. A worker holds its rows
as XGBoost's bins or as tensors, or keeps those in files and reads them again in each round or
epoch. All get the same DataFrame of single-precision numbers, made anew by Spark's tasks each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Contender, Table, Target
from benchmarks.memory import LARGEST, LEAST_STORE, watched
from benchmarks.options import Options
from benchmarks.regression_data import LABEL, PARAMS
from benchmarks.spark import garbage_collector, partitions, session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS, QUICK_ROWS = 10_000_000, 20_000
WIDTH = 20
STORE_BYTES = 300 << 20
HELD, EXTERNAL = "in memory", "external memory"
_WORKER_MB = 400
_R2, _TIMES = 0.002, 2.5
_REPEAT = 2  # of jobs of minutes


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Watch both ways, of trees and of a network."""
    rows = options.rows_or(ROWS, QUICK_ROWS)
    store = LEAST_STORE if options.quick else STORE_BYTES
    (mode,) = options.modes or ("local",)
    few = replace(options, repeat=min(options.repeat, _REPEAT))
    tables = []
    with session(options, mode, cpus=options.workers, store=store) as spark:
        held_out = _frame(spark, 20_000, 1000).toPandas()
        df = _frame(spark, rows, 0)
        settle = garbage_collector(spark)
        for name, make in (("XGBRegressor", _trees), ("TorchRegressor", _network)):
            contenders = [
                _contender(how, make(options, how == EXTERNAL), df, held_out)
                for how in (HELD, EXTERNAL)
            ]
            mb = rows * (WIDTH + 1) * 4 / 1e6
            size = f"{rows:,} rows x {WIDTH + 1} floats ({mb:,.0f} MB)"
            title = f"{name}: {size}, store {store >> 20} MiB"
            tables.append(Table(title, [watched(one, few, settle) for one in contenders]))
    return tables, targets(*tables)


def _frame(spark: SparkSession, rows: int, seed: int) -> DataFrame:
    made = spark.range(0, rows, 1, 2 * partitions(spark)).selectExpr(
        *[f"float(rand({seed + index})) AS x{index}" for index in range(WIDTH)]
    )
    signal = "10 * sin(3.14159 * x0 * x1) + 20 * pow(x2 - 0.5, 2) + 10 * x3 + 5 * x4"
    return made.selectExpr("*", f"float({signal}) AS {LABEL}")


def _trees(options: Options, external: bool) -> Callable[[], Any]:
    def make() -> Any:
        from raydp_ml.xgboost import XGBRegressor

        return XGBRegressor(
            **{**PARAMS, "n_estimators": 20}, num_workers=options.workers, external_memory=external
        )

    return make


def _network(options: Options, external: bool) -> Callable[[], Any]:
    def make() -> Any:
        from raydp_ml.torch import TorchRegressor

        return TorchRegressor(
            hidden_layer_sizes=(32,),
            max_epochs=1,
            batch_size=4096,
            random_state=0,
            num_workers=options.workers,
            external_memory=external,
        )

    return make


def _contender(name: str, make: Callable[[], Any], df: DataFrame, held_out: Any) -> Contender:
    rows = df.count()

    def run() -> Any:
        model = make().fit(df, LABEL)
        (mean,) = model.predict(df).selectExpr("avg(prediction)").first()
        return model, mean

    def check(result: Any) -> dict[str, Any]:
        model, mean = result
        return {"rows": rows, "held-out R²": model.score(held_out, LABEL), "mean": mean}

    return Contender(name, run, check)


def targets(trees: Table, network: Table) -> list[Target]:
    """External memory is little worse, not much slower, and small."""
    found = []
    for table in (trees, network):
        name = table.title.partition(":")[0]
        held, external = table.rows
        lost = held.facts["held-out R²"] - external.facts["held-out R²"]
        ratio = external.median / held.median
        found += [
            Target(f"{name}: R² lost by external memory", lost, _R2),
            Target(f"{name}: times the time in memory", ratio, _TIMES),
            Target(f"{name}: largest worker, MB", external.facts[LARGEST], _WORKER_MB),
        ]
    return found
