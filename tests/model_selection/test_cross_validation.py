"""Cross-validation of one estimator, beside scikit-learn's over plain xgboost."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.inspection
import sklearn.metrics
import sklearn.model_selection
import xgboost
from pyspark.sql import functions
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.feature_selection import RFECV
from sklearn.multiclass import OneVsRestClassifier

import raydp_ml
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_selection import SelectFromModel
from raydp_ml.model_selection import (
    GridSearchCV,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

SMALL = {"n_estimators": 8, "random_state": 0}
NUMBERS = ["a", "b.c", "holes"]
FOLDS = {"cv": PredefinedSplit("fold")}
PROBA = "predict_proba"


@pytest.fixture(scope="module")
def data(df):
    return df.select(*(f"`{name}`" for name in [*NUMBERS, "fold", "z"]))


@pytest.fixture(scope="module")
def own_folds(frame):
    return {"cv": sklearn.model_selection.PredefinedSplit(frame.fold)}


def test_cross_validate(data, frame, own_folds):
    scoring = {"r2": "r2", "error": "neg_mean_absolute_error"}
    wanted = {"scoring": scoring, "return_train_score": True, "return_estimator": True}
    ours = cross_validate(XGBRegressor(**SMALL), data, "z", **FOLDS, **wanted)
    own = sklearn.model_selection.cross_validate(
        xgboost.XGBRegressor(**SMALL), frame[NUMBERS], frame.z, **own_folds, **wanted
    )
    assert list(ours) == list(own)
    for key in ("test_r2", "train_r2", "test_error", "train_error"):
        np.testing.assert_allclose(ours[key], own[key], atol=1e-6)
    assert [repr(model) for model in ours["estimator"]] == [repr(XGBRegressor(**SMALL))] * 3
    for model, own_model in zip(ours["estimator"], own["estimator"], strict=True):
        expected = own_model.predict(frame[NUMBERS])
        np.testing.assert_allclose(model.predict(frame[NUMBERS]), expected, rtol=1e-6)
        np.testing.assert_allclose(model.predict(data).toPandas().prediction, expected, rtol=1e-6)


def test_cross_val_score(data, frame, own_folds):
    ours = cross_val_score(XGBRegressor(**SMALL), data, "z", **FOLDS)
    own = sklearn.model_selection.cross_val_score(
        xgboost.XGBRegressor(**SMALL), frame[NUMBERS], frame.z, **own_folds
    )
    np.testing.assert_allclose(ours, own, atol=1e-6)


def test_several_labels_a_row_are_in_no_strata(df, frame):
    """A number of folds is KFold then, as in scikit-learn."""
    labelled = df.selectExpr("a", "`b.c`", "id", "array(int(y = 'yes'), int(a > 0.5)) AS t")
    model = XGBClassifier(**SMALL)
    fold_of = KFold(3).fold_column(labelled).toPandas().sort_values("id")
    rows = fold_of[["a", "b.c", "id"]]
    own = sklearn.model_selection.cross_val_score(
        xgboost.XGBClassifier(**SMALL),
        rows,
        np.stack(fold_of.t.tolist()),
        cv=sklearn.model_selection.PredefinedSplit(fold_of.fold),
    )
    assert own.min() < 1
    for cv in (3, KFold(3)):
        np.testing.assert_allclose(cross_val_score(model, labelled, "t", cv=cv), own, atol=1e-6)
    search = GridSearchCV(model, {"max_depth": [6]}, cv=3).fit(labelled, "t")
    assert search.best_score_ == pytest.approx(own.mean())


def test_weights_that_are_named_go_to_fit(df, frame, own_folds):
    weighted = df.select(*(f"`{name}`" for name in [*NUMBERS, "fold", "z", "w"]))
    model, own_model = XGBRegressor(**SMALL), xgboost.XGBRegressor(**SMALL)
    for ours, own, name in (
        (model, own_model, "sample_weight"),
        (make_pipeline(model), make_pipeline(own_model), "xgbregressor__sample_weight"),
    ):
        expected = sklearn.model_selection.cross_val_score(
            own, frame[NUMBERS], frame.z, params={name: frame.w}, **own_folds
        )
        found = cross_val_score(ours, weighted, "z", params={name: "w"}, **FOLDS)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_mean_the_same_where_several_workers_train(df):
    """Each candidate is fitted and scored on Spark then, and its trees differ in the last bits."""
    named = raydp_ml.set_roles(
        df.selectExpr("a", "`b.c`", "z", "fold", "id", "if(a < 0.5, 9D, 1D) AS w"), ignore="id"
    )
    marked = raydp_ml.set_roles(named, sample_weight="w")
    given = {"scoring": ["neg_mean_squared_error", "r2"], "return_train_score": True, **FOLDS}
    scores = {}
    for workers in (1, 2):
        model = XGBRegressor(num_workers=workers, **SMALL)
        of_fits = cross_validate(model, named, "z", params={"sample_weight": "w"}, **given)
        of_all = cross_validate(model, marked, "z", **given)
        assert abs(of_fits["test_r2"] - of_all["test_r2"]).max() > 1e-3
        scores[workers] = of_fits, of_all
    for one, two in zip(scores[1], scores[2], strict=True):
        for key in one:
            if not key.endswith("_time"):
                np.testing.assert_allclose(two[key], one[key], rtol=1e-4, err_msg=key)


def test_weights_of_the_role_go_to_fit_and_score(df, frame):
    weighted = df.select(*(f"`{name}`" for name in [*NUMBERS, "fold", "z", "w"]))
    marked = raydp_ml.set_roles(weighted, sample_weight="w")
    given = {"scoring": "neg_mean_squared_error", **FOLDS}
    for fold, score in enumerate(cross_val_score(XGBRegressor(**SMALL), marked, "z", **given)):
        train, test = frame[frame.fold != fold], frame[frame.fold == fold]
        model = xgboost.XGBRegressor(**SMALL).fit(train[NUMBERS], train.z, sample_weight=train.w)
        error = (model.predict(test[NUMBERS]) - test.z) ** 2
        assert score == pytest.approx(-np.average(error, weights=test.w), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        make_pipeline(StandardScaler(), PCA(2)),
        SelectFromModel(XGBRegressor(n_estimators=1, max_depth=1), max_features=1, threshold=0.0),
    ],
)
def test_weights_reach_what_steps_hold(df, before):
    """As they do where Spark fits each fold by itself."""
    names = [*(f"`{name}`" for name in NUMBERS[:2]), "fold", "z"]
    weighted = df.selectExpr(*names, "if(a < 0.3, 100D, 0.01D) AS w")
    data = raydp_ml.set_roles(weighted, label="z", sample_weight="w", ignore="fold")
    pipe = make_pipeline(before, XGBRegressor(**SMALL))
    ours = cross_val_score(pipe, data, **FOLDS)
    for fold, score in enumerate(ours):
        pipe.fit(data.where(f"fold <> {fold}"))
        assert score == pytest.approx(pipe.score(data.where(f"fold = {fold}")), abs=1e-3)


@pytest.mark.parametrize("piped", [False, True])
def test_out_of_fold_predictions(df, frame, own_folds, piped):
    data = df.select(*(f"`{name}`" for name in [*NUMBERS, "fold", "kind"]))
    model = XGBClassifier(**SMALL)
    estimator = make_pipeline(StandardScaler(), model) if piped else model
    codes = np.unique(frame.kind, return_inverse=True)[1]
    own_model = xgboost.XGBClassifier(**SMALL)
    for method, column in (("predict", "prediction"), ("predict_proba", "probability")):
        made = cross_val_predict(estimator, data, "kind", **FOLDS, method=method)
        assert made.columns == [*data.columns, column]
        found = made.toPandas()
        np.testing.assert_array_equal(found.a, frame.a)  # the order of the rows
        expected = sklearn.model_selection.cross_val_predict(
            own_model, frame[NUMBERS], codes, method=method, **own_folds
        )
        if method == "predict":
            same = found[column] == np.array(["x", "y", "z"])[expected]
            assert same.mean() >= (0.99 if piped else 1.0)
        else:
            np.testing.assert_allclose(
                np.stack(found[column]), expected, atol=1e-2 if piped else 1e-6
            )


def test_rows_that_no_split_tests(data):
    some = data.withColumn("fold", functions.expr("if(a < 0.1, -1, fold)"))
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(XGBRegressor(**SMALL), some, "z", **FOLDS)
    assert cross_val_score(XGBRegressor(**SMALL), some, "z", **FOLDS).shape == (3,)


def test_a_class_that_one_model_has_not_seen(df, frame):
    """Its probability is 0 there, and those of the others keep their places."""
    names = [*(f"`{name}`" for name in NUMBERS), "kind"]
    data = df.selectExpr(*names, "if(kind = 'x', 0, fold) AS fold")
    collected = data.toPandas()
    own = sklearn.model_selection.PredefinedSplit(collected.fold)
    codes = np.unique(collected.kind, return_inverse=True)[1]
    X, y = collected[NUMBERS].to_numpy(), collected.kind.to_numpy()
    with pytest.warns(RuntimeWarning, match=r"in training fold \(2\) does not match"):
        made = cross_val_predict(XGBClassifier(**SMALL), data, "kind", **FOLDS, method=PROBA)
    found = np.stack(made.toPandas().probability)
    assert (found[collected.fold == 0, 0] == 0).all()
    for fold, (train, test) in enumerate(own.split()):
        seen = np.unique(codes[train])
        model = XGBClassifier(**SMALL, num_workers=0).fit(X[train], y[train])
        np.testing.assert_allclose(
            found[test][:, seen], model.predict_proba(X[test]), atol=1e-6, err_msg=str(fold)
        )
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["fold", "fold / 4", "if(fold = 0, 1.5, 2)"])
def test_predictions_are_of_the_labels_type(df, label):
    names = [*(f"`{name}`" for name in NUMBERS), f"cast({label} AS decimal(9,3)) AS share"]
    data = df.selectExpr(*names)
    made = cross_val_predict(XGBClassifier(**SMALL), data, "share", cv=2)
    assert made.schema["prediction"].dataType == data.schema["share"].dataType
    assert {row[0] for row in made.select("prediction").distinct().collect()} <= {
        row[0] for row in data.select("share").distinct().collect()
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decimal(5,0)", "decimal(5,2)", "decimal(30,0)"])
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", None])
def test_classes_that_are_decimals_are_scored(df, kind, scoring):
    names = [*(f"`{name}`" for name in NUMBERS), "fold"]
    places = df.selectExpr(*names, "if(kind = 'x', 0, if(kind = 'y', 1, 2)) AS k")
    decimals = places.selectExpr(*names, f"cast(3 * k AS {kind}) AS k")
    of = {"scoring": scoring, **FOLDS}
    found = cross_val_score(XGBClassifier(**SMALL), decimals, "k", **of)
    np.testing.assert_allclose(
        found, cross_val_score(XGBClassifier(**SMALL), places, "k", **of), atol=1e-6
    )


@pytest.mark.slow
def test_learning_curve(data):
    numbers = data.drop("fold")
    sizes, train, test = learning_curve(
        XGBRegressor(**SMALL), numbers, "z", cv=3, train_sizes=[40, 0.5, 1.0][1:]
    )
    assert sizes.tolist() == [200, 400]
    whole = cross_validate(XGBRegressor(**SMALL), numbers, "z", cv=3, return_train_score=True)
    np.testing.assert_allclose(test[1], whole["test_score"], atol=1e-9)
    np.testing.assert_allclose(train[1], whole["train_score"], atol=1e-9)
    assert test[0].mean() < test[1].mean()
    again = learning_curve(
        XGBRegressor(**SMALL), numbers.repartition(3), "z", cv=3, train_sizes=[200]
    )
    # The same rows in another order: sums of gradients may differ in the last bits.
    np.testing.assert_allclose(again[2][0], test[0], atol=1e-3)


@pytest.mark.slow
def test_learning_curve_beside_marked_rows(df):
    """They are evaluated on whatever the size, and are no rows to train on."""
    names = [*(f"`{name}`" for name in NUMBERS), "fold", "z", "id"]
    marked = df.selectExpr(*names, "id % 4 = 0 AS held")
    data = raydp_ml.set_roles(marked, label="z", validation="held", ignore=["fold", "id"])
    trained = data.where("fold <> 0 AND NOT held").count()
    found = []
    for workers in (1, 2):
        stopped = XGBRegressor(**SMALL, early_stopping_rounds=2, num_workers=workers)
        sizes, train, test = learning_curve(stopped, data, train_sizes=[0.3, 1.0], **FOLDS)
        assert sizes.tolist() == [int(0.3 * trained), trained]
        np.testing.assert_allclose(test[1], cross_val_score(stopped, data, **FOLDS), atol=1e-6)
        found.append(np.array([train, test]))
    np.testing.assert_allclose(*found, atol=1e-2)


def test_validation_curve(data, frame, own_folds):
    values = {"param_name": "max_depth", "param_range": [1, 3, 5], "scoring": "r2"}
    ours = validation_curve(XGBRegressor(**SMALL), data, "z", **FOLDS, **values)
    own = sklearn.model_selection.validation_curve(
        xgboost.XGBRegressor(**SMALL), frame[NUMBERS], frame.z, **own_folds, **values
    )
    for a, b in zip(ours, own, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_permuted_labels(data, frame, own_folds):
    score, permuted, pvalue = permutation_test_score(
        XGBRegressor(**SMALL), data, "z", **FOLDS, n_permutations=4
    )
    own = sklearn.model_selection.cross_val_score(
        xgboost.XGBRegressor(**SMALL), frame[NUMBERS], frame.z, **own_folds
    )
    assert score == pytest.approx(own.mean(), abs=1e-6)
    assert len(set(permuted.tolist())) == 4
    assert permuted.max() < 0.2 < score
    assert pvalue == pytest.approx(1 / 5)


@pytest.mark.slow
def test_rows_that_are_tested_twice(data):
    splits = {"cv": ShuffleSplit(2, random_state=0)}
    assert len(cross_val_score(XGBRegressor(**SMALL), data.drop("fold"), "z", **splits)) == 2
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(XGBRegressor(**SMALL), data.drop("fold"), "z", **splits)


def test_bad_input(data, spark):
    model = XGBRegressor(**SMALL)
    with pytest.raises(TypeError, match="return_indices"):
        cross_validate(model, data, "z", return_indices=True)
    with pytest.raises(ValueError, match="method is one of"):
        cross_val_predict(model, data, "z", method="decision_function")
    with pytest.raises(TypeError, match="over all rows"):
        permutation_test_score(model, data, "z", groups="fold")
    drawn = spark.range(100).selectExpr("rand() AS x", "id AS z")
    with pytest.raises(SchemaError, match="others each time they are computed"):
        cross_val_predict(model, drawn, "z", cv=2)
    with pytest.raises(TypeError, match="eval_set"):
        cross_val_score(model, data, "z", params={"eval_set": data}, **FOLDS)
    with pytest.raises(SchemaError, match="'kind'"):
        cross_val_score(model, data.selectExpr("*", "'x' AS kind"), "z", **FOLDS)


def test_in_memory_as_in_scikit_learn(frame):
    X, y = frame[NUMBERS], frame.z
    ours, own = XGBRegressor(**SMALL), xgboost.XGBRegressor(**SMALL)
    of = sklearn.model_selection
    for function, params in (
        ("cross_val_score", {}),
        ("cross_val_predict", {}),
        ("validation_curve", {"param_name": "max_depth", "param_range": [1, 2]}),
        ("learning_curve", {"train_sizes": np.array([0.5, 1.0])}),
        ("permutation_test_score", {"n_permutations": 2}),
    ):
        found = getattr(raydp_ml.model_selection, function)(ours, X, y, cv=3, **params)
        expected = getattr(of, function)(own, X, y, cv=3, **params)
        for a, b in (
            zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True)
            if not (isinstance(found, tuple))
            else zip(found, expected, strict=True)
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


MISTAKEN = {
    "cross_val_score": lambda own, model, df: own.cross_val_score(model, df, "z"),
    "cross_val_predict": lambda own, model, df: own.cross_val_predict(model, df, "z"),
    "learning_curve": lambda own, model, df: own.learning_curve(model, df, "z"),
    "GridSearchCV": lambda own, model, df: own.GridSearchCV(model, {}).fit(df, "z"),
    "train_test_split": lambda own, model, df: own.train_test_split(df),
    "KFold": lambda own, model, df: next(own.KFold().split(df)),
    "accuracy_score": lambda own, model, df: sklearn.metrics.accuracy_score(df, df),
    "permutation_importance": lambda own, model, df: sklearn.inspection.permutation_importance(
        model.fit(df, "z"), df, "z"
    ),
    "StackingRegressor": lambda own, model, df: StackingRegressor([("m", model)]).fit(df, "z"),
    "VotingRegressor": lambda own, model, df: VotingRegressor([("m", model)]).fit(df, "z"),
    "BaggingRegressor": lambda own, model, df: BaggingRegressor(model).fit(df, "z"),
    "OneVsRestClassifier": lambda own, model, df: OneVsRestClassifier(model).fit(df, "z"),
    "RFECV": lambda own, model, df: RFECV(model).fit(df, "z"),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_what_is_scikit_learns_names_ours(data, name):
    with pytest.raises(ValueError, match=r"(DataFrame.a: |'z').*raydp_ml.model_selection"):
        MISTAKEN[name](sklearn.model_selection, XGBRegressor(**SMALL), data)
