"""What the tests of ``xgboost.spark`` promise, in our terms and beside plain xgboost.

The rows are like theirs: few, with dense and sparse vectors in one column, weights, marks for
validation. So few different values leave no choice of split points, and several workers differ
from one in the order of sums only: `SUMS` is that of single precision. The table in
``docs/xgboost.md`` says which test of ours stands for which of theirs.
"""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

PARAMS = {"n_estimators": 10, "max_depth": 3, "tree_method": "hist", "random_state": 0}
PARAMS |= {"n_jobs": 1, "min_child_weight": 0}
SUMS = {"rtol": 1e-5, "atol": 1e-6}
TIMES = 10
X = np.array([[1.0, 2, 3], [0, 1, 5.5], [4, 5, 6], [0, 6, 7.5], [-1, -2, 1], [2, 0, 0]])
TARGETS = {
    "numbers": [0.0, 1.0, 2.0, 3.0, 1.0, 5.0],
    "two": [0, 1, 0, 1, 1, 0],
    "three": [0, 0, 1, 2, 1, 2],
}
WEIGHTS = np.array([1.0, 2, 1, 2, 1, 2])
MARGINS = np.array([1.0, 0, 0, 1, 0.5, 0])
HELD_OUT = np.array([False, False, True, True, False, False])


def tiled(values):
    return np.concatenate([np.asarray(values)] * TIMES)


@pytest.fixture(scope="module")
def df(spark):
    """Six rows, ten times: dense vectors, and sparse ones where there is a zero."""
    rows = []
    for i in range(6):
        values = X[i].tolist()
        thin = Vectors.sparse(3, {place: value for place, value in enumerate(values) if value})
        vector = thin if 0 in values else Vectors.dense(values)
        targets = [column[i] for column in TARGETS.values()]
        more = float(WEIGHTS[i]), float(MARGINS[i]), bool(HELD_OUT[i])
        rows.append((i, vector, values, *values, *targets, *more))
    names = ["place", "v", "l", "a", "b", "c", *TARGETS, "w", "m", "held_out"]
    made = spark.createDataFrame(rows * TIMES, names).coalesce(1).cache()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def probe(df):
    """The six rows once, in their order."""
    made = df.where("place < 6").dropDuplicates(["place"]).orderBy("place").coalesce(1).cache()
    yield made
    made.unpersist()


def pair(task, **params):
    """Return our estimator and xgboost's own."""
    if task == "numbers":
        return XGBRegressor(**PARAMS, **params), xgboost.XGBRegressor(**PARAMS, **params)
    return XGBClassifier(**PARAMS, **params), xgboost.XGBClassifier(**PARAMS, **params)


def column(made, name):
    return np.array([row[name] for row in made.select(name).collect()])


def assert_same_outputs(model, plain, probe, rtol=1e-5, atol=1e-6):
    """Compare predictions, margins, probabilities and contributions of the rows in Spark."""
    data, tolerance = probe.select("v"), {"rtol": rtol, "atol": atol}
    made = column(model.predict(data), "prediction")
    assert_allclose(made, plain.predict(X), **tolerance)
    margins = column(model.predict(data, output_margin=True), "prediction")
    assert_allclose(margins, plain.predict(X, output_margin=True), **tolerance)
    booster, matrix = plain.get_booster(), xgboost.DMatrix(X, missing=plain.missing)
    rounds = (0, plain.best_iteration + 1) if plain.early_stopping_rounds else (0, 0)
    own = booster.predict(matrix, pred_contribs=True, iteration_range=rounds)
    # (Features without an effect on any path have values around zero.)
    assert_allclose(column(model.explain(data), "contributions"), own, rtol=1e-4, atol=1e-5)
    if hasattr(plain, "predict_proba"):
        shares = column(model.predict_proba(data), "probability")
        assert_allclose(shares, plain.predict_proba(X), **tolerance)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("task", TARGETS)
def test_vectors_dense_and_sparse(df, probe, task, workers):
    """Of `test_regressor_basic`, `test_multi_classifier_basic`, `test_*_distributed_*`."""
    ours, plain = pair(task)
    plain.fit(tiled(X), tiled(TARGETS[task]))
    for data in (df, df.repartition(7)):
        model = ours.set_params(num_workers=workers).fit(data.select("v", task), task)
        assert_same_outputs(model, plain, probe)
    config = json.loads(model.get_booster().save_config())["learner"]["gradient_booster"]
    assert config["tree_train_param"]["max_depth"] == "3"


def test_array_and_single_columns_as_vectors(df):
    """Of `test_*_array_col_as_feature`, `test_classifier_with_multi_cols`."""
    _, plain = pair("three")
    want = plain.fit(tiled(X), tiled(TARGETS["three"])).predict_proba(tiled(X))
    for names in (["l"], ["a", "b", "c"], [vector_to_array("v").alias("made")]):
        data = df.select(*names, "three")
        model = XGBClassifier(**PARAMS, num_workers=1).fit(data, "three")
        assert_allclose(column(model.predict_proba(data), "probability"), want, rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("task", ["numbers", "two"])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_and_rows_for_validation(df, probe, task, weighted, workers):
    """Of `test_*_with_weight_eval`, `test_*_xgb_summary_with_validation`: weights count in both."""
    settings = {"early_stopping_rounds": 1, "n_estimators": 30}
    ours, plain = (model.set_params(**settings) for model in pair(task))
    rest, held = tiled(~HELD_OUT), tiled(HELD_OUT)
    rows, y, w = tiled(X), tiled(TARGETS[task]), tiled(WEIGHTS)
    sets = [(rows[rest], y[rest]), (rows[held], y[held])]
    beside = {"sample_weight": w[rest], "sample_weight_eval_set": [w[rest], w[held]]}
    plain.fit(rows[rest], y[rest], eval_set=sets, verbose=False, **(beside if weighted else {}))
    roles = {"label": task, "validation": "held_out"} | ({"sample_weight": "w"} if weighted else {})
    names = ["v", task, *(["w"] if weighted else [])]
    data = raydp_ml.set_roles(df.select(*names, "held_out"), **roles)
    train = data.where("not held_out").select(*names)
    model = ours.set_params(num_workers=workers).fit(data, eval_set=[train])
    assert model.best_iteration == plain.best_iteration
    assert model.best_score == pytest.approx(plain.best_score, rel=1e-5)
    assert list(model.evals_result_) == ["validation_0", "validation_1"]
    for name, scores in plain.evals_result().items():
        for metric, values in scores.items():
            assert_allclose(model.evals_result_[name][metric], values, rtol=1e-5)
    assert_same_outputs(model, plain, probe)


def test_weights_and_base_margins(df):
    """Of `test_classifier_with_base_margin`: the same at predict as at fit, or others."""
    ours, plain = pair("two")
    plain.fit(
        tiled(X), tiled(TARGETS["two"]), sample_weight=tiled(WEIGHTS), base_margin=tiled(MARGINS)
    )
    data = df.select("v", "two", "w", "m").withColumn("other", functions.col("m") + 1)
    train = data.drop("other")
    model = ours.set_params(num_workers=2).fit(train, "two", sample_weight="w", base_margin="m")
    for name, more in (("m", 0), ("other", 1)):
        made = model.predict_proba(data, base_margin=name)
        want = plain.predict_proba(tiled(X), base_margin=tiled(MARGINS) + more)
        assert_allclose(column(made, "probability"), want, **SUMS)
        made = model.predict(data, base_margin=name)
        want = plain.predict(tiled(X), base_margin=tiled(MARGINS) + more)
        assert_array_equal(column(made, "prediction"), want)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("task", ["numbers", "two"])
@pytest.mark.parametrize("missing", [0.0, 2.0])
def test_a_number_that_stands_for_missing(df, probe, task, missing, workers):
    """Of `test_*_with_sparse_optim`: with ``missing=0``, what a sparse vector does not hold."""
    ours, plain = pair(task, missing=missing)
    plain.fit(tiled(X), tiled(TARGETS[task]))
    model = ours.set_params(num_workers=workers).fit(df.select("v", task), task)
    assert_same_outputs(model, plain, probe)
    # Zeros are no missing values here, and to XGBoost's own object those of sparse rows are.
    warns = (
        pytest.warns(UserWarning, match="give that object dense rows") if missing else nullcontext()
    )
    with warns:
        genuine = model.to_xgboost()
    assert genuine.missing == missing
    assert_allclose(genuine.predict(X), plain.predict(X), **SUMS)


def test_types_and_weights_of_features(df):
    """Of `test_classifier_with_feature_names_types_weights`."""
    params = {"feature_types": ["i", "int", "float"], "feature_weights": [2.0, 5, 3]}
    params |= {"colsample_bytree": 0.7}
    ours, plain = pair("three", **params)
    plain.fit(tiled(X), tiled(TARGETS["three"]))
    model = ours.set_params(num_workers=1).fit(df.select("a", "b", "c", "three"), "three")
    booster = model.get_booster()
    assert booster.feature_types == plain.get_booster().feature_types == params["feature_types"]
    assert booster.feature_names == ["a", "b", "c"]
    assert_allclose(model.predict_proba(X), plain.predict_proba(X), rtol=1e-6)
    # Other weights of the features draw other columns.
    ours.set_params(feature_weights=[5.0, 1, 0]).fit(df.select("a", "b", "c", "three"), "three")
    assert abs(ours.predict_proba(X) - plain.predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("kind", ["weight", "gain", "cover", "total_gain", "total_cover"])
def test_importances(df, kind):
    """Of `test_feature_importances`."""
    ours, plain = pair("numbers", importance_type=kind)
    frame = df.select("a", "b", "c", "numbers").toPandas()
    plain.fit(frame[["a", "b", "c"]], frame["numbers"])
    model = ours.set_params(num_workers=1).fit(df.select("a", "b", "c", "numbers"), "numbers")
    assert_allclose(model.feature_importances_, plain.feature_importances_, rtol=1e-5)
    scores = model.get_booster().get_score(importance_type=kind)
    assert scores == pytest.approx(plain.get_booster().get_score(importance_type=kind), rel=1e-5)


@pytest.mark.parametrize("metric", ["auc", ["auc", "logloss"], ["rmse", "error@0.3"]])
def test_metrics(df, metric):
    """Of `test_classifier_with_list_eval_metric` and `..._string_...`, with rows to score."""
    ours, plain = pair("two", eval_metric=metric)
    rows, y = tiled(X), tiled(TARGETS["two"])
    plain.fit(rows, y, eval_set=[(rows, y)], verbose=False)
    data = df.select("v", "two")
    model = ours.set_params(num_workers=2).fit(data, "two", eval_set=[data])
    (found,), (wanted,) = model.evals_result_.values(), plain.evals_result().values()
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert_allclose(found[name], values, **SUMS)


@pytest.mark.parametrize("tree_method", ["hist", "approx"])
@pytest.mark.parametrize("workers", [1, 2])
def test_one_row_to_train_on(df, workers, tree_method):
    """Of `test_empty_train_data`: all other rows are for validation."""
    params = {"tree_method": tree_method, "reg_lambda": 0, "num_workers": workers}
    few = df.limit(4).select("v", "numbers", functions.expr("place <> 3 AS held_out"))
    data = raydp_ml.set_roles(few, label="numbers", validation="held_out")
    model = XGBRegressor(**{**PARAMS, **params}).fit(data)
    plain = xgboost.XGBRegressor(**{**PARAMS, "tree_method": tree_method, "reg_lambda": 0})
    plain.fit(X[3:4], [3.0], eval_set=[(X[:3], TARGETS["numbers"][:3])], verbose=False)
    assert_allclose(column(model.predict(few.select("v")), "prediction"), [3.0] * 4)
    assert_allclose(
        model.evals_result_["validation_0"]["rmse"],
        plain.evals_result_["validation_0"]["rmse"],
        rtol=1e-6,
    )


@pytest.mark.parametrize("tree_method", ["hist", "approx"])
def test_one_row_to_evaluate_on(df, tree_method):
    """Of `test_empty_validation_data`: one of the two workers has none."""
    params = {**PARAMS, "tree_method": tree_method}
    few = df.limit(6).select("v", "two", functions.expr("place = 3 AS held_out"))
    data = raydp_ml.set_roles(few, label="two", validation="held_out")
    model = XGBClassifier(**params, num_workers=2).fit(data)
    rest, y = np.arange(6) != 3, np.array(TARGETS["two"])
    plain = xgboost.XGBClassifier(**params)
    plain.fit(X[rest], y[rest], eval_set=[(X[3:4], y[3:4])], verbose=False)
    assert_allclose(column(model.predict_proba(few), "probability"), plain.predict_proba(X), **SUMS)
    found, wanted = model.evals_result_["validation_0"], plain.evals_result_["validation_0"]
    assert_allclose(found["logloss"], wanted["logloss"], rtol=1e-5)


def test_marks_are_booleans(df):
    """Of `test_valid_type`."""
    marked = df.select("v", "numbers", functions.expr("int(held_out) AS mark"))
    with pytest.raises(SchemaError, match=r"mark.*boolean"):
        XGBRegressor(**PARAMS).fit(raydp_ml.set_roles(marked, label="numbers", validation="mark"))


def test_early_stopping_wants_rows_to_evaluate_on(df):
    """Of `test_early_stop_param_validation`."""
    with pytest.raises(ValueError, match=r"early_stopping_rounds needs rows .*no evaluation set"):
        XGBRegressor(**PARAMS, early_stopping_rounds=1).fit(df.select("v", "numbers"), "numbers")


def falling(boosting_round):
    return 1.0 / (boosting_round + 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_callbacks(df, probe, workers):
    """Of `test_callbacks`."""
    ours, plain = pair("numbers", callbacks=[xgboost.callback.LearningRateScheduler(falling)])
    plain.fit(tiled(X), tiled(TARGETS["numbers"]))
    model = ours.set_params(num_workers=workers).fit(df.select("v", "numbers"), "numbers")
    assert_same_outputs(model, plain, probe)


@pytest.mark.parametrize("task", ["numbers", "three"])
def test_saved_and_loaded(df, probe, task, tmp_path):
    """Of `test_*_model_save_load`, `test_param_value_converter`: numpy's numbers are saved too."""
    ours, plain = pair(task, missing=2.0, max_bin=9)
    ours.set_params(missing=np.float64(2.0), max_bin=np.int64(9), n_jobs=np.int32(1))
    plain.fit(tiled(X), tiled(TARGETS[task]))
    model = ours.set_params(num_workers=1).fit(df.select("v", task), task)
    model.save(tmp_path / "model")
    loaded = raydp_ml.load(tmp_path / "model")
    assert type(loaded) is type(model)
    assert loaded.get_params() == model.get_params()
    assert loaded.get_booster().save_raw() == model.get_booster().save_raw()
    assert_same_outputs(loaded, plain, probe, rtol=1e-6, atol=1e-7)
    (file,) = (tmp_path / "model").glob("**/*.ubj")
    booster = xgboost.Booster(model_file=file)
    want = plain.get_booster().predict(xgboost.DMatrix(X, missing=2.0))
    named = xgboost.DMatrix(X, missing=2.0, feature_names=["v_0", "v_1", "v_2"])
    assert_allclose(booster.predict(named), want, rtol=1e-6)


@pytest.mark.parametrize("objective", ["rank:pairwise", "rank:ndcg"])
@pytest.mark.parametrize("workers", [1, 2])
def test_rankings_of_vectors(spark, df, objective, workers):
    """Of `test_ranker*`: groups in any order, rows for validation in groups of their own."""
    params = {**PARAMS, "objective": objective, "tree_method": "approx"}
    data = df.select(
        "v",
        "three",
        functions.expr("(monotonically_increasing_id() div 6 * 7) % 10 AS query"),
    )
    marked = data.withColumn("held_out", functions.expr("query >= 7"))
    data = raydp_ml.set_roles(marked, label="three", group="query", validation="held_out")
    rows, y = np.tile(X, (7, 1)), np.tile(TARGETS["three"], 7)
    held = np.tile(X, (3, 1)), np.tile(TARGETS["three"], 3)
    plain = xgboost.XGBRanker(**params)
    plain.fit(
        rows,
        y,
        qid=np.repeat(np.arange(7), 6),
        eval_set=[held],
        eval_qid=[np.repeat(np.arange(3), 6)],
        verbose=False,
    )
    model = XGBRanker(**params, num_workers=workers).fit(data)
    made = column(model.predict(df.limit(6).select("v")), "prediction")
    assert_allclose(made, plain.predict(X), **SUMS)
    (found,), (wanted,) = model.evals_result_.values(), plain.evals_result().values()
    assert found.keys() == wanted.keys() == {"ndcg@32"} or objective == "rank:ndcg"
    for name, values in wanted.items():
        assert_allclose(found[name], values, **SUMS)


@pytest.mark.parametrize("workers", [1, 2])
def test_categories_to_evaluate_on(spark, workers):
    """One worker has all rows of a category, and there are rows without one and with another."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"c": np.sort(rng.choice(list("stuvw"), 300)), "x": rng.normal(size=300)})
    frame["y"] = frame.c.map({"s": 3.0, "t": -1, "u": 5, "v": 0, "w": 2}) + frame.x.round(1)
    frame["held_out"] = np.arange(300) % 3 == 0
    frame.loc[::30, "c"] = None
    frame.loc[::33, "c"] = "only here"
    assert frame.held_out[::33].all()
    assert frame.held_out[::30].all()
    params = {**PARAMS, "enable_categorical": True, "max_cat_to_onehot": 1, "max_bin": 512}
    own = frame.assign(c=pd.Categorical(frame.c, list("stuvw")))
    train, held = own[~own.held_out], own[own.held_out]
    plain = xgboost.XGBRegressor(**params)
    plain.fit(train[["c", "x"]], train.y, eval_set=[(held[["c", "x"]], held.y)], verbose=False)
    data = spark.createDataFrame(frame).coalesce(1)
    data = raydp_ml.set_roles(data, label="y", validation="held_out")
    model = XGBRegressor(**params, num_workers=workers).fit(data)
    (found,), (wanted,) = model.evals_result_.values(), plain.evals_result_.values()
    assert_allclose(found["rmse"], wanted["rmse"], rtol=1e-5)
    made = column(model.predict(data.select("c", "x")), "prediction")
    assert_allclose(made, plain.predict(own[["c", "x"]]), rtol=1e-4, atol=1e-5)
