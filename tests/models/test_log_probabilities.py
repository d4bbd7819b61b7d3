"""`predict_log_proba`: the logarithms of the probabilities, in memory and in Spark."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from raydp_ml.exceptions import SchemaError
from raydp_ml.model_selection import FixedThresholdClassifier
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchClassifier
from raydp_ml.xgboost import XGBClassifier

MODELS = {
    "trees": XGBClassifier(n_estimators=3, num_workers=0, n_jobs=1),
    # Steps so large that shares become zero.
    "sure": XGBClassifier(n_estimators=2, learning_rate=1e5, num_workers=0, n_jobs=1),
    "network": TorchClassifier(max_epochs=2, num_workers=0, random_state=0),
}


@pytest.fixture(scope="module")
def df(spark):
    return spark.range(200).selectExpr("rand(1) AS a", "rand(2) AS b").selectExpr(
        "*", "concat('c', int(a * 3)) AS y"
    ).cache()  # fmt: skip


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", MODELS)
def test_in_memory_and_in_spark(df, name):
    model = MODELS[name].fit(df, "y")
    rows = df.toPandas()
    X = rows[["a", "b"]]
    with np.errstate(divide="ignore"):
        wanted = np.log(model.predict_proba(X))
    assert np.isinf(wanted).any() == (name == "sure")
    assert_array_equal(model.predict_log_proba(X), wanted)
    made = model.predict_log_proba(df)
    assert made.columns == [*df.columns, "log_probability"]
    found = np.stack(made.toPandas()["log_probability"].tolist())
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_pipeline_gives_its_columns_back(df):
    pipe = make_pipeline(StandardScaler(), MODELS["trees"]).fit(df, "y")
    made = pipe.predict_log_proba(df)
    assert made.columns == [*df.columns, "log_probability"]
    rows = made.toPandas()
    assert rows["a"].between(0, 1).all()
    wanted = pipe.predict_log_proba(rows[["a", "b"]])
    assert_allclose(np.stack(rows["log_probability"].tolist()), wanted, rtol=1e-5)


def test_a_threshold_changes_nothing(df):
    two = df.selectExpr("a", "b", "y = 'c0' AS y")
    model = FixedThresholdClassifier(MODELS["trees"], threshold=0.2)
    pipe = make_pipeline(StandardScaler(), model).fit(two, "y")
    made = pipe.predict_log_proba(two)
    assert made.columns == ["a", "b", "y", "log_probability"]
    found = np.stack(made.toPandas()["log_probability"].tolist())
    assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-6)


def test_a_column_of_that_name_is_left_alone(df):
    model = MODELS["trees"].fit(df, "y")
    with pytest.raises(SchemaError, match="already has a column 'log_probability'"):
        model.predict_log_proba(df.selectExpr("*", "1 AS log_probability"))
