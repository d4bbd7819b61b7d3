"""What the transformers cost in Spark: jobs of a fit, stages and workers of a transform."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import contextmanager

import numpy as np
import pytest
from sklearn.base import clone

from raydp_ml import set_roles
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold
from raydp_ml.impute import MissingIndicator, SimpleImputer
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

QUERIES = [
    (Binarizer(), 0),
    (Normalizer(), 0),
    (PolynomialFeatures(), 0),
    (StandardScaler(), 1),
    (MinMaxScaler(), 1),
    (MaxAbsScaler(), 1),
    (SimpleImputer(), 1),
    (SimpleImputer(strategy="most_frequent"), 1),
    (MissingIndicator(), 1),
    (VarianceThreshold(), 1),
    (SelectKBest(k=2), 1),
    (OneHotEncoder(), 1),
    (OrdinalEncoder(), 1),
    (KBinsDiscretizer(strategy="uniform"), 1),
    (SplineTransformer(), 1),
    (PCA(), 1),
    (TruncatedSVD(), 1),
    # Exact quantiles need the counts first.
    (RobustScaler(), 2),
    (KBinsDiscretizer(encode="ordinal"), 2),
    (QuantileTransformer(n_quantiles=10), 2),
    (SimpleImputer(strategy="median"), 2),
    # The label's classes, and whether it has parts, come before the sums.
    (TargetEncoder(), 3),
]


@pytest.fixture(scope="module")
def df(spark):
    columns = [f"round(rand({i}) * 9, 1) AS c{i}" for i in range(4)]
    made = spark.range(200, numPartitions=2).selectExpr(*columns, "id % 3 AS y").coalesce(1)
    return set_roles(made.cache(), label="y")


@contextmanager
def job_ids(spark):
    """Collect the Spark jobs of a ``with`` block."""
    context = spark.sparkContext
    group = f"jobs {np.random.default_rng().integers(1 << 40)}"
    found = []
    context.setJobGroup(group, "")
    yield found
    context.setLocalProperty("spark.jobGroup.id", None)
    found += context.statusTracker().getJobIdsForGroup(group)


@pytest.mark.parametrize(("transformer", "queries"), QUERIES, ids=lambda item: str(item)[:40])
def test_jobs_of_a_fit(spark, df, transformer, queries):
    df.count()
    with job_ids(spark) as jobs:
        clone(transformer).fit(df)
    # Adaptive execution shows each of the two stages of an aggregation as a job of its own.
    assert queries <= len(jobs) <= 2 * queries + (queries == 2)


def test_jobs_of_a_search_for_powers(spark, df):
    with job_ids(spark) as jobs:
        PowerTransformer().fit(df)
    assert len(jobs) <= 2 * 8


@pytest.mark.parametrize("count", [3, 400])
def test_many_columns_cost_one_job(spark, count):
    columns = [f"rand({i}) AS c{i}" for i in range(count)]
    wide = spark.range(50, numPartitions=1).selectExpr(*columns).cache()
    wide.count()
    with job_ids(spark) as jobs:
        scaler = StandardScaler().fit(wide)
    assert len(jobs) <= 2
    made = scaler.transform(wide)
    rows = made.toPandas()
    assert np.allclose(rows.mean(), 0)
    assert np.allclose(rows.std(ddof=0), 1)


def test_a_pipeline_transforms_in_one_stage(spark, df):
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    pipe = make_pipeline(
        ColumnTransformer(
            [
                ("scaled", scaled, ["c0", "c1", "c2"]),
                ("bins", KBinsDiscretizer(3, encode="onehot-dense"), ["c3"]),
            ]
        ),
        PolynomialFeatures(include_bias=False),
        RobustScaler(),
        QuantileTransformer(n_quantiles=5),
        PCA(2),
    )
    made = pipe.fit(df).transform(df)
    plan = made._jdf.queryExecution().executedPlan().toString()
    assert "Python" not in plan
    assert "Exchange" not in plan
    with job_ids(spark) as jobs:
        made.write.format("noop").mode("overwrite").save()
    assert len(jobs) == 1
    status = spark.sparkContext.statusTracker()
    assert len(status.getJobInfo(jobs[0]).stageIds) == 1


@pytest.mark.slow
def test_no_rows_reach_the_driver():
    """With room for 100 kB of results, transformers fit 8 MB of rows."""
    script = """
        from pyspark.sql import SparkSession
        from raydp_ml.decomposition import PCA
        from raydp_ml.feature_selection import SelectKBest
        from raydp_ml.impute import SimpleImputer
        from raydp_ml.preprocessing import *
        spark = (
            SparkSession.builder.master("local[2]").config("spark.driver.maxResultSize", "100k")
            .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.memory", "1g").getOrCreate()
        )
        df = spark.range(200_000, numPartitions=2).selectExpr(
            "rand(1) AS a", "rand(2) AS b", "id % 7 AS k", "string(id % 5) AS s", "id % 3 AS y"
        ).cache()
        try:
            df.collect()
            raise SystemExit("the limit does not hold")
        except Exception as error:
            assert "maxResultSize" in str(error), error
        numbers = df.select("a", "b", "k", "y")
        for step in (
            StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), PCA(2),
            KBinsDiscretizer(), QuantileTransformer(n_quantiles=100), PowerTransformer(),
            SplineTransformer(), SimpleImputer(strategy="median"),
            SimpleImputer(strategy="most_frequent"), SelectKBest(k=1),
        ):
            step.fit(numbers, "y").transform(numbers).write.format("noop").mode("overwrite").save()
        for step in (OneHotEncoder(), OrdinalEncoder(), TargetEncoder()):
            some = df.select("k", "s", "y")
            step.fit(some, "y").transform(some).write.format("noop").mode("overwrite").save()
        print("done")
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.stdout.strip().endswith("done"), result.stderr[-2000:]
