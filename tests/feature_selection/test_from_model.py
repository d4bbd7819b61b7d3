"""`SelectFromModel` in Spark, beside scikit-learn's around plain xgboost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from pyspark.ml.feature import VectorAssembler
from sklearn import feature_selection as plain
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_selection import SelectFromModel
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import PolynomialFeatures, StandardScaler
from raydp_ml.torch import TorchClassifier
from raydp_ml.xgboost import XGBClassifier

SMALL = {"n_estimators": 5, "max_depth": 3, "random_state": 0}


@pytest.fixture(scope="module")
def frame():
    X = load_breast_cancer(as_frame=True)
    made = X.data.iloc[:, :6].copy()
    made.columns = [f"c{i}" for i in range(5)] + ["dotted.name"]
    return made.assign(label=X.target, w=1.0 + np.arange(len(made)) % 3)


@pytest.fixture(scope="module")
def df(spark, frame):
    return spark.createDataFrame(frame).coalesce(1).cache()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"threshold": "0.5*median"},
        {"threshold": -np.inf, "max_features": 2},
        {"max_features": lambda X: X.shape[1] // 3},
        {"importance_getter": lambda model: 1 - model.feature_importances_},
    ],
    ids=["mean", "median", "most", "function", "getter"],
)
@pytest.mark.parametrize("prefit", [False, True])
def test_selection(df, frame, params, prefit):
    data, X = df.drop("w"), frame.drop(columns=["w", "label"])
    model, own_model = XGBClassifier(**SMALL), xgboost.XGBClassifier(**SMALL)
    if prefit:
        model.fit(data, "label")
        own_model.fit(X, frame.label)
    ours = SelectFromModel(model, prefit=prefit, **params).fit(data, "label")
    own = plain.SelectFromModel(own_model, prefit=prefit, **params).fit(X, frame.label)
    np.testing.assert_array_equal(ours.get_support(), own.get_support())
    np.testing.assert_allclose(ours.threshold_, own.threshold_, rtol=1e-6)
    names = list(own.get_feature_names_out())
    assert list(ours.get_feature_names_out()) == names
    assert ours.n_features_in_ == own.n_features_in_
    assert list(ours.feature_names_in_) == list(own.feature_names_in_)
    made = ours.transform(data)
    assert made.columns == [*names, "label"]
    np.testing.assert_array_equal(made.toPandas()[names], X[names])
    np.testing.assert_array_equal(ours.transform(X), X[names])
    pd.testing.assert_frame_equal(ours.set_output(transform="pandas").transform(X), X[names])
    assert ours.inverse_transform(made).columns == data.columns


def test_weights_and_pipelines(df, frame):
    X = frame.drop(columns=["w", "label"])
    pipe = make_pipeline(StandardScaler(), SelectFromModel(XGBClassifier(**SMALL)))
    own = plain.SelectFromModel(xgboost.XGBClassifier(**SMALL))
    own.fit(StandardScaler().fit_transform(X), frame.label)
    pipe.fit(df.drop("w"), "label")
    np.testing.assert_array_equal(pipe[-1].get_support(), own.get_support())
    ours = SelectFromModel(XGBClassifier(**SMALL)).fit(df, "label", sample_weight="w")
    own.fit(X, frame.label, sample_weight=frame.w)
    np.testing.assert_allclose(ours.threshold_, own.threshold_, rtol=1e-6)
    np.testing.assert_array_equal(ours.get_support(), own.get_support())
    assert ours.transform(df).columns[-2:] == ["label", "w"]


def test_vectors(df, frame):
    names = [f"c{i}" for i in range(5)]
    vectors = VectorAssembler(inputCols=names, outputCol="v").transform(df).select("v", "label")
    ours = SelectFromModel(XGBClassifier(**SMALL)).fit(vectors, "label")
    own = plain.SelectFromModel(xgboost.XGBClassifier(**SMALL)).fit(frame[names], frame.label)
    np.testing.assert_array_equal(ours.get_support(), own.get_support())
    made = ours.transform(vectors)
    assert made.columns == ["selectfrommodel", "label"]
    rows = np.array([row.toArray() for row in made.toPandas().selectfrommodel])
    np.testing.assert_array_equal(rows, frame[names].to_numpy()[:, own.get_support()])


def test_categories(spark):
    """A column of strings is one feature, and stays what it is."""
    df = spark.range(300).selectExpr(
        "rand(1) AS x", "if(rand(2) < 0.5, 'a', 'b') AS kind", "rand(3) AS noise"
    )
    df = df.selectExpr("*", "cast(kind = 'a' AS int) AS label").cache()
    model = XGBClassifier(enable_categorical=True, **SMALL)
    made = SelectFromModel(model).fit(df, "label").transform(df)
    assert made.schema == df.select("kind", "label").schema


def test_refusals(df):
    with pytest.raises(TypeError, match=r"Got LogisticRegression of sklearn"):
        SelectFromModel(LogisticRegression()).fit(df, "label")
    crossed = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    getter = "named_steps.xgbclassifier.feature_importances_"
    pipe = make_pipeline(crossed, XGBClassifier(**SMALL))
    with pytest.raises(SchemaError, match="28 importances, and was fitted on 7 features"):
        SelectFromModel(pipe, importance_getter=getter).fit(df, "label")
    arrays = df.selectExpr("array(c1, c2) AS a", "label")
    with pytest.raises(SchemaError, match="array"):
        SelectFromModel(XGBClassifier(**SMALL)).fit(arrays, "label")
    with pytest.raises(ValueError, match="importance_getter"):
        SelectFromModel(TorchClassifier(max_epochs=1)).fit(df, "label")
