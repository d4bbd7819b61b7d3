"""SQL statements and ``pyspark.ml`` stages as steps of a scikit-learn Pipeline."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.sql import SQLTransformer


@pytest.fixture
def df(spark):
    return spark.createDataFrame([(1.0, 4.0), (2.0, 5.0), (6.0, 3.0)], ["a", "b"])


def test_sql(df):
    step = SQLTransformer("select *, a / b as `ratio{}`, '{x}' as text from __THIS__ where a < 3")
    made = clone(step).fit_transform(df)
    assert made.columns == ["a", "b", "ratio{}", "text"]
    assert [tuple(row) for row in made.collect()] == [
        (1.0, 4.0, 0.25, "{x}"),
        (2.0, 5.0, 0.4, "{x}"),
    ]
    with pytest.raises(ValueError, match=r"must be SQL in which __THIS__ is the DataFrame. Got 's"):
        SQLTransformer("select 1").fit(df)
    with pytest.raises(TypeError, match="takes a Spark DataFrame, since its SQL is Spark's"):
        step.transform(pd.DataFrame({"a": [1.0]}))


def test_stages_of_spark(df):
    from pyspark.ml.feature import Bucketizer, Imputer

    pipe = make_pipeline(
        SQLTransformer("select *, a * b as ab from __THIS__"),
        raydp_ml.spark_transformer(Imputer(inputCols=["a"], outputCols=["filled"])),
        raydp_ml.spark_transformer(
            Bucketizer(splits=[0.0, 2.0, 9.0], inputCol="a", outputCol="bin")
        ),
        StandardScaler(with_std=False),
    )
    made = clone(pipe).fit(df).transform(df)
    assert made.columns == ["a", "b", "ab", "filled", "bin"]
    assert [row["bin"] for row in made.collect()] == pytest.approx([-2 / 3, 1 / 3, 1 / 3])
    with pytest.raises(TypeError, match=r"takes an object that is a pyspark.ml Transformer"):
        raydp_ml.spark_transformer(StandardScaler())
    with pytest.raises(TypeError, match=r"takes an object that is a pyspark.ml Transformer"):
        raydp_ml.spark_transformer(Bucketizer)
    with pytest.raises(TypeError, match=r"A pyspark.ml Bucketizer takes a Spark DataFrame"):
        raydp_ml.spark_transformer(Bucketizer()).transform([[1.0]])
