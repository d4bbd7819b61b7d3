"""`TransformedTargetRegressor` in Spark, beside scikit-learn's around plain xgboost."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.preprocessing
import xgboost
from numpy.testing import assert_allclose
from sklearn import compose as plain
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import raydp_ml
from raydp_ml import preprocessing
from raydp_ml.compose import TransformedTargetRegressor
from raydp_ml.exceptions import SchemaError
from raydp_ml.pipeline import make_pipeline
from raydp_ml.xgboost import XGBRegressor

SMALL = {"n_estimators": 6, "max_depth": 3, "random_state": 0}
FEATURES = ["bmi", "bp", "s1", "s.5"]
LOGARITHM = {"func": np.log1p, "inverse_func": np.expm1}


@pytest.fixture(scope="module")
def frame():
    X = load_diabetes(as_frame=True)
    made = X.data.rename(columns={"s5": "s.5"})[FEATURES]
    return made.assign(y=X.target, w=1.0 + np.arange(len(made)) % 3)


@pytest.fixture(scope="module")
def df(spark, frame):
    return spark.createDataFrame(frame).coalesce(1).cache()


def both(**params):
    """Ours, and scikit-learn's around plain xgboost with its own transformer of that name."""
    own = dict(params)
    if "transformer" in own:
        kind = getattr(sklearn.preprocessing, type(own["transformer"]).__name__)
        own["transformer"] = kind(**own["transformer"].get_params())
    return (
        TransformedTargetRegressor(XGBRegressor(**SMALL), **params),
        plain.TransformedTargetRegressor(xgboost.XGBRegressor(**SMALL), **own),
    )


@pytest.mark.parametrize(
    "params",
    [
        LOGARITHM,
        {"func": np.sqrt, "inverse_func": np.square},
        {},
        {"transformer": preprocessing.StandardScaler()},
        {"transformer": preprocessing.PowerTransformer()},
        {"transformer": preprocessing.QuantileTransformer(n_quantiles=50, subsample=None)},
    ],
    ids=["log", "sqrt", "none", "scaler", "power", "quantiles"],
)
def test_target(df, frame, params):
    ours, own = both(**params)
    data, X = df.drop("w"), frame[FEATURES]
    ours.fit(data, "y")
    own.fit(X, frame.y)
    expected = own.predict(X)
    made = ours.predict(data)
    assert made.columns == [*data.columns, "prediction"]
    assert made.drop("prediction").schema == data.schema
    assert_allclose(made.toPandas().prediction, expected, rtol=1e-5)
    assert_allclose(ours.predict(X), expected, rtol=1e-5)
    assert ours.score(data, "y") == pytest.approx(own.score(X, frame.y), abs=1e-6)
    assert ours.n_features_in_ == own.n_features_in_
    assert list(ours.feature_names_in_) == list(own.feature_names_in_)
    assert set(vars(ours)) == set(vars(own))


def test_pipelines_roles_and_weights(df, frame):
    ours, own = both(**LOGARITHM)
    own.fit(frame[FEATURES], frame.y, sample_weight=frame.w)
    expected = own.predict(frame[FEATURES])
    roles = raydp_ml.set_roles(df, label="y", sample_weight="w")
    piped = make_pipeline(preprocessing.StandardScaler(), ours).fit(roles)
    inside = TransformedTargetRegressor(
        make_pipeline(preprocessing.StandardScaler(), XGBRegressor(**SMALL)), **LOGARITHM
    ).fit(roles)
    for model in (piped, inside):
        made = model.predict(roles)
        assert made.columns == [*df.columns, "prediction"]
        found = made.toPandas()
        assert_allclose(found.prediction, expected, rtol=1e-4)
        assert_allclose(found[list(frame.columns)], frame)  # as they were given
    assert inside.score(roles) == pytest.approx(
        own.score(frame[FEATURES], frame.y, sample_weight=frame.w), abs=1e-5
    )


@pytest.mark.parametrize("params", [LOGARITHM, {"transformer": preprocessing.StandardScaler()}])
def test_fitted_in_memory(df, frame, params):
    ours, _ = both(**params)
    ours.fit(frame[FEATURES], frame.y)
    made = ours.predict(df).toPandas()
    assert_allclose(made.prediction, ours.predict(frame[FEATURES]), rtol=1e-6)
    score = ours.score(frame[FEATURES], frame.y)
    named = frame[[*FEATURES, "y"]]
    assert_allclose(ours.fit(named, "y").predict(frame[FEATURES]), made.prediction, rtol=1e-6)
    assert_allclose(ours.score(named, "y"), score)


def _same(y):
    return y


def test_refusals(df):
    model = XGBRegressor(**SMALL)
    with pytest.raises(TypeError, match="LinearRegression of sklearn"):
        TransformedTargetRegressor(LinearRegression()).fit(df, "y")
    for refused in (sklearn.preprocessing.StandardScaler(), preprocessing.OneHotEncoder()):
        with pytest.raises(TypeError, match=f"one column.*Got {type(refused).__name__} instead"):
            TransformedTargetRegressor(model, transformer=refused).fit(df, "y")
    with pytest.raises(TypeError, match="func=<function"):
        TransformedTargetRegressor(model, func=_same, inverse_func=_same).fit(df, "y")
    with pytest.raises(ValueError, match="When 'func' is provided"):
        TransformedTargetRegressor(model, func=np.log).fit(df, "y")
    with pytest.raises(ValueError, match="y to be passed"):
        TransformedTargetRegressor(model).fit(df)
    with pytest.raises(SchemaError, match="column of numbers"):
        TransformedTargetRegressor(model).fit(df.selectExpr("bmi", "array(y) AS y"), "y")
    with pytest.warns(UserWarning, match="not strictly inverse"):
        TransformedTargetRegressor(model, func=np.log, inverse_func=np.expm1).fit(df, "y")
