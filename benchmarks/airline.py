"""How long is the way from Parquet of flights to the test's AUC, by GBM-perf's protocol?

100 trees of depth 10 with a learning rate of 0.1, on six categories and two numbers. All contenders
learn XGBoost's own categorical splits over the same dictionaries of strings, sorted: ours encodes
the strings on their way into the workers' matrices, pandas makes categories of them, and
xgboost.spark, which takes numbers only, gets the codes of a StringIndexer. A category that only the
test has is missing. All train on as many CPUs, each in the shape that it has by default: ours in
one worker of all of a node's CPUs, plain xgboost in threads, xgboost.spark in tasks of one CPU.

The parts of the way, as far as they can be told apart: `read`, Parquet into Spark's cache;
`exchange`, out of Spark (for xgboost.spark the indexer's fit: its rows move within `matrix`);
`matrix`, from there until training begins; `train`; `predict`, the test's probabilities, for plain
xgboost with its own ``toPandas``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.airline_contenders import OURS, PLAIN, SPARK, Job
from benchmarks.airline_data import Source, generated_flights, real_flights, records
from benchmarks.harness import Table, Target, compare, complete
from benchmarks.options import Options
from benchmarks.spark import garbage_collector, session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARAMS: dict[str, Any] = {"max_depth": 10, "learning_rate": 0.1, "tree_method": "hist"}
TREES, QUICK_TREES = 100, 10
SIZES, QUICK_SIZES = (1_000_000, 10_000_000), (10_000,)


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run the protocol on each source of flights."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    (mode,) = options.modes or ("local",)
    params = PARAMS | {"n_estimators": QUICK_TREES if options.quick else TREES}
    with TemporaryDirectory(prefix="raydp_ml-airline-") as name, session(options, mode) as spark:
        folder, settle = Path(name), garbage_collector(spark)

        def each_source() -> Iterator[Table]:
            for source in _sources(options, spark, folder):
                title = f"{source.name}: {params['n_estimators']} trees of depth 10"
                title += f", {options.workers} CPUs"
                job = Job(spark, source, folder / "begun", options.workers, params)
                yield compare(
                    title, job.contenders(), options, settle, warm_up=1, watch_warm_up=True
                )

        tables = complete(each_source())
    return tables, [target for table in tables for target in targets(table)]


def _sources(options: Options, spark: SparkSession, folder: Path) -> Iterator[Source]:
    if options.data is not None:
        yield records(Path(options.data).name, options.data, test_share=0.2)
        return
    if options.rows is None:
        yield real_flights(folder, days=3 if options.quick else 31)
    own = QUICK_SIZES if options.quick else SIZES
    for rows in (options.rows,) if options.rows else own:
        yield generated_flights(spark, rows, folder)


def targets(table: Table) -> list[Target]:
    """No slower than one process that can hold the data, twice xgboost.spark, and as good."""
    name = table.title.split(":")[0]
    aucs = [table[each].facts.get("test AUC") for each in (PLAIN, OURS)]
    behind = aucs[0] - aucs[1] if all(aucs) else None
    faster = table.ratio(SPARK, OURS)
    return [
        Target(f"{name}: takes, of toPandas + xgboost", table.ratio(OURS, PLAIN), 1),
        Target(f"{name}: times as fast as xgboost.spark", faster, 2, at_least=True),
        Target(f"{name}: test AUC behind plain xgboost's by", behind, 0.002),
    ]
