"""``survival:aft`` beside xgboost.train with the bounds of the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

AFT = {"objective": "survival:aft", "aft_loss_distribution": "logistic", "n_estimators": 8}
AFT |= {"max_depth": 3, "random_state": 0, "n_jobs": 1}
NAMES = ["a", "b"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(np.round(rng.normal(size=(300, 2)) * 4) / 4, columns=NAMES)
    time = np.exp(made.a + 0.3 * rng.normal(size=300))
    seen = rng.random(300) < 0.6
    return made.assign(lower=time, upper=np.where(seen, time, np.inf), w=rng.integers(1, 4, 300))


def by_hand(frame, weighted=False):
    def matrix(rows, ref=None):
        made = xgboost.QuantileDMatrix(rows[NAMES], nthread=1, ref=ref)
        made.set_info(label_lower_bound=rows.lower, label_upper_bound=rows.upper)
        if weighted:
            made.set_weight(rows.w)
        return made

    train = matrix(frame)
    valid = matrix(frame[:100], train)
    params = {"aft_loss_distribution": "logistic", "max_depth": 3, "seed": 0, "nthread": 1}
    scores = {}
    booster = xgboost.train(
        {**params, "objective": "survival:aft"},
        train,
        8,
        evals=[(valid, "validation_0")],
        evals_result=scores,
    )
    return booster.predict(xgboost.DMatrix(frame[NAMES])), scores["validation_0"]["aft-nloglik"]


@pytest.mark.parametrize("how", ["names", "array", "pandas"])
def test_in_memory(frame, how):
    expected, scores = by_hand(frame)
    model = XGBRegressor(**AFT)
    X, bounds = frame[NAMES], frame[["lower", "upper"]]
    if how == "names":
        whole = frame.drop(columns="w")
        pair = ["lower", "upper"]
        model.fit(whole, pair, eval_set=[(whole[:100], pair)])
        assert model.feature_names_in_.tolist() == NAMES
        assert_array_equal(model.predict(whole), expected)
    elif how == "array":
        model.fit(X.to_numpy(), bounds.to_numpy(), eval_set=[(X[:100].to_numpy(), bounds[:100])])
        X = X.to_numpy()
    else:
        model.fit(X, bounds, eval_set=[(X[:100], bounds[:100])])
    assert_array_equal(model.predict(X), expected)
    assert_allclose(model.evals_result_["validation_0"]["aft-nloglik"], scores, rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", ["names", "array"])
def test_on_spark(spark, frame, workers, how):
    expected, scores = by_hand(frame, weighted=True)
    df = spark.createDataFrame(frame.assign(place=range(300))).repartition(3)
    df = raydp_ml.set_roles(df, sample_weight="w", ignore=["place"])
    label, data = ["lower", "upper"], df
    if how == "array":
        label, data = "bounds", df.selectExpr(*NAMES, "w", "place", "array(lower, upper) bounds")
    valid = data.filter("place < 100")
    model = XGBRegressor(**AFT, num_workers=workers).fit(data, label, eval_set=[valid])
    assert model.feature_names_in_.tolist() == NAMES
    assert_allclose(model.evals_result_["validation_0"]["aft-nloglik"], scores, rtol=1e-4)
    made = model.predict(data).toPandas().sort_values("place")["prediction"]
    assert_allclose(made, expected, rtol=1e-3)
    assert_array_equal(made, model.predict(frame[NAMES]))
    with pytest.raises(TypeError, match="no R² of objective='survival:aft'"):
        model.score(data, "a")
    if how == "names" and workers == 1:
        model.fit(data, label, eval_set=[(valid, label), data])
        assert len(model.evals_result_) == 2


def test_bad_input(frame):
    X, bounds = frame[NAMES], frame[["lower", "upper"]].to_numpy()
    model = XGBRegressor(**AFT)
    for wrong, what in (
        (bounds[:, ::-1], "infinite, .* with a lower bound above the upper one"),
        (-bounds, "300 negative"),
        (np.full_like(bounds, np.nan), "600 NaN|300 NaN"),
    ):
        with pytest.raises((SchemaError, ValueError), match=f"{what}|contains NaN"):
            model.fit(X, wrong)
    with pytest.raises(SchemaError, match="single values, and this objective learns from lists"):
        model.fit(X, frame.lower)
    with pytest.raises(SchemaError, match="lists of 3 numbers"):
        model.fit(X, np.column_stack([bounds, frame.a]))
    with pytest.raises(SchemaError, match=r"no column 'uper', .*Did you mean 'upper'"):
        model.fit(frame, ["lower", "uper"])
    with pytest.raises(InvalidParameterError, match="Take XGBRegressor"):
        XGBClassifier(objective="survival:aft").fit(X, frame.w)
