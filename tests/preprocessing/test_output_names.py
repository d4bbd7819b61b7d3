"""Output names that only differ in case, or not at all, and names with dots, quotes and spaces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn import preprocessing as plain
from sklearn.pipeline import make_pipeline

from raydp_ml.compose import ColumnTransformer
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from raydp_ml.preprocessing._names import distinct

CATEGORIES = ["usa", "USA", "fr", "usa", "Usa", "us.a`b c", "USA_2", "\u0130"]


@pytest.fixture(scope="module")
def df(spark):
    # The names of 'a' with 'b_c', and of 'a_b' with 'c' and 'C', are one.
    frame = pd.DataFrame({"c": CATEGORIES, "a": ["b_c", "x"] * 4, "a_b": ["c", "C", "c", "z"] * 2})
    frame["y"] = np.arange(8) % 3
    return spark.createDataFrame(frame).coalesce(1).cache()


def combined(feature, category):
    return f"{category} of {feature}"


@pytest.mark.parametrize("combiner", ["concat", combined])
def test_the_next_step_finds_them(df, combiner):
    frame = df.toPandas()
    params = {"sparse_output": False, "feature_name_combiner": combiner}
    want = plain.OneHotEncoder(**params).fit(frame[["c", "a", "a_b"]])
    means = plain.StandardScaler().fit(want.transform(frame[["c", "a", "a_b"]])).mean_
    pipe = make_pipeline(OneHotEncoder(**params), StandardScaler()).fit(df, "y")
    assert_allclose(pipe[-1].mean_, means)
    names = list(pipe[0].get_feature_names_out())
    assert names == distinct(want.get_feature_names_out()) == list(pipe[-1].feature_names_in_)
    got = pipe.transform(df)
    assert got.columns == [*names, "y"]
    scaled = got.drop("y").toPandas()
    # In memory, the same names are found, and the same numbers.
    pipe[0].set_output(transform="pandas")
    assert_allclose(scaled, pipe.transform(frame[["c", "a", "a_b"]]), atol=1e-12)
    back = pipe[0].inverse_transform(pipe[0].transform(df)).toPandas()
    assert back[["c", "a", "a_b"]].equals(frame[["c", "a", "a_b"]])
    chosen = ColumnTransformer([("one", OneHotEncoder(**params), ["c"])], remainder="drop")
    both = make_pipeline(chosen, StandardScaler()).fit(df, "y")
    assert_allclose(both[-1].mean_, means[:7])
    assert list(both[0].get_feature_names_out()) == [f"one__{name}" for name in names[:7]]


def test_names_of_an_encoder_fitted_in_memory_are_scikit_learns(df):
    X = df.toPandas()[["c"]]
    encoder = OneHotEncoder(sparse_output=False).fit(df.select("c"))
    assert "c_usa_4" in encoder.get_feature_names_out()
    encoder.fit(X)
    want = plain.OneHotEncoder().fit(X).get_feature_names_out()
    assert list(encoder.get_feature_names_out()) == list(want)
    with pytest.raises(SchemaError, match=r"The outputs \['c_USA', 'c_Usa', 'c_usa'\] bear names"):
        encoder.transform(df)
    halves = [(name, OneHotEncoder(sparse_output=False), [name]) for name in ("a", "a_b")]
    alike = ColumnTransformer(halves, verbose_feature_names_out=False)
    upper = df.selectExpr("upper(a) AS a", "a_b")
    with pytest.raises(SchemaError, match="verbose_feature_names_out=True"):
        alike.fit_transform(upper)


def test_where_spark_tells_case_apart_names_are_scikit_learns(df):
    spark = df.sparkSession
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        pipe = make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler())
        X = df.select("c")
        made = pipe.fit(X).transform(X)
        want = plain.OneHotEncoder().fit(X.toPandas()).get_feature_names_out()
        assert made.columns == list(want)
        assert made.toPandas().shape == (8, 7)
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_classes_in_names(df):
    X = df.drop("y")
    pipe = make_pipeline(TargetEncoder(), StandardScaler()).fit(X, "c")
    encoded = TargetEncoder().fit_transform(X, "c").toPandas().to_numpy()[:, 1:]
    assert_allclose(pipe[-1].mean_, encoded.astype(float).mean(axis=0))
    assert "a_usa_4" in pipe[-1].feature_names_in_


def test_distinct():
    assert distinct(["a", "B", "A", "A_2", "a", "b"]) == ["a", "B", "A_3", "A_2", "a_4", "b_2"]
