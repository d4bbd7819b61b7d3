"""Searches on Spark DataFrames beside scikit-learn's over plain xgboost on the same rows."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import sklearn.compose
import sklearn.linear_model
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import f1_score, make_scorer, roc_auc_score

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError
from raydp_ml.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    OptunaSearchCV,
    PredefinedSplit,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import OneHotEncoder, StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

SMALL = {"n_estimators": 8, "random_state": 0}
GRID = {"max_depth": [2, 4], "learning_rate": [0.1, 0.6]}
NUMBERS = ["a", "b.c", "holes"]


def plain(df, *names):
    """The columns of a search: numbers, the folds, and what else is asked for."""
    return df.select(*(f"`{name}`" for name in [*NUMBERS, "fold", *names]))


def assert_same_results(ours, own, tolerance=1e-6):
    assert set(ours.cv_results_) == set(own.cv_results_)
    for key, expected in own.cv_results_.items():
        found = ours.cv_results_[key]
        if key == "params":
            assert found == expected
            continue
        assert found.dtype == expected.dtype, key
        if key.endswith("_time"):
            assert (found >= 0).all()
        elif key.startswith("param_"):
            np.testing.assert_array_equal(found.mask, expected.mask)
            assert found.tolist() == expected.tolist()
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=key)
    assert ours.n_splits_ == own.n_splits_
    assert ours.multimetric_ == own.multimetric_
    if hasattr(own, "best_index_"):
        assert ours.best_index_ == own.best_index_
        assert ours.best_params_ == own.best_params_
        if hasattr(own, "best_score_"):
            assert ours.best_score_ == pytest.approx(own.best_score_, abs=tolerance)


def both(df, frame, label, estimator, own_estimator, grid=GRID, own_grid=None, **search):
    """Search on Spark, and by scikit-learn on the collected rows."""
    ours = GridSearchCV(estimator, grid, cv=PredefinedSplit("fold"), **search).fit(df, label)
    labels = frame[label]
    if labels.dtype == object and isinstance(own_estimator, xgboost.XGBClassifier):
        labels = np.unique(labels, return_inverse=True)[1]
    folds = sklearn.model_selection.PredefinedSplit(frame.fold)
    own = sklearn.model_selection.GridSearchCV(
        own_estimator, own_grid or grid, cv=folds, **search
    ).fit(frame[NUMBERS], labels)
    return ours, own


SEARCHES = {
    "default score": {},
    "a metric": {"scoring": "roc_auc", "return_train_score": True},
    "several metrics": {"scoring": ["neg_log_loss", "accuracy"], "refit": "accuracy"},
    "metrics by name": {
        "scoring": {"f": make_scorer(f1_score), "b": "balanced_accuracy"},
        "refit": False,
    },
    "the user's own choice": {"refit": lambda results: 2},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_classifier(df, frame, name):
    data = plain(df, "y").selectExpr("*", "cast(y = 'yes' AS int) AS l").drop("y")
    ours, own = both(
        data,
        frame.assign(l=(frame.y == "yes").astype(int)),
        "l",
        XGBClassifier(**SMALL),
        xgboost.XGBClassifier(**SMALL),
        **SEARCHES[name],
    )
    assert_same_results(ours, own)
    if own.refit:
        predicted = ours.predict(data.drop("l")).toPandas()
        np.testing.assert_array_equal(predicted.prediction, own.predict(frame[NUMBERS]))
        assert list(ours.feature_names_in_) == NUMBERS
        assert ours.score(data, "l") == pytest.approx(
            own.score(frame[NUMBERS], (frame.y == "yes").astype(int)), abs=1e-6
        )
        with pytest.raises(TypeError, match=r"score takes X and y. Got also .'sample_weight'."):
            ours.score(data, "l", sample_weight="a")


def test_texts_of_three_classes(df, frame):
    ours, own = both(
        plain(df, "kind"),
        frame,
        "kind",
        XGBClassifier(**SMALL),
        xgboost.XGBClassifier(**SMALL),
        scoring=["roc_auc_ovr_weighted", "neg_log_loss"],
        refit="neg_log_loss",
    )
    assert_same_results(ours, own)
    assert list(ours.best_estimator_.classes_) == ["x", "y", "z"]


def test_regressor_with_weights(df, frame):
    data = raydp_ml.set_roles(plain(df, "z", "w"), label="z", sample_weight="w")
    search = GridSearchCV(XGBRegressor(**SMALL), GRID, cv=PredefinedSplit("fold"))
    own = sklearn.model_selection.GridSearchCV(
        xgboost.XGBRegressor(**SMALL), GRID, cv=sklearn.model_selection.PredefinedSplit(frame.fold)
    ).fit(frame[NUMBERS], frame.z, sample_weight=frame.w)
    assert_same_results(search.fit(data), own)
    named = plain(df, "z", "w")
    again = GridSearchCV(XGBRegressor(**SMALL), GRID, cv=PredefinedSplit("fold"))
    again.fit(named, "z", sample_weight="w")
    assert again.cv_results_["mean_test_score"].tolist() == (
        search.cv_results_["mean_test_score"].tolist()
    )
    assert list(again.feature_names_in_) == NUMBERS


def test_scores_have_no_weights_that_are_for_a_step(df, frame):
    name, grid = "xgbregressor__sample_weight", {"xgbregressor__max_depth": [2, 4]}
    pipe, own_pipe = (
        make_pipeline(XGBRegressor(**SMALL)),
        make_pipeline(xgboost.XGBRegressor(**SMALL)),
    )
    ours = GridSearchCV(pipe, grid, cv=PredefinedSplit("fold"))
    own = sklearn.model_selection.GridSearchCV(
        own_pipe, grid, cv=sklearn.model_selection.PredefinedSplit(frame.fold)
    ).fit(frame[NUMBERS], frame.z, **{name: frame.w})
    assert_same_results(ours.fit(plain(df, "z", "w"), "z", **{name: "w"}), own)


def test_pipeline(df, frame):
    data = plain(df, "z")
    grid = {"xgbregressor__max_depth": [2, 4], "standardscaler__with_std": [True, False]}
    own_pipeline = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(), xgboost.XGBRegressor(**SMALL)
    )
    pipeline = make_pipeline(StandardScaler(), XGBRegressor(**SMALL))
    ours, own = both(data, frame, "z", pipeline, own_pipeline, grid, return_train_score=True)
    assert_same_results(ours, own)
    np.testing.assert_allclose(
        ours.predict(data.drop("z")).toPandas().prediction, own.predict(frame[NUMBERS]), rtol=1e-5
    )


class Doubled(TransformerMixin, BaseEstimator):
    """A step of the user's own, for Spark DataFrames."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X.withColumn("a", X["a"] * 2)


@pytest.mark.slow
def test_column_transformer_and_a_step_of_the_users_own(df, frame):
    data = plain(df, "kind", "z")
    columns = [("numbers", StandardScaler(), ["a", "b.c"]), ("kinds", OneHotEncoder(), ["kind"])]
    grid = {"xgbregressor__max_depth": [2, 4]}
    scores = []
    for steps in ([], [Doubled()]):
        chosen = ColumnTransformer(columns, remainder="passthrough")
        pipeline = make_pipeline(*steps, chosen, XGBRegressor(**SMALL))
        search = GridSearchCV(pipeline, grid, cv=PredefinedSplit("fold"), scoring="r2")
        scores.append(search.fit(data, "z").cv_results_["mean_test_score"])
    own_pipeline = sklearn.pipeline.make_pipeline(
        sklearn.compose.ColumnTransformer(
            [
                ("numbers", sklearn.preprocessing.StandardScaler(), ["a", "b.c"]),
                ("kinds", sklearn.preprocessing.OneHotEncoder(), ["kind"]),
            ],
            remainder="passthrough",
        ),
        xgboost.XGBRegressor(**SMALL),
    )
    own = sklearn.model_selection.GridSearchCV(
        own_pipeline, grid, cv=sklearn.model_selection.PredefinedSplit(frame.fold), scoring="r2"
    ).fit(frame[["a", "b.c", "holes", "kind"]], frame.z)
    for found in scores:  # to a scaler twice as much is the same
        np.testing.assert_allclose(found, own.cv_results_["mean_test_score"], atol=1e-4)


def test_blocks(df, frame):
    data = plain(df, "z")
    search = GridSearchCV(XGBRegressor(**SMALL), {"max_depth": [2, 4]}, cv=PredefinedSplit("fold"))
    expected = search.fit(data, "z").cv_results_["mean_test_score"].tolist()
    with raydp_ml.from_spark(data) as blocks:
        assert search.fit(blocks, "z").cv_results_["mean_test_score"].tolist() == expected
        train, test = train_test_split(blocks, test_size=0.25)
        assert (train.count(), test.count()) == (450, 150)


def test_random_search(df, frame):
    space = {"max_depth": [2, 3, 4], "subsample": [0.5, 1.0], "gamma": [0.0, 1.0]}
    params = {"n_iter": 4, "random_state": 3, "scoring": "neg_mean_absolute_error"}
    ours = RandomizedSearchCV(XGBRegressor(**SMALL), space, cv=PredefinedSplit("fold"), **params)
    own = sklearn.model_selection.RandomizedSearchCV(
        xgboost.XGBRegressor(**SMALL, n_jobs=1),
        space,
        cv=sklearn.model_selection.PredefinedSplit(frame.fold),
        **params,
    )
    assert_same_results(ours.fit(plain(df, "z"), "z"), own.fit(frame[NUMBERS], frame.z))


def test_halving_by_a_parameter(df, frame):
    grid = {"max_depth": [2, 3, 4, 5], "learning_rate": [0.1, 0.6]}
    params = {"resource": "n_estimators", "max_resources": 16, "random_state": 0}
    ours = HalvingGridSearchCV(XGBRegressor(), grid, cv=PredefinedSplit("fold"), **params)
    own = sklearn.model_selection.HalvingGridSearchCV(
        xgboost.XGBRegressor(),
        grid,
        cv=sklearn.model_selection.PredefinedSplit(frame.fold),
        **params,
    )
    assert_same_results(ours.fit(plain(df, "z"), "z"), own.fit(frame[NUMBERS], frame.z))


@pytest.mark.parametrize("resource", ["n_samples", "n_estimators"])
def test_halving_of_classes_by_folds_of_any_kind(df, frame, resource):
    """scikit-learn's fewest rows are a multiple of the classes, however the folds are made."""
    grid = {"max_depth": [2, 3, 4, 5], "learning_rate": [0.1, 0.6]}
    params = {"resource": resource, "random_state": 0}
    if resource == "n_estimators":
        params["max_resources"] = 16
    codes = np.unique(frame.kind, return_inverse=True)[1]
    splitters = sklearn.model_selection
    for fold, own_fold in (
        (PredefinedSplit("fold"), splitters.PredefinedSplit(frame.fold)),
        (KFold(3), splitters.KFold(3)),
    ):
        ours = HalvingGridSearchCV(XGBClassifier(), grid, cv=fold, **params)
        own = splitters.HalvingGridSearchCV(xgboost.XGBClassifier(), grid, cv=own_fold, **params)
        data = (
            plain(df, "kind")
            if isinstance(fold, PredefinedSplit)
            else plain(df, "kind").drop("fold")
        )
        ours.fit(data, "kind")
        own.fit(frame[NUMBERS], codes)
        for name in ("n_resources_", "n_candidates_", "n_iterations_", "min_resources_"):
            assert getattr(ours, name) == getattr(own, name), (fold, name)
        if resource == "n_estimators" and isinstance(fold, PredefinedSplit):
            assert_same_results(ours, own)


@pytest.mark.slow
def test_halving_by_rows(df, frame):
    data = plain(df, "kind").drop("fold")
    space = {"max_depth": [2, 3, 4, 5], "learning_rate": [0.1, 0.3, 0.6]}
    params = {"random_state": 0, "factor": 2, "cv": 3}
    ours = HalvingRandomSearchCV(XGBClassifier(**SMALL), space, **params).fit(data, "kind")
    codes = np.unique(frame.kind, return_inverse=True)[1]
    own = sklearn.model_selection.HalvingRandomSearchCV(
        xgboost.XGBClassifier(**SMALL), space, **params
    ).fit(frame[NUMBERS], codes)
    for name in ("n_resources_", "n_candidates_", "n_iterations_", "min_resources_"):
        assert getattr(ours, name) == getattr(own, name)
    assert set(ours.cv_results_) == set(own.cv_results_)
    again = HalvingRandomSearchCV(XGBClassifier(**SMALL), space, **params)
    again.fit(data.repartition(5), "kind")
    # The same rows in another order: sums of gradients may differ in the last bits.
    np.testing.assert_allclose(
        again.cv_results_["mean_test_score"], ours.cv_results_["mean_test_score"], atol=1e-3
    )


def test_scorers_of_what_spark_does_not_compute(df):
    data = plain(df, "y")
    search = GridSearchCV(XGBClassifier(**SMALL), {"max_depth": [2]}, cv=PredefinedSplit("fold"))
    of_classes = make_scorer(roc_auc_score)  # whose default is predict
    search.set_params(scoring=of_classes).fit(data.withColumn("y", data.y == "yes"), "y")
    text = r"gives roc_auc_score what predict returns.*response_method=\('decision_function',"
    with pytest.raises(ValueError, match=text):
        search.score(data.withColumn("y", data.y == "yes"), "y")
    of_shares = make_scorer(f1_score, response_method="predict_proba", pos_label="yes")
    two = XGBClassifier(num_workers=2, **SMALL)
    with pytest.raises(ValueError, match=r"f1_score what predict_proba returns.*method='predict'"):
        cross_val_score(two, data, "y", cv=PredefinedSplit("fold"), scoring=of_shares)

    def accuracy_score(y, predicted):
        """Of the same name as scikit-learn's, and another function."""
        return 7.0

    with pytest.raises(ValueError, match=r"is not computed on Spark DataFrames. The metrics are"):
        cross_val_score(
            two, data, "y", cv=PredefinedSplit("fold"), scoring=make_scorer(accuracy_score)
        )


def test_a_score_that_there_is_not(df, frame):
    """Of labels below -1 there is no logarithm; on Spark DataFrames as in memory."""
    data = plain(df, "z").selectExpr("*", "if(fold = 1, z - 9, z) AS t").drop("z")
    labels = frame.z.where(frame.fold != 1, frame.z - 9)
    given = {"scoring": ["neg_mean_squared_log_error", "r2"], "error_score": -7.0}
    found = {}
    for workers in (1, 2):
        model = XGBRegressor(num_workers=workers, **SMALL)
        with pytest.warns(UserWarning, match=r"(?s)Scoring failed.*set to -7.0.*Mean Squared Log"):
            found[workers] = cross_validate(model, data, "t", cv=PredefinedSplit("fold"), **given)
    with pytest.warns(UserWarning, match="Scoring failed"):
        own = sklearn.model_selection.cross_validate(
            xgboost.XGBRegressor(**SMALL),
            frame[NUMBERS],
            labels,
            cv=sklearn.model_selection.PredefinedSplit(frame.fold),
            **given,
        )
    for name in ("test_neg_mean_squared_log_error", "test_r2"):
        for scores in found.values():
            np.testing.assert_allclose(scores[name], own[name], rtol=1e-3)
    assert (own["test_neg_mean_squared_log_error"] == -7).all()
    given["error_score"] = "raise"
    with pytest.raises(ValueError, match="Mean Squared Log"):
        cross_validate(model, data, "t", cv=PredefinedSplit("fold"), **given)


def test_what_a_search_refuses(df):
    data = plain(df, "z")
    own = GridSearchCV(sklearn.linear_model.Ridge(), {"alpha": [1.0]}, cv=PredefinedSplit("fold"))
    with pytest.raises(TypeError, match="the estimator of GridSearchCV is one of raydp_ml's"):
        own.fit(data, "z")
    with pytest.raises(NotFittedError):
        GridSearchCV(XGBRegressor(), {"max_depth": [2]}).score(data, "z")


@pytest.mark.slow
def test_several_workers_train_each_candidate(df, frame):
    several = XGBClassifier(num_workers=2, **SMALL)
    search = GridSearchCV(
        several,
        {"max_depth": [2, 4]},
        cv=PredefinedSplit("fold"),
        scoring=["roc_auc", "accuracy"],
        refit="roc_auc",
        return_train_score=True,
    ).fit(plain(df, "y"), "y")
    alone = GridSearchCV(
        XGBClassifier(**SMALL),
        {"max_depth": [2, 4]},
        cv=PredefinedSplit("fold"),
        scoring=["roc_auc", "accuracy"],
        refit="roc_auc",
        return_train_score=True,
    ).fit(plain(df, "y"), "y")
    assert set(search.cv_results_) == set(alone.cv_results_)
    for key in ("mean_test_roc_auc", "mean_train_accuracy"):
        np.testing.assert_allclose(search.cv_results_[key], alone.cv_results_[key], atol=0.02)
    assert search.best_estimator_.num_workers == 2


def test_ranker(df, frame):
    data = df.selectExpr("a", "`b.c`", "shop", "cast(3 * a AS int) AS rel")
    search = GridSearchCV(XGBRanker(**SMALL), {"max_depth": [2, 4]}, cv=GroupKFold(3))
    with pytest.raises(ValueError, match=r"ranked together. Pass .* group='shop'.*the splitter"):
        search.fit(data, "rel", groups="shop")
    search.fit(data, "rel", group="shop")
    assert (search.cv_results_["mean_test_score"] > 0.9).all()
    assert search.score(raydp_ml.set_roles(data, group="shop"), "rel") > 0.9
    folds = GroupKFold(3).fold_column(data, None, "shop").toPandas()
    for fold in range(3):
        rows = folds[folds.fold != fold]
        model = XGBRanker(max_depth=4, **SMALL)
        model.fit(rows[["a", "b.c", "shop"]], rows.rel, group="shop")
        rows = folds[folds.fold == fold]
        assert search.cv_results_[f"split{fold}_test_score"][1] == pytest.approx(
            model.score(rows[["a", "b.c", "shop"]], rows.rel, group="shop"), abs=1e-2
        )


def test_validation_rows_are_in_no_fold(df, frame):
    marked = plain(df, "z", "id").selectExpr("*", "id % 5 = 0 AS held")
    data = raydp_ml.set_roles(marked, label="z", validation="held", ignore=["id"])
    stopped = XGBRegressor(early_stopping_rounds=2, **{**SMALL, "n_estimators": 60})
    search = GridSearchCV(stopped, {"max_depth": [2]}, cv=PredefinedSplit("fold")).fit(data)
    held = frame.id % 5 == 0
    for fold in range(3):
        train, test = (frame[part & ~held] for part in (frame.fold != fold, frame.fold == fold))
        valid = frame[held & (frame.fold != fold)]
        own = xgboost.XGBRegressor(
            max_depth=2, early_stopping_rounds=2, n_estimators=60, random_state=0
        ).fit(train[NUMBERS], train.z, eval_set=[(valid[NUMBERS], valid.z)], verbose=False)
        expected = own.score(test[NUMBERS], test.z)
        assert search.cv_results_[f"split{fold}_test_score"][0] == pytest.approx(expected, abs=1e-6)


def test_marked_rows_weigh_what_their_column_says(df, frame):
    marked = plain(df, "z", "id", "w").selectExpr("*", "id % 4 = 0 AS held")
    data = raydp_ml.set_roles(marked, label="z", sample_weight="w", validation="held", ignore="id")
    params = {"early_stopping_rounds": 1, "n_estimators": 60, "learning_rate": 1.0}
    found = cross_validate(
        XGBRegressor(**{**SMALL, **params}),
        data,
        cv=PredefinedSplit("fold"),
        return_estimator=True,
    )
    held = frame.id % 4 == 0
    best = []
    for fold in range(3):
        train, valid = (frame[part & (frame.fold != fold)] for part in (~held, held))
        own = xgboost.XGBRegressor(**{**SMALL, **params})
        for weights in (valid.w, None):
            own.fit(
                train[NUMBERS],
                train.z,
                sample_weight=train.w,
                eval_set=[(valid[NUMBERS], valid.z)],
                sample_weight_eval_set=[weights],
                verbose=False,
            )
            best.append(own.best_score)
    assert [model.best_score for model in found["estimator"]] == pytest.approx(best[::2], rel=1e-6)
    assert best[::2] != pytest.approx(best[1::2], rel=1e-3)


def test_transformers_learn_from_marked_rows_too(df):
    """As the Pipeline's own fit has it."""
    marked = plain(df, "z", "id").selectExpr("*", "a > 0.6 AS held")
    filled = marked.fillna(0.0, ["holes"])
    data = raydp_ml.set_roles(filled, label="z", validation="held", ignore=["id", "fold"])
    stopped = XGBRegressor(**{**SMALL, "n_estimators": 30}, early_stopping_rounds=2)
    pipe = make_pipeline(PCA(2), stopped)
    found = cross_val_score(pipe, data, cv=PredefinedSplit("fold"))
    for fold, score in enumerate(found):
        pipe.fit(data.where(f"fold <> {fold}"))
        assert score == pytest.approx(
            pipe.score(data.where(f"fold = {fold} AND NOT held")), abs=1e-3
        )


def test_a_frame_that_is_another_one_at_each_look(spark):
    drawn = spark.range(500).selectExpr("rand() AS a", "rand() AS b", "id")
    df = drawn.selectExpr("a", "b", "cast(a > 0.5 AS int) AS y")
    search = GridSearchCV(XGBClassifier(**SMALL), {"max_depth": [1, 2]}, cv=5).fit(df, "y")
    # Were features and label of two looks, no model could tell them.
    assert (search.cv_results_["mean_test_score"] > 0.97).all()


def test_a_trial_that_fails(df):
    grid = {"max_depth": [2, -2]}
    search = GridSearchCV(XGBRegressor(**SMALL), grid, cv=PredefinedSplit("fold"))
    with pytest.warns(Warning, match="3 fits failed out of a total of 6"):
        search.fit(plain(df, "z"), "z")
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.best_params_ == {"max_depth": 2}
    with pytest.raises(ValueError, match="'max_depth' parameter"):
        search.set_params(error_score="raise").fit(plain(df, "z"), "z")
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        search.set_params(error_score=0, param_grid={"max_depth": [-1]}).fit(plain(df, "z"), "z")


BAD = {
    "no such parameter": ({"depth__x": [1]}, {}, "z", ValueError, "Invalid parameter"),
    "no such metric": ({}, {"scoring": "r3"}, "z", ValueError, "'scoring' parameter"),
    "rows beside the frame": ({}, {}, np.zeros(600), TypeError, "the name of one of its columns"),
    "no such label": ({}, {}, "zz", SchemaError, "'zz'"),
    "no label": ({}, {}, None, ValueError, "requires y to be passed"),
    "label with nulls": ({}, {}, "holes", SchemaError, "null or NaN"),
    "folds as rows": (
        {},
        {"cv": [([0, 1], [2, 3])]},
        "z",
        TypeError,
        "PredefinedSplit",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(df, name):
    grid, params, label, kind, text = BAD[name]
    search = GridSearchCV(XGBRegressor(**SMALL), grid, **{"cv": 2, **params})
    with pytest.raises(kind, match=text):
        search.fit(plain(df, "z"), label)


def test_a_trial_that_has_no_room(df):
    wide = XGBRegressor(cpus_per_worker=99, **SMALL)
    with pytest.raises(raydp_ml.exceptions.ResourceError, match="99 CPU"):
        GridSearchCV(wide, GRID, cv=2).fit(plain(df, "z"), "z")


def test_a_study_of_optuna_without_optuna(df, frame, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    search = OptunaSearchCV(XGBRegressor(**SMALL), {"max_depth": [2]}, cv=2)
    for X, y in ((plain(df, "z"), "z"), (frame[NUMBERS], frame.z)):
        with pytest.raises(ImportError, match=r"pip install 'raydp_ml\[optuna\]'"):
            search.fit(X, y)


def test_in_memory_as_in_scikit_learn(frame):
    ours = GridSearchCV(XGBRegressor(**SMALL), GRID, cv=3).fit(frame[NUMBERS], frame.z)
    own = sklearn.model_selection.GridSearchCV(xgboost.XGBRegressor(**SMALL), GRID, cv=3)
    assert_same_results(ours, own.fit(frame[NUMBERS], frame.z))
