"""Columns that a Pipeline names for its last step reach it as they were."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from numpy.testing import assert_allclose
from sklearn import decomposition, preprocessing
from sklearn.compose import ColumnTransformer as PlainColumnTransformer
from sklearn.pipeline import make_pipeline

from raydp_ml.compose import ColumnTransformer, TransformedTargetRegressor
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import MinMaxScaler, PolynomialFeatures
from raydp_ml.xgboost import XGBRanker, XGBRegressor

PARAMS = {"n_estimators": 5, "max_depth": 3, "min_child_weight": 5.0, "random_state": 0}
FEATURES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def frame():
    generator = np.random.default_rng(0)
    made = pd.DataFrame(generator.normal(size=(400, 3)), columns=FEATURES)
    made["y"] = made["a"] + generator.normal(size=400)
    made["w"] = generator.integers(1, 9, 400) * 1.0
    made["m"] = generator.normal(size=400) * 5
    made["q"] = np.arange(400) // 20
    made["grade"] = generator.integers(0, 4, 400)
    return made


@pytest.fixture(scope="module")
def given(spark, frame):
    return lambda *names: spark.createDataFrame(frame[[*FEATURES, *names]]).repartition(3)


def remainder(cls, scaler):
    columns = [("scale", scaler, ["a"])]
    return cls(columns, remainder="passthrough", verbose_feature_names_out=False)


STEPS = {
    "scaler": (lambda: [MinMaxScaler()], lambda: [preprocessing.MinMaxScaler()]),
    "mixing": (
        lambda: [PolynomialFeatures(), PCA(4)],
        lambda: [preprocessing.PolynomialFeatures(), decomposition.PCA(4)],
    ),
    "columns": (
        lambda: [remainder(ColumnTransformer, MinMaxScaler())],
        lambda: [remainder(PlainColumnTransformer, preprocessing.MinMaxScaler())],
    ),
    "nested": (
        lambda: [make_pipeline(MinMaxScaler(), PCA(2))],
        lambda: [make_pipeline(preprocessing.MinMaxScaler(), decomposition.PCA(2))],
    ),
}


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("what", "column"), [("sample_weight", "w"), ("base_margin", "m")])
def test_a_column_for_the_model(given, frame, steps, what, column):
    ours, plain = STEPS[steps]
    model = make_pipeline(*ours(), XGBRegressor(**PARAMS))
    model.fit(given("y", column), "y", **{f"xgbregressor__{what}": column})
    expected = make_pipeline(*plain(), xgboost.XGBRegressor(**PARAMS))
    X = frame[FEATURES]
    expected.fit(X, frame["y"], **{f"xgbregressor__{what}": frame[column]})
    # (Without a margin, a model of either side begins at its base score.)
    assert_allclose(model.predict(X), expected.predict(X), rtol=1e-4, atol=1e-4)
    predicted = model.predict(given()).toPandas().sort_values("a")
    assert list(predicted) == [*FEATURES, "prediction"]
    assert_allclose(
        predicted["prediction"], expected.predict(X.sort_values("a")), rtol=1e-4, atol=1e-4
    )


def test_groups_of_a_ranking(given, frame):
    rows = given("grade", "q")
    model = make_pipeline(MinMaxScaler(), XGBRanker(**PARAMS))
    model.fit(rows, "grade", xgbranker__group="q")
    # Trees are the same whatever the scale of their features.
    expected = XGBRanker(**PARAMS).fit(rows, "grade", group="q")
    X = frame[FEATURES]
    assert_allclose(model.predict(X), expected.predict(X), rtol=1e-4, atol=1e-4)


def test_by_metadata_routing(given, frame):
    with sklearn.config_context(enable_metadata_routing=True):
        last = XGBRegressor(**PARAMS).set_fit_request(sample_weight=True)
        model = make_pipeline(MinMaxScaler(), last)
        model.fit(given("y", "w"), "y", sample_weight="w")
    expected = make_pipeline(preprocessing.MinMaxScaler(), xgboost.XGBRegressor(**PARAMS))
    X = frame[FEATURES]
    expected.fit(X, frame["y"], xgbregressor__sample_weight=frame["w"])
    assert_allclose(model.predict(X), expected.predict(X), rtol=1e-4, atol=1e-4)


def test_below_a_transformed_target(given, frame):
    inner = make_pipeline(MinMaxScaler(), XGBRegressor(**PARAMS))
    model = TransformedTargetRegressor(inner, func=np.exp, inverse_func=np.log)
    model.fit(given("y", "w"), "y", xgbregressor__sample_weight="w")
    expected = make_pipeline(preprocessing.MinMaxScaler(), xgboost.XGBRegressor(**PARAMS))
    X = frame[FEATURES]
    expected.fit(X, np.exp(frame["y"]), xgbregressor__sample_weight=frame["w"])
    assert_allclose(model.predict(X), np.log(expected.predict(X)), rtol=1e-4, atol=1e-4)


def test_a_transformer_that_asks_for_it_is_told(given):
    chosen = ColumnTransformer([("scale", MinMaxScaler(), ["a", "w"])], remainder="passthrough")
    model = make_pipeline(chosen, XGBRegressor(**PARAMS))
    with pytest.raises(SchemaError, match="'w'"):
        model.fit(given("y", "w"), "y", xgbregressor__sample_weight="w")
