"""What do the usual figures of a classifier cost beside pyspark.ml's evaluators and scikit-learn?

Area under the ROC curve, average precision, log loss and confusion matrix of a cached DataFrame of
labels, predictions and probabilities. Ours are one ``report``, and exact; pyspark.ml's areas are of
curves of 1000 bins and its loss and matrix passes of their own; scikit-learn's time includes
``toPandas``. The figures stand beside the times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sklearn import metrics as plain

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml.metrics import report

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

OURS, SPARK, PLAIN = "raydp_ml", "pyspark.ml", "toPandas + scikit-learn"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Compute the figures."""
    rows = options.rows_or(10_000_000, 20_000)
    (mode,) = options.modes or ("local",)
    with session(options, mode) as spark:
        df = cached(_rows(spark, rows))
        # pyspark.ml's evaluators take vectors, and are not charged with making them.
        vectors = cached(_with_vectors(df))
        title = f"4 figures: {rows:,} rows"
        settle = garbage_collector(spark)
        contenders = _contenders(df, vectors)
        table = compare(title, contenders, options, settle, warm_up=1)
    return [table], _targets(table)


def _rows(spark: SparkSession, rows: int) -> DataFrame:
    """Labels, and probabilities that know something of them; next to none of these are alike."""
    from pyspark.sql import functions as sql

    ids = spark.range(rows, numPartitions=partitions(spark))
    scored = ids.select((sql.rand(1) < 0.3).cast("double").alias("label"), sql.randn(2).alias("z"))
    probability = 1 / (1 + sql.exp(-(sql.col("z") + 1.5 * sql.col("label") - 1)))
    return scored.select("label", probability.alias("p")).select(
        "label", (sql.col("p") > 0.5).cast("double").alias("prediction"), "p"
    )


def _with_vectors(df: DataFrame) -> DataFrame:
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as sql

    both = array_to_vector(sql.array(1 - sql.col("p"), sql.col("p")))
    return df.select("label", "prediction", both.alias("probability"))


def _ours(df: DataFrame) -> dict[str, Any]:
    asked = ["roc_auc", "average_precision", "log_loss", "confusion_matrix"]
    return report(df, asked, y_score="p")


def _evaluated(df: DataFrame) -> dict[str, Any]:
    from pyspark.ml import evaluation

    areas = evaluation.BinaryClassificationEvaluator(rawPredictionCol="probability")
    several = evaluation.MulticlassClassificationEvaluator(metricName="logLoss")
    # The evaluators have no matrix: it is one groupBy.
    cells = df.groupBy("label", "prediction").count().collect()
    return {
        "roc_auc": areas.setMetricName("areaUnderROC").evaluate(df),
        "average_precision": areas.setMetricName("areaUnderPR").evaluate(df),
        "log_loss": several.evaluate(df),
        "confusion_matrix": [[_count(cells, y, p) for p in (0, 1)] for y in (0, 1)],
    }


def _count(cells: list[Any], y: int, p: int) -> int:
    return sum(cell["count"] for cell in cells if (cell["label"], cell["prediction"]) == (y, p))


def _in_memory(df: DataFrame) -> dict[str, Any]:
    rows = df.toPandas()
    return {
        "roc_auc": plain.roc_auc_score(rows["label"], rows["p"]),
        "average_precision": plain.average_precision_score(rows["label"], rows["p"]),
        "log_loss": plain.log_loss(rows["label"], rows["p"]),
        "confusion_matrix": plain.confusion_matrix(rows["label"], rows["prediction"]),
    }


def _facts(found: dict[str, Any]) -> dict[str, Any]:
    matrix = found["confusion_matrix"]
    return {
        "rows": int(sum(sum(row) for row in matrix)),
        "right": int(matrix[0][0] + matrix[1][1]),
        **{name: float(found[name]) for name in ("roc_auc", "average_precision", "log_loss")},
    }


def _contenders(df: DataFrame, vectors: DataFrame) -> list[Contender]:
    runs: dict[str, Callable[[], Any]] = {
        OURS: lambda: _ours(df),
        SPARK: lambda: _evaluated(vectors),
        PLAIN: lambda: _in_memory(df),
    }
    return [Contender(name, run, _facts) for name, run in runs.items()]


def _targets(table: Table) -> list[Target]:
    return [
        Target(f"report is times as fast as {rival}", table.ratio(rival, OURS), 3, at_least=True)
        for rival in (SPARK, PLAIN)
    ]
