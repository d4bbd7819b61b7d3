"""OptunaSearchCV beside a loop by hand: the same sampler, asked in rounds, and plain xgboost."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.stats
import sklearn.model_selection
import xgboost
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import estimator_checks

from raydp_ml.model_selection import (
    KFold,
    OptunaSearchCV,
    PredefinedSplit,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from tests.model_selection.test_faults import Recorder
from tests.model_selection.test_search import NUMBERS, SMALL, assert_same_results, plain

optuna = pytest.importorskip("optuna", reason="OptunaSearchCV needs the extra [optuna]")
pytestmark = pytest.mark.filterwarnings("ignore:The total space:UserWarning")

FAIL, COMPLETE = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.COMPLETE
SPACE = {
    "max_depth": optuna.distributions.IntDistribution(2, 6),
    "learning_rate": optuna.distributions.FloatDistribution(0.05, 0.8, log=True),
    "grow_policy": ["depthwise", "lossguide"],
}
# More than the ten that the sampler draws before it looks at scores.
TRIALS = {"n_trials": 13, "random_state": 7}


def sampler(seed=7):
    return optuna.samplers.TPESampler(seed=seed)


def by_hand(space, score, sizes, sampler):
    """Ask a study for rounds of candidates, and tell it what `score` makes of their parameters."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = {
        name: values
        if not isinstance(values, list)
        else optuna.distributions.CategoricalDistribution(values)
        for name, values in space.items()
    }
    for size in sizes:
        trials = [study.ask(space) for _ in range(size)]
        for trial in trials:
            study.tell(trial, score(trial.params))
    return study


def states(search):
    return [trial.state for trial in search.study_.trials]


# ------------------------------------------------------------------- candidates and scores


@pytest.mark.slow
@pytest.mark.parametrize("params", [{}, {"batch_size": 6}], ids=str)
def test_as_a_loop_by_hand(df, frame, params):
    folds = sklearn.model_selection.PredefinedSplit(frame.fold)

    def score(chosen):
        model = xgboost.XGBRegressor(**SMALL, **chosen)
        return sklearn.model_selection.cross_val_score(
            model, frame[NUMBERS], frame.z, cv=folds, scoring="neg_mean_absolute_error"
        ).mean()

    search = OptunaSearchCV(
        XGBRegressor(**SMALL),
        SPACE,
        cv=PredefinedSplit("fold"),
        scoring="neg_mean_absolute_error",
        **TRIALS,
        **params,
    ).fit(plain(df, "z"), "z")
    study = by_hand(SPACE, score, [6, 6, 1] if params else [4, 4, 4, 1], sampler())
    assert search.cv_results_["params"] == [trial.params for trial in study.trials]
    expected = [trial.value for trial in study.trials]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, atol=1e-6)
    assert [trial.params for trial in search.study_.trials] == search.cv_results_["params"]
    told = [trial.value for trial in search.study_.trials]
    assert told == search.cv_results_["mean_test_score"].tolist()
    assert search.best_params_ == study.best_params
    assert search.best_score_ == search.study_.best_value
    own = xgboost.XGBRegressor(**SMALL, **study.best_params).fit(frame[NUMBERS], frame.z)
    predicted = search.predict(plain(df, "z").drop("z")).toPandas().prediction
    np.testing.assert_allclose(predicted, own.predict(frame[NUMBERS]), atol=1e-6)


@pytest.mark.slow
def test_in_memory_as_on_spark(df, frame):
    space = {f"xgbregressor__{name}": values for name, values in SPACE.items()}
    params = {"return_train_score": True, **TRIALS}
    pipeline = make_pipeline(StandardScaler(), XGBRegressor(**SMALL))
    on_spark = OptunaSearchCV(pipeline, space, cv=PredefinedSplit("fold"), **params)
    on_spark.fit(plain(df, "z"), "z")
    folds = sklearn.model_selection.PredefinedSplit(frame.fold)
    for X in (frame[NUMBERS], frame[NUMBERS].to_numpy()):
        in_memory = OptunaSearchCV(pipeline, space, cv=folds, **params).fit(X, frame.z)
        assert_same_results(on_spark, in_memory, tolerance=1e-5)
        assert states(in_memory) == states(on_spark) == [COMPLETE] * 13
    # Nor does it matter how many fits run at a time.
    one = clone(on_spark).set_params(n_jobs=1).fit(plain(df, "z"), "z")
    assert_same_results(one, on_spark)


def test_results_are_those_of_a_grid_search(frame):
    """Of scikit-learn's, which is given the candidates that the study chose."""
    params = {
        "cv": 3,
        "scoring": ["r2", "neg_max_error"],
        "refit": "r2",
        "return_train_score": True,
    }
    ours = OptunaSearchCV(Ridge(), {"alpha": [0.1, 1, 10]}, n_trials=6, random_state=0, **params)
    ours.fit(frame[["a", "b.c"]], frame.z)
    chosen = [
        {name: [value] for name, value in each.items()} for each in ours.cv_results_["params"]
    ]
    own = sklearn.model_selection.GridSearchCV(Ridge(), chosen, **params)
    assert_same_results(ours, own.fit(frame[["a", "b.c"]], frame.z))


@pytest.mark.slow
def test_several_metrics(df, frame):
    data = plain(df, "y").selectExpr("*", "cast(y = 'yes' AS int) AS l").drop("y")
    search = OptunaSearchCV(
        XGBClassifier(**SMALL),
        SPACE,
        n_trials=6,
        cv=PredefinedSplit("fold"),
        scoring=["roc_auc", "neg_log_loss"],
        refit="neg_log_loss",
        random_state=0,
    ).fit(data, "l")
    told = [trial.value for trial in search.study_.trials]
    assert told == search.cv_results_["mean_test_neg_log_loss"].tolist()
    assert search.best_score_ == search.study_.best_value
    # None is named: each is an objective.
    search = clone(search).set_params(refit=False).fit(data, "l")
    told = [trial.values for trial in search.study_.trials]
    names = ("mean_test_roc_auc", "mean_test_neg_log_loss")
    assert told == np.transpose([search.cv_results_[name] for name in names]).tolist()
    assert search.study_.best_trials
    assert not hasattr(search, "best_estimator_")
    assert not hasattr(search, "best_index_")
    search.set_params(refit=lambda results: 2).fit(data, "l")
    assert search.best_params_ == search.study_.trials[2].params


def test_a_score_function(frame):
    X, y = frame[["a", "b.c"]], frame.z

    def one(model, X, y):
        return -np.abs(model.predict(X) - y).max()

    def several(model, X, y):
        return {"worst": one(model, X, y), "r2": model.score(X, y)}

    search = OptunaSearchCV(Ridge(), {"alpha": [0.1, 1]}, n_trials=4, scoring=one, random_state=0)
    search.fit(X, y)
    assert search.study_.best_value == search.best_score_
    search.set_params(scoring=several, refit="worst").fit(X, y)
    assert search.study_.best_value == search.cv_results_["mean_test_worst"].max()
    search.set_params(refit=False)
    with pytest.raises(ValueError, match=r"\['worst', 'r2'\].*refit must be its name"):
        search.fit(X, y)
    assert states(search) == [FAIL] * 4


def test_refit_is_false(df):
    search = OptunaSearchCV(
        XGBRegressor(**SMALL), SPACE, n_trials=2, cv=2, refit=False, random_state=0
    ).fit(plain(df, "z"), "z")
    assert not hasattr(search, "best_estimator_")
    assert search.best_params_ == search.study_.best_params
    assert len(search.cv_results_["params"]) == 2


# ------------------------------------------------------------------- the study


def test_a_study_is_gone_on_with(df, frame):
    study = optuna.create_study(direction="maximize", sampler=sampler(3))
    study.enqueue_trial({"max_depth": 5})
    search = OptunaSearchCV(
        XGBRegressor(**SMALL), SPACE, n_trials=3, cv=PredefinedSplit("fold"), study=study
    ).fit(plain(df, "z"), "z")
    assert search.study_ is study
    assert search.cv_results_["params"][0]["max_depth"] == 5
    search.fit(plain(df, "z"), "z")
    assert len(study.trials) == 6
    assert search.cv_results_["params"] == [trial.params for trial in study.trials[3:]]


def test_the_same_seed_is_the_same_search(frame):
    X, y = frame[["a", "b.c"]], frame.z
    space = {"alpha": optuna.distributions.FloatDistribution(1e-3, 10, log=True)}

    def found(random_state):
        search = OptunaSearchCV(Ridge(), space, n_trials=5, random_state=random_state)
        return search.fit(X, y).cv_results_["params"]

    assert found(1) == found(1) != found(2)
    assert found(np.random.RandomState(1)) == found(np.random.RandomState(1))
    assert found(None) != found(None)


def test_the_time_is_over(df, frame):
    space = {"alpha": optuna.distributions.FloatDistribution(1e-3, 10)}
    search = OptunaSearchCV(Ridge(), space, n_trials=100_000, timeout=1e-9, batch_size=3)
    search.fit(frame[["a", "b.c"]], frame.z)
    assert states(search) == [COMPLETE] * 3  # the first round always runs
    assert len(search.cv_results_["params"]) == 3
    search.set_params(timeout=3600, n_trials=7).fit(frame[["a", "b.c"]], frame.z)
    assert len(search.study_.trials) == 7
    on_spark = OptunaSearchCV(
        XGBRegressor(**SMALL), SPACE, n_trials=100_000, timeout=1e-9, cv=2, random_state=0
    ).fit(plain(df, "z"), "z")
    assert len(on_spark.cv_results_["params"]) == 4
    assert np.isfinite(on_spark.score(plain(df, "z"), "z"))


def test_callbacks_hear_of_each_trial(df):
    recorder = Recorder()
    search = OptunaSearchCV(XGBRegressor(**SMALL), SPACE, n_trials=3, batch_size=2, cv=2)
    search.set_callbacks(recorder).fit(plain(df, "z"), "z")
    assert recorder.trials == 6


def test_copies_and_pickles(frame):
    study = optuna.create_study(direction="maximize", sampler=sampler())
    search = OptunaSearchCV(Ridge(), {"alpha": [0.1, 1]}, n_trials=2, study=study)
    assert clone(search).study is not study  # which goes on by itself
    search.fit(frame[["a", "b.c"]], frame.z)
    again = pickle.loads(pickle.dumps(search))
    assert again.study_.best_value == search.best_score_
    assert "OptunaSearchCV(estimator=Ridge()" in repr(search)


# ------------------------------------------------------------------- failures


FAILS = {"max_depth": [-2, 2]}


@pytest.fixture(params=["spark", "memory"])
def rows(request, df, frame):
    """Arguments of a fit, and of its search, on Spark and in memory."""
    if request.param == "spark":
        return (plain(df, "z"), "z"), {"cv": PredefinedSplit("fold")}
    folds = sklearn.model_selection.PredefinedSplit(frame.fold)
    return (frame[NUMBERS], frame.z), {"cv": folds}


def queued(*depths):
    """A study that first asks for trees of these depths."""
    study = optuna.create_study(direction="maximize", sampler=sampler())
    for depth in depths:
        study.enqueue_trial({"max_depth": depth})
    return study


def test_candidates_that_fail(rows):
    given, params = rows
    search = OptunaSearchCV(
        XGBRegressor(**SMALL), FAILS, n_trials=3, study=queued(2, -2, 2), **params
    )
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 9"):
        search.fit(*given)
    assert states(search) == [COMPLETE, FAIL, COMPLETE]
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False, True]
    assert search.best_params_ == {"max_depth": 2}
    # A score of one's own is a score.
    search.set_params(error_score=-9.0, study=queued(2, -2, 2))
    with pytest.warns(FitFailedWarning, match="3 fits failed"):
        search.fit(*given)
    assert states(search) == [COMPLETE] * 3
    assert search.study_.trials[1].value == -9
    search.set_params(error_score="raise", study=queued(2, -2, 2))
    with pytest.raises(ValueError, match="'max_depth' parameter"):
        search.fit(*given)
    assert states(search) == [FAIL] * 3


def test_a_round_that_fails(rows):
    given, params = rows
    search = OptunaSearchCV(
        XGBRegressor(**SMALL), FAILS, n_trials=3, batch_size=1, study=queued(2, -2, 2), **params
    )
    with pytest.warns(FitFailedWarning, match="All the 3 fits failed"):
        search.fit(*given)
    assert states(search) == [COMPLETE, FAIL, COMPLETE]
    assert search.cv_results_["params"] == [{"max_depth": 2}] * 2
    search.set_params(study=queued(-2, 2, 2))
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        search.fit(*given)
    assert states(search)[0] == FAIL


def minimizes():
    return {"study": optuna.create_study(sampler=sampler())}


BAD = {
    "of scipy": (
        {"max_depth": scipy.stats.randint(2, 5)},
        dict,
        TypeError,
        "'max_depth'.*or a list",
    ),
    "no values": ({"max_depth": []}, dict, TypeError, "a list of values. Got \\[\\]"),
    "no such parameter": ({"depth__x": [1]}, dict, ValueError, "Invalid parameter"),
    "no trials": (SPACE, lambda: {"n_trials": 0}, ValueError, "'n_trials' parameter"),
    "no time": (SPACE, lambda: {"timeout": 0}, ValueError, "'timeout' parameter"),
    "no study": (SPACE, lambda: {"study": "mine"}, ValueError, "'study' parameter"),
    "minimizes": (
        SPACE,
        minimizes,
        ValueError,
        "directions \\['maximize'\\].*Got \\['minimize'\\]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(rows, name):
    given, params = rows
    space, more, kind, text = BAD[name]
    search = OptunaSearchCV(XGBRegressor(**SMALL), space, **params, **more())
    with pytest.raises(kind, match=text):
        search.fit(*given)


def test_folds_that_are_others_each_round(frame):
    folds = KFold(3, shuffle=True)
    search = OptunaSearchCV(Ridge(), {"alpha": [1]}, n_trials=1, cv=folds)
    with pytest.raises(ValueError, match="consistent folds"):
        search.fit(frame[["a"]], frame.z)


# ------------------------------------------------------------------- conformance


def expected(search):
    """What scikit-learn expects of its own searches too: Ridge takes such labels."""
    columns = {"check_supervised_y_2d": "there is no DataConversionWarning"}
    return columns if isinstance(search.estimator, Ridge) else {}


@estimator_checks.parametrize_with_checks(
    [
        OptunaSearchCV(
            estimator, {name: [0.1, 1.0]}, n_trials=2, cv=2, error_score="raise", random_state=0
        )
        for estimator, name in ((Ridge(), "alpha"), (LogisticRegression(), "C"))
    ],
    expected_failed_checks=expected,
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def test_sklearn_checks_of_parameters():
    search = OptunaSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, n_trials=2, cv=2)
    estimator_checks.check_param_validation("OptunaSearchCV", search)
