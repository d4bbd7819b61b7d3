"""What does a grid search on a Spark DataFrame cost beside CrossValidator, scikit-learn, Ray Tune?

All contenders search the same candidates over the same cached DataFrame, and their time is that of
the whole call: rows fetched or exported, every fold of every candidate, the best one fitted again.
The best mean score over the folds stands beside each; folds differ, so that scores agree to their
spread only.
"""

from __future__ import annotations

import logging
import tempfile
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn.model_selection
import xgboost

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.model_selection import GridSearchCV
from raydp_ml.xgboost import XGBClassifier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS, QUICK_ROWS = 500_000, 2_000
FEATURES = [f"x{i}" for i in range(20)]
LABEL, VECTOR = "y", "features"
GRID: dict[str, list[Any]] = {
    "max_depth": [3, 4, 5, 6, 7, 8],
    "learning_rate": [0.1, 0.3],
    "subsample": [0.7, 1.0],
}
QUICK_GRID: dict[str, list[Any]] = {"max_depth": [3, 6]}
FOLDS = 3
TREES = {"n_estimators": 50, "random_state": 0}
OURS, IN_MEMORY = "GridSearchCV.fit(spark_df)", "toPandas + sklearn's GridSearchCV(n_jobs=2)"
SPARK, TUNE = "pyspark.ml's CrossValidator", "Ray Tune"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Search one grid."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    rows = options.rows_or(ROWS, QUICK_ROWS)
    grid = QUICK_GRID if options.quick else GRID
    count = int(np.prod([len(values) for values in grid.values()]))
    (mode,) = options.modes or ("local",)
    with session(options, mode) as spark:
        settle = garbage_collector(spark)
        df = cached(_frame(spark, rows))
        title = f"{count} candidates x {FOLDS} folds, 50 trees; {rows:,} rows x {len(FEATURES)}"
        contenders = _contenders(df, grid, options)
        table = compare(title, contenders, options, settle, warm_up=1, watch_warm_up=True)
    return [table], targets(table)


def _frame(spark: SparkSession, rows: int) -> DataFrame:
    from pyspark.sql import functions as sql

    ids = spark.range(rows, numPartitions=partitions(spark))
    df = ids.select(*[sql.rand(i).alias(name) for i, name in enumerate(FEATURES)])
    signal = "3 * sin(3.14159 * x0 * x1) + 6 * pow(x2 - 0.5, 2) + 2 * x3 + x4 - 4"
    chance = f"1 / (1 + exp(-({signal})))"
    return df.withColumn(LABEL, sql.expr(f"cast(rand(99) < {chance} AS int)"))


def _contenders(df: DataFrame, grid: dict[str, list[Any]], options: Options) -> list[Contender]:
    def check(found: tuple[float, Any]) -> dict[str, Any]:
        return {"best AUC over the folds": found[0], "depth": found[1]}

    def ours() -> tuple[float, Any]:
        search = GridSearchCV(XGBClassifier(**TREES), grid, scoring="roc_auc", cv=FOLDS)
        search.fit(df, LABEL)
        return search.best_score_, search.best_params_["max_depth"]

    def in_memory() -> tuple[float, Any]:
        data: Any = df.toPandas()
        search = sklearn.model_selection.GridSearchCV(
            xgboost.XGBClassifier(**TREES), grid, scoring="roc_auc", cv=FOLDS, n_jobs=2
        ).fit(data[FEATURES], data[LABEL])
        return search.best_score_, search.best_params_["max_depth"]

    return [
        Contender(OURS, ours, check),
        Contender(IN_MEMORY, in_memory, check),
        Contender(TUNE, lambda: _tuned(df, grid, options), check),
        Contender(SPARK, lambda: _cross_validated(df, grid, options), check),
    ]


def _cross_validated(
    df: DataFrame, grid: dict[str, list[Any]], options: Options
) -> tuple[float, Any]:
    from pyspark.ml.evaluation import BinaryClassificationEvaluator
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
    from xgboost.spark import SparkXGBClassifier

    model = SparkXGBClassifier(
        features_col=VECTOR, label_col=LABEL, num_workers=options.workers, verbose=False, **TREES
    )
    builder = ParamGridBuilder()
    for name, values in grid.items():
        builder = builder.addGrid(getattr(model, name), values)
    evaluator = BinaryClassificationEvaluator(labelCol=LABEL)
    search = CrossValidator(
        estimator=model, estimatorParamMaps=builder.build(), evaluator=evaluator, numFolds=FOLDS
    )
    found = search.fit(VectorAssembler(inputCols=FEATURES, outputCol=VECTOR).transform(df))
    best = int(np.argmax(found.avgMetrics))
    depth = list(product(*grid.values()))[best][0]
    return found.avgMetrics[best], depth


def _tuned(df: DataFrame, grid: dict[str, list[Any]], options: Options) -> tuple[float, Any]:
    from ray import tune

    data: Any = df.toPandas()
    rows = data[FEATURES].to_numpy(), data[LABEL].to_numpy()
    space = {name: tune.grid_search(values) for name, values in grid.items()}
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_parameters(_trial, rows=rows),  # which puts them into the store once
            param_space=space,
            tune_config=tune.TuneConfig(metric="auc", mode="max"),
            run_config=tune.RunConfig(verbose=0, storage_path=folder),
        )
        best = tuner.fit().get_best_result()
    xgboost.XGBClassifier(**TREES, **best.config, n_jobs=options.workers).fit(*rows)
    return best.metrics["auc"], best.config["max_depth"]


def _trial(config: dict[str, Any], rows: Any) -> dict[str, float]:
    X, y = rows
    model = xgboost.XGBClassifier(**TREES, **config, n_jobs=1)
    scores = sklearn.model_selection.cross_val_score(model, X, y, scoring="roc_auc", cv=FOLDS)
    return {"auc": float(scores.mean())}


def targets(table: Table) -> list[Target]:
    """What the project has set itself."""
    rivals = {SPARK: 8, IN_MEMORY: 1.3, TUNE: 3}
    return [
        Target(f"times as fast as {name}", table.ratio(name, OURS), least, at_least=True)
        for name, least in rivals.items()
    ]
