"""Parameters of XGBoost without a name of their own, judged by XGBoost before any data moves."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

X = np.random.default_rng(0).normal(size=(120, 3))
Y = np.abs(X[:, 0]) + X[:, 1] ** 2 + 1
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "reg:quantileerror", "quantile_alpha": 0.2},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]},
        {"objective": "reg:quantileerror", "quantile_alpha": np.array([0.2, 0.8])},
        {"objective": "reg:tweedie", "tweedie_variance_power": 1.3},
        {"objective": "reg:pseudohubererror", "huber_slope": 0.5},
        {"booster": "dart", "rate_drop": 0.5, "one_drop": True, "random_state": 3},
        {"booster": "gblinear", "updater": "coord_descent", "feature_selector": "greedy"},
        {"eta": 0.1, "lambda": 2, "alpha": 0.1, "min_split_loss": 0.01},
        {"seed": 5, "nthread": 1, "subsample": 0.5},
        {"max_cached_hist_node": 8},
        {"refresh_leaf": 0, "tree_method": "approx"},
    ],
)
def test_the_same_model_as_xgboosts_own_class(params):
    ours = XGBRegressor(n_estimators=4, **params).fit(X, Y)
    own = xgboost.XGBRegressor(n_estimators=4, **params).fit(X, Y)
    assert_array_equal(ours.predict(X), own.predict(X))
    assert_array_equal(ours.to_xgboost().predict(X), own.predict(X))


def test_classifier_and_ranker_take_them_too():
    params = {"n_estimators": 3, "eta": 0.2}
    own = xgboost.XGBClassifier(**params).fit(X, CLASSES)
    assert_allclose(
        XGBClassifier(**params).fit(X, CLASSES).predict_proba(X), own.predict_proba(X), atol=1e-7
    )
    # XGBoost's own class wants `num_class` for two classes, which fit can count.
    two = XGBClassifier(objective="multi:softprob", n_estimators=3).fit(X, CLASSES > 0)
    own = xgboost.XGBClassifier(objective="multi:softprob", num_class=2, n_estimators=3)
    wanted = own.fit(X, CLASSES > 0).predict_proba(X)
    assert_allclose(two.predict_proba(X), wanted, atol=1e-7)
    params |= {"lambdarank_pair_method": "mean", "lambdarank_num_pair_per_sample": 2}
    groups = np.arange(120) // 10
    ranker = XGBRanker(**params).fit(X, CLASSES, qid=groups)
    own = xgboost.XGBRanker(**params).fit(X, CLASSES, qid=groups)
    assert_array_equal(ranker.predict(X), own.predict(X))


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"max_dept": 3}, "XGBRegressor has no parameter 'max_dept'.*Did you mean 'max_depth'"),
        ({"num_worker": 3}, "no parameter 'num_worker'.*Did you mean 'num_workers'"),
        ({"tweedie_varianse_power": 1.2}, "Did you mean 'tweedie_variance_power'"),
        ({"eta": 0.1, "learning_rate": 0.3}, "two names of one parameter.*rate=0.3, eta=0.1"),
        ({"objective": "reg:tweedie", "tweedie_variance_power": 3}, "value 3 .*exceed bound"),
        ({"objective": "reg:squarederorr"}, "Unknown objective function: `reg:squarederorr`"),
        ({"objective": "reg:quantileerror"}, "quantile_alpha"),
        ({"eval_metric": "rmsee"}, "Unknown metric function rmsee"),
        ({"updater": "grow"}, "Unknown tree updater grow"),
        ({"process_type": "update"}, "can not be used to modify existing trees"),
        ({"device": "gpx"}, "Invalid argument for `device`"),
        ({"booster": "gblinear", "feature_selector": "greedy"}, "Unsupported feature selector"),
        ({"multi_strategy": "multi_output_tree", "tree_method": "approx"}, "Only the hist tree"),
        ({"base_score": 2.0, "objective": "binary:logistic"}, r"base_score must be in \(0,1\)"),
        ({"custom_objective": len}, r"\['custom_objective'\].*are functions"),
        ({"enable_categorical": True, "tree_method": "exact"}, "knows no categories"),
        ({"num_workers": 2, "tree_method": "exact"}, "one worker only.*num_workers=2"),
        ({"num_workers": 2, "booster": "gblinear"}, "one worker only.*num_workers=2"),
        ({"num_workers": 2, "objective": "survival:cox"}, "one worker only.*num_workers=2"),
        ({"num_workers": 2, "eval_metric": ["rmse", "ams@0.1"]}, "eval_metric='ams@0.1' with one"),
        ({"num_workers": 2, "eval_metric": "cox-nloglik"}, "'cox-nloglik' with one worker"),
        ({"num_workers": 2, "tree_method": "exact", "updater": "grow_colmaker"}, "one worker"),
    ],
)
def test_what_xgboost_refuses_is_told_before_the_data_is_looked_at(params, text):
    model = XGBRegressor(n_estimators=2, **params)  # as in XGBoost, only fit judges
    with pytest.raises(InvalidParameterError, match=text):
        model.fit("no data at all", Y)


def test_ranking_without_bias_is_for_one_worker():
    """Each worker would keep positions of its own, and the models part."""
    model = XGBRanker(lambdarank_unbiased=True, num_workers=2)
    with pytest.raises(InvalidParameterError, match="lambdarank_unbiased=True with one worker"):
        model.fit("no data", CLASSES, qid=CLASSES)


def test_functions_among_the_metrics_are_not_xgboosts_to_judge():
    def worst(y_true, y_pred):
        return np.abs(y_true - y_pred).max()

    model = XGBRegressor(n_estimators=2, eval_metric=["mae", worst]).fit(X, Y, eval_set=[(X, Y)])
    assert list(model.evals_result_["validation_0"]) == ["mae", "worst"]


def test_names_that_xgboost_may_know_later_pass_when_asked():
    model = XGBRegressor(n_estimators=2, of_next_year=1, validate_parameters=False, verbosity=0)
    assert model.fit(X, Y).get_params()["of_next_year"] == 1


def test_scikit_learns_tools_know_them(tmp_path):
    model = XGBRegressor(n_estimators=3, huber_slope=2.0, objective="reg:pseudohubererror")
    assert "huber_slope=2.0" in repr(model)
    assert "huber_slope" in model._repr_html_()
    for copy in (clone(model), pickle.loads(pickle.dumps(model))):
        assert copy.get_params() == pytest.approx(model.get_params(), nan_ok=True)
    other = clone(model).set_params(huber_slope=0.1, eta=0.7)
    assert (other.get_params()["huber_slope"], other.get_params()["eta"]) == (0.1, 0.7)
    assert model.get_params()["huber_slope"] == 2.0
    assert "eta" not in model.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'step'"):
        model.set_params(step__eta=1)
    other.fit(X, Y).save(tmp_path / "model")
    loaded = raydp_ml.load(tmp_path / "model")
    assert repr(loaded) == repr(other)
    assert_array_equal(loaded.predict(X), other.predict(X))


def test_a_grid_search_over_them():
    grid = {"xgbregressor__huber_slope": [0.1, 3.0], "xgbregressor__eta": [0.1, 0.5]}
    found = []
    for cls in (XGBRegressor, xgboost.XGBRegressor):
        name = {key.replace("xgbregressor", cls.__name__.lower()): v for key, v in grid.items()}
        pipe = make_pipeline(
            StandardScaler(), cls(n_estimators=3, objective="reg:pseudohubererror")
        )
        search = GridSearchCV(pipe, name, cv=2).fit(X, Y)
        found.append((search.best_params_, search.best_score_))
    assert found[0] == found[1]
