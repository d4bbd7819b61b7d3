"""The plots of the package shap take what `shap_explanation` makes."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import functions as sql

from raydp_ml.exceptions import SchemaError
from raydp_ml.inspection import shap_explanation
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

shap = pytest.importorskip("shap")
mpl.use("Agg")
ROWS = 80


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"row": range(ROWS), "a": rng.normal(size=ROWS)})
    frame["b"] = np.where(rng.random(ROWS) < 0.1, np.nan, rng.random(ROWS))
    frame["kind"] = rng.choice(["u", "v"], ROWS)
    frame["y"] = frame.a + np.nan_to_num(frame.b) * (frame.kind == "u")
    return frame


@pytest.fixture(scope="module")
def df(spark, rows):
    return spark.createDataFrame(rows).coalesce(1).sort("row").cache()


def test_a_regressor_explained_as_by_shap_itself(rows, df):
    X = rows[["a", "b"]]
    model = XGBRegressor(n_estimators=10).fit(X, rows.y)
    expected = shap.TreeExplainer(model.get_booster())(X)
    for data in (df, X):
        found = shap_explanation(model, data)
        assert found.feature_names == ["a", "b"]
        assert_allclose(found.values, expected.values, atol=1e-5)
        assert_allclose(found.base_values, expected.base_values, atol=1e-5)
        assert_allclose(found.data, X.to_numpy())
    shap.plots.beeswarm(found, show=False)
    shap.plots.waterfall(found[0], show=False)


def test_classes_are_the_last_axis(rows, df):
    X = rows[["a", "b", "kind"]]
    model = XGBClassifier(n_estimators=3, enable_categorical=True)
    model.fit(X, np.digitize(rows.y, [0, 0.7]))
    found, in_memory = shap_explanation(model, df), shap_explanation(model, X)
    assert found.shape == (ROWS, 3, 3)
    assert_allclose(found.values, in_memory.values, atol=1e-6)
    assert_allclose(found.values, np.moveaxis(model.explain(X), 1, -1)[:, :-1], atol=1e-6)
    assert found.base_values.shape == (ROWS, 3)
    assert found.data[:, 2].tolist() == in_memory.data[:, 2].tolist() == rows.kind.tolist()
    shap.plots.bar(found[..., 1], show=False)


def test_vectors_are_several_features(df):
    vectors = df.select("y", sql.array("a", "y").alias("v"))
    model = XGBRegressor(n_estimators=2, num_workers=0).fit(vectors, "y")
    found = shap_explanation(model, vectors)
    assert found.feature_names == ["v_0", "v_1"]
    assert found.data.shape == found.values.shape == (ROWS, 2)


def test_more_rows_than_are_collected(rows, df):
    model = XGBRegressor(n_estimators=2).fit(rows[["a"]], rows.y)
    with pytest.raises(SchemaError, match="more than 79 rows"):
        shap_explanation(model, df, max_rows=79)
    assert len(shap_explanation(model, df, max_rows=80).values) == ROWS
    with pytest.raises(SchemaError, match="has no rows"):
        shap_explanation(model, df.limit(0))
