"""What does a six-step preprocessing Pipeline cost beside pyspark.ml's and scikit-learn's?

Impute, scale, bin, one-hot, polynomial, PCA over the same cached DataFrame. A fit and a transform
are timed apart; what is transformed goes to Spark's noop sink. scikit-learn's time includes
``toPandas``. The share of variance that the first component explains stands beside the times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyspark.ml import Pipeline as SparkPipeline
from pyspark.ml import feature as spark_feature
from sklearn import compose as plain_compose
from sklearn import decomposition as plain_decomposition
from sklearn import impute as plain_impute
from sklearn import preprocessing as plain_preprocessing
from sklearn.pipeline import make_pipeline

from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from benchmarks.spark import cached, garbage_collector, partitions, session
from raydp_ml import compose, decomposition, impute, preprocessing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAMES = [f"x{i}" for i in range(20)]
BINNED, PRODUCTS = NAMES[:4], NAMES[4:7]
BINS, COMPONENTS = 5, 10
OURS, SPARK, PLAIN = "raydp_ml", "pyspark.ml", "toPandas + scikit-learn"


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run the fits, then the transforms."""
    rows = options.rows_or(5_000_000, 20_000)
    (mode,) = options.modes or ("local",)
    with session(options, mode) as spark:
        df = cached(_rows(spark, rows))
        settle = garbage_collector(spark)
        what = f"{rows:,} rows x {len(NAMES)}, 6 steps"
        fitted: dict[str, Any] = {}
        tables = [
            compare(f"fit: {what}", _fits(spark, df, rows, fitted), options, settle),
            compare(f"transform: {what}", _transforms(spark, df, rows, fitted), options, settle),
        ]
    return tables, _targets(*tables)


def _rows(spark: SparkSession, rows: int) -> DataFrame:
    """Normal values, some of them skewed, a twentieth missing."""
    from pyspark.sql import functions as sql

    def column(i: int) -> Any:
        value = sql.exp(sql.randn(i) / 2) if i % 3 == 0 else sql.randn(i) * (i + 1)
        return sql.when(sql.rand(100 + i) >= 0.05, value).alias(NAMES[i])

    ids = spark.range(rows, numPartitions=partitions(spark))
    return ids.select(*map(column, range(len(NAMES))))


def _pipeline(prep: Any, comp: Any, imp: Any, dec: Any) -> Any:
    """The same Pipeline of our classes or of scikit-learn's, which bear the same names."""
    bins = make_pipeline(
        prep.KBinsDiscretizer(BINS, encode="ordinal", subsample=None),
        prep.OneHotEncoder(sparse_output=False),
    )
    columns = comp.ColumnTransformer(
        [("bins", bins, BINNED), ("products", prep.PolynomialFeatures(), PRODUCTS)],
        remainder="passthrough",
    )
    steps = make_pipeline(imp.SimpleImputer(), prep.StandardScaler(), columns, dec.PCA(COMPONENTS))
    for _, step in steps.steps[:2]:
        step.set_output(transform="pandas")
    return steps


def _spark_pipeline() -> SparkPipeline:
    """pyspark.ml's nearest: it bins what is not scaled, and does not centre what PCA rotates."""
    filled = [f"{name}_filled" for name in NAMES]
    binned = [f"{name}_bin" for name in BINNED]
    hot = [f"{name}_hot" for name in BINNED]
    return SparkPipeline(
        stages=[
            spark_feature.Imputer(inputCols=NAMES, outputCols=filled),
            spark_feature.VectorAssembler(inputCols=filled, outputCol="all"),
            spark_feature.StandardScaler(inputCol="all", outputCol="scaled", withMean=True),
            spark_feature.QuantileDiscretizer(
                inputCols=filled[: len(BINNED)], outputCols=binned, numBuckets=BINS
            ),
            spark_feature.OneHotEncoder(inputCols=binned, outputCols=hot, dropLast=False),
            spark_feature.VectorSlicer(inputCol="scaled", outputCol="three", indices=[4, 5, 6]),
            spark_feature.PolynomialExpansion(inputCol="three", outputCol="products", degree=2),
            spark_feature.VectorSlicer(
                inputCol="scaled", outputCol="rest", indices=list(range(7, len(NAMES)))
            ),
            spark_feature.VectorAssembler(
                inputCols=[*hot, "products", "rest"], outputCol="features"
            ),
            spark_feature.PCA(inputCol="features", outputCol="components", k=COMPONENTS),
        ]
    )


def _fits(spark: SparkSession, df: DataFrame, rows: int, fitted: dict[str, Any]) -> list[Contender]:
    def keeping(name: str, run: Callable[[], Any]) -> Callable[[], Any]:
        def fit() -> Any:
            with _Jobs(spark) as jobs:
                fitted[name] = run()
            fitted[f"{name} jobs"] = jobs.count
            return fitted[name]

        return fit

    def facts(name: str, ratio: Callable[[Any], float]) -> Callable[[Any], dict[str, Any]]:
        return lambda model: {
            "rows": rows,
            "Spark jobs": fitted[f"{name} jobs"],
            "first ratio": float(ratio(model)),
        }

    ours = _pipeline(preprocessing, compose, impute, decomposition)
    plain = _pipeline(plain_preprocessing, plain_compose, plain_impute, plain_decomposition)
    runs = {
        OURS: (lambda: ours.fit(df), lambda m: m[-1].explained_variance_ratio_[0]),
        SPARK: (
            lambda: _spark_pipeline().fit(df),
            lambda m: m.stages[-1].explainedVariance[0],
        ),
        PLAIN: (lambda: plain.fit(df.toPandas()), lambda m: m[-1].explained_variance_ratio_[0]),
    }
    return [
        Contender(name, keeping(name, run), facts(name, ratio))
        for name, (run, ratio) in runs.items()
    ]


def _transforms(
    spark: SparkSession, df: DataFrame, rows: int, fitted: dict[str, Any]
) -> list[Contender]:
    def sunk(made: Callable[[], DataFrame]) -> Callable[[], Any]:
        def run() -> Any:
            result = made()
            with _Jobs(spark) as jobs:
                result.write.format("noop").mode("overwrite").save()
            return result, jobs.count

        return run

    def facts(seen: tuple[DataFrame, int]) -> dict[str, Any]:
        result, jobs = seen
        plan = result._jdf.queryExecution().executedPlan().toString()  # type: ignore[operator]
        return _first_component(result) | {"Spark jobs": jobs, "Python in plan": "Python" in plan}

    def in_memory() -> Any:
        return fitted[PLAIN].transform(df.toPandas())

    def plain_facts(result: Any) -> dict[str, Any]:
        return {"rows": len(result), "first variance": float(result[:, 0].var())}

    # The same single column of results as ours are columns: nothing else is asked of either.
    wanted = ["components"]
    return [
        Contender(OURS, sunk(lambda: fitted[OURS].transform(df)), facts),
        Contender(SPARK, sunk(lambda: fitted[SPARK].transform(df).select(wanted)), facts),
        Contender(PLAIN, in_memory, plain_facts),
    ]


def _first_component(df: DataFrame) -> dict[str, Any]:
    """Count the rows, and say how the first component varies: pyspark.ml's are not centred."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as sql

    name, kind = df.dtypes[0]
    first = vector_to_array(name)[0] if kind == "vector" else sql.col(name)
    rows, variance = df.agg(sql.count(first), sql.var_pop(first)).first() or (0, 0.0)
    return {"rows": rows, "first variance": variance}


class _Jobs:
    """Counts the Spark jobs of a ``with`` block."""

    _next = 0

    def __init__(self, spark: SparkSession) -> None:
        self._context = spark.sparkContext

    def __enter__(self) -> _Jobs:
        _Jobs._next += 1
        self._group = f"benchmark {_Jobs._next}"
        self._context.setJobGroup(self._group, "")
        return self

    def __exit__(self, *_: object) -> None:
        self._context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
        self.count = len(self._context.statusTracker().getJobIdsForGroup(self._group))


def _targets(fit: Table, transform: Table) -> list[Target]:
    return [
        Target(
            f"{what} is times as fast as pyspark.ml",
            table.ratio(SPARK, OURS),
            2,
            at_least=True,
        )
        for what, table in (("fit", fit), ("transform", transform))
    ]
