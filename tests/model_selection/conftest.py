"""One small data set: in Spark, and collected."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def df(spark):
    """600 rows: numbers, a category, a label of two and one of three classes, groups, dates."""
    made = spark.range(600).selectExpr(
        "rand(1) AS a",
        "rand(2) AS `b.c`",
        "if(rand(3) < 0.05, null, rand(4)) AS holes",
        "id",
        "cast(hash(id) % 9 AS int) AS shop",
        "date_add(date'2020-01-01', cast(id DIV 2 AS int)) AS day",
        "cast(pmod(hash(id, 7), 3) AS int) AS fold",
        "1 + cast(id % 3 AS double) AS w",
    )
    return made.selectExpr(
        "*",
        "if(a + `b.c` * coalesce(holes, 0.3) + 0.3 * rand(5) > 0.8, 'yes', 'no') AS y",
        "CASE WHEN a < 0.2 THEN 'x' WHEN a < 0.7 THEN 'y' ELSE 'z' END AS kind",
        "3 * a - `b.c` + 0.1 * rand(6) AS z",
    ).cache()


@pytest.fixture(scope="module")
def frame(df):
    return df.toPandas()
