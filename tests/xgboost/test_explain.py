"""SHAP values are those that XGBoost's own booster gives for the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as sql
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange import jvm
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor, jvm_shapley
from raydp_ml.xgboost.output import xgboost_version

FEATURES = ["a", "b", "c", "d"]
ROWS = 600


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)), columns=["a", "b", "c"])
    frame["b"] = np.where(rng.random(ROWS) < 0.2, np.nan, frame.b.round(1))
    frame["d"] = rng.random(ROWS) < 0.4
    frame["kind"] = rng.choice(["u", "v", "w", "x", "y", "z"], ROWS)
    frame.loc[:4, "a"] = [0.0, -0.0, 1e-46, 1e39, -1e39]  # as floats zero, and infinite
    signal = 2 * frame.a.clip(-3, 3) + np.nan_to_num(frame.b) * frame.c - 2 * frame.d
    frame["y"] = signal + frame.kind.isin(["u", "x"]) + 0.1 * rng.normal(size=ROWS)
    return frame


@pytest.fixture(scope="module")
def df(spark, rows):
    return spark.createDataFrame(rows.assign(row=range(ROWS))).repartition(7).cache()


def learnable(rows):
    """The features without those that XGBoost would refuse to learn from: infinite as floats."""
    return rows[FEATURES].assign(a=rows.a.clip(-1e6, 1e6))


def explained(made):
    """Values of the new column in the order of the rows, and whether Python computed them."""
    plan = made._jdf.queryExecution().executedPlan().toString()
    values = [row[0] for row in made.sort("row").select(made.columns[-1]).collect()]
    return np.array(values), "Python" in plan


def by_xgboost(model, X, interactions=False):
    """XGBoost's own values, and the margins that they add up to."""
    booster = model.get_booster()
    best = booster.attr("best_iteration")
    rounds = (0, 0 if best is None else int(best) + 1)
    matrix = xgboost.DMatrix(X, missing=model.missing, enable_categorical=True)
    kind = "pred_interactions" if interactions else "pred_contribs"
    values = booster.predict(
        matrix, iteration_range=rounds, validate_features=False, **{kind: True}
    )
    margin = booster.predict(
        matrix, iteration_range=rounds, validate_features=False, output_margin=True
    )
    return values, margin


def check(model, df, X, in_python=False):
    """Compare both ways with XGBoost's own values of the same rows; return those in memory."""
    expected, margin = by_xgboost(model, X)
    largest = np.abs(expected).max()
    values, went_through_python = explained(model.explain(df))
    assert went_through_python == in_python
    assert values.shape == expected.shape
    assert_allclose(values, expected, rtol=0, atol=1e-5 * largest)
    assert_allclose(values.sum(axis=-1), margin, rtol=0, atol=1e-5 * max(1, np.abs(margin).max()))
    return expected


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"max_depth": 1, "n_estimators": 3},
        {"max_depth": 12, "n_estimators": 7, "grow_policy": "lossguide"},
        {"gamma": 30.0},
        {"gamma": 1e9},
        {"num_parallel_tree": 3, "subsample": 0.5, "n_estimators": 5},
        {"objective": "reg:absoluteerror"},
        {"objective": "count:poisson"},
        {"booster": "dart", "rate_drop": 0.5, "one_drop": 1},
        {"missing": 0.1},
        {"base_score": 7.5},
    ],
    ids=str,
)
def test_numbers(rows, df, params):
    model = XGBRegressor(random_state=0, **{"n_estimators": 30, **params})
    model.fit(learnable(rows), rows.y - rows.y.min())
    expected = check(model, df, learnable(rows))
    assert_allclose(model.explain(rows[FEATURES]), expected, rtol=0, atol=1e-12)


def test_only_the_best_rounds_count(rows, df):
    X, checked = learnable(rows), learnable(rows)[10:300]
    model = XGBRegressor(n_estimators=200, early_stopping_rounds=2, learning_rate=1.0)
    model.fit(X, rows.y, eval_set=[(checked, -rows.y[10:300])])
    assert model.best_iteration < 10
    expected = check(model, df, X)
    assert_allclose(model.explain(X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [["no", "yes"], [2, 5, 11], ["c", "a", "b", "d"]], ids=str)
def test_classes(rows, df, classes):
    X = learnable(rows)
    cuts = np.quantile(rows.y, np.linspace(0, 1, len(classes) + 1)[1:-1])
    model = XGBClassifier(n_estimators=9).fit(X, np.array(classes)[np.digitize(rows.y, cuts)])
    expected = check(model, df, X)
    assert model.explain(X).shape == expected.shape
    assert expected.ndim == (2 if len(classes) == 2 else 3)
    kind = "array<double>" if len(classes) == 2 else "array<array<double>>"
    assert dict(model.explain(df).dtypes)["contributions"] == kind


def test_ranks(rows, df):
    X = learnable(rows)
    model = XGBRanker(n_estimators=5).fit(X, (rows.y > 0).astype(int), qid=np.arange(ROWS) // 10)
    check(model, df, X)


def test_several_targets(rows, df):
    X = learnable(rows)
    y = np.column_stack([rows.y, -rows.y])
    model = XGBRegressor(n_estimators=5).fit(X, y)
    assert check(model, df, X).shape == (ROWS, 2, len(FEATURES) + 1)
    model = XGBRegressor(n_estimators=5, multi_strategy="multi_output_tree").fit(X, y)
    if xgboost_version() >= (3, 4):
        values = check(model, df, X, in_python=True)
        assert values.shape == (ROWS, 2, len(FEATURES) + 1)
        return
    for data in (df, X):  # which older ones cannot explain
        with pytest.raises(InvalidParameterError, match="multi_strategy='one_output_per_tree'"):
            model.explain(data)


@pytest.mark.parametrize("max_cat_to_onehot", [1, 100], ids=["partitions", "one-hot"])
def test_categories(rows, df, max_cat_to_onehot):
    columns = [*FEATURES, "kind"]
    model = XGBRegressor(
        n_estimators=20, enable_categorical=True, max_cat_to_onehot=max_cat_to_onehot
    )
    X = learnable(rows).assign(kind=rows.kind)
    model.fit(X, rows.y)
    genuine = X.assign(kind=pd.Categorical(X.kind, sorted(X.kind.unique())))
    expected = check(model, df, genuine)
    assert_allclose(model.explain(rows[columns]), expected, rtol=0, atol=1e-12)
    assert np.abs(expected[:, 4]).max() > 0.1
    # An unknown one is a missing value.
    unknown = model.explain(df.withColumn("kind", sql.lit("?")))
    of_missing = model.explain(X.assign(kind=pd.Series([None] * ROWS, dtype=object)))
    values, in_python = explained(unknown)
    assert not in_python
    assert_allclose(values, of_missing, rtol=0, atol=1e-5 * np.abs(of_missing).max())


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_categories_of_classes(rows, df, booster):
    X = learnable(rows).assign(kind=rows.kind.where(rows.index % 7 != 0, None))
    model = XGBClassifier(
        n_estimators=9,
        enable_categorical=True,
        booster=booster,
        num_parallel_tree=2,
        max_cat_to_onehot=2,
        early_stopping_rounds=1,
        random_state=0,
    )
    y = np.digitize(rows.y, [-1, 1])
    model.fit(X, y, eval_set=[(X[:200], 2 - y[:200])])
    assert model.best_iteration < 8
    data = df.withColumn("kind", sql.when(sql.expr("row % 7 != 0"), sql.col("kind")))
    genuine = X.assign(kind=pd.Categorical(X.kind, ["u", "v", "w", "x", "y", "z"]))
    check(model, data, genuine)
    check(model, data.coalesce(1), genuine)


def test_vectors(rows, df):
    X = learnable(rows)[["a", "c"]].to_numpy()
    vectors = df.select("row", array_to_vector(sql.array("a", "c")).alias("v")).where("row > 4")
    labelled = vectors.join(df.select("row", "y"), "row").drop("row")
    model = XGBRegressor(n_estimators=10, num_workers=0).fit(labelled, "y")
    check(model, vectors, X[5:])


def test_linear_models_have_no_interactions(rows, df):
    X = rows[["a", "c"]].clip(-5, 5)
    clipped = df.withColumns(
        {x: sql.greatest(sql.least(x, sql.lit(5.0)), sql.lit(-5.0)) for x in X}
    )
    model = XGBRegressor(booster="gblinear", n_estimators=20).fit(X, rows.y)
    expected = check(model, clipped, X, in_python=True)
    split = model.explain(X, interactions=True)
    assert_allclose(split.sum(axis=-1), expected, rtol=0, atol=1e-6)
    assert_allclose(split, np.stack([np.diag(row) for row in expected]), rtol=0, atol=1e-6)
    assert_allclose(explained(model.explain(clipped, interactions=True))[0], split, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 3])
def test_interactions(rows, df, classes):
    X = learnable(rows)
    if classes:
        model = XGBClassifier(n_estimators=3).fit(X, np.digitize(rows.y, [-1, 1]))
    else:
        model = XGBRegressor(n_estimators=5).fit(X, rows.y)
    expected, margin = by_xgboost(model, X, interactions=True)
    in_memory = model.explain(X, interactions=True)
    assert_allclose(in_memory, expected, rtol=0, atol=1e-12)
    made = model.explain(df, interactions=True)
    assert made.columns == [*df.columns, "interactions"]
    values, _ = explained(made)
    assert_allclose(values, expected, rtol=0, atol=1e-6)
    assert_allclose(values.sum(axis=(-1, -2)), margin, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_without_the_jar(rows, df, monkeypatch):
    X = learnable(rows)
    models = [XGBRegressor(n_estimators=10).fit(X, rows.y)]
    models.append(XGBClassifier(n_estimators=3).fit(X, np.digitize(rows.y, [-1, 1])))
    monkeypatch.setattr(jvm_shapley, "java_object", lambda *args: None)
    for model in models:
        expected = check(model, df, X, in_python=True)
        assert_allclose(explained(model.explain(df))[0], expected, rtol=0, atol=1e-12)


def test_what_the_jvm_does_not_hold(rows, monkeypatch):
    X, nothing = learnable(rows), np.zeros(1)
    data = xgboost.DMatrix(X, rows.y)
    model = xgboost.train({"max_depth": 9}, data, 5)
    assert jvm_shapley.packed_shapley(model, nothing).n_features == 4
    # Covers that are zero define no mean.
    weightless = xgboost.DMatrix(X, rows.y, weight=np.zeros(ROWS))
    refresh = {"process_type": "update", "updater": "refresh", "refresh_leaf": 0}
    refreshed = xgboost.train(refresh, weightless, 5, xgb_model=model.copy())
    assert jvm_shapley.packed_shapley(refreshed, nothing) is None
    for limit, most in (("_MOST_LEVELS", 8), ("_MOST_NODES", 100)):
        with monkeypatch.context() as context:
            context.setattr(jvm_shapley, limit, most)
            assert jvm_shapley.packed_shapley(model.copy(), nothing) is None


@pytest.mark.slow
@settings(
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**16),
    width=st.integers(1, 6),
    depth=st.integers(1, 9),
    trees=st.integers(1, 6),
    levels=st.sampled_from([2, 5, 1000]),
    gone=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_random_models(spark, seed, width, depth, trees, levels, gone):
    rng = np.random.default_rng(seed)
    X = rng.integers(-levels, levels, size=(120, width)) / 4
    X = np.where(rng.random(X.shape) < gone, np.nan, X).astype(np.float32)
    y = np.nan_to_num(X) @ rng.normal(size=width) + rng.normal(size=120)
    names = [f"f{i}" for i in range(width)]
    frame = pd.DataFrame(X, columns=names)
    model = XGBRegressor(
        n_estimators=trees, max_depth=depth, reg_lambda=0.1, learning_rate=0.7, random_state=seed
    ).fit(frame, y)
    frame = frame.sample(40, random_state=seed).assign(row=range(40))
    check(model, spark.createDataFrame(frame), frame[names])


def test_partitions_make_no_difference(rows, df):
    model = XGBRegressor(n_estimators=10).fit(learnable(rows), rows.y)
    together = explained(model.explain(df.coalesce(1)))[0]
    assert together.tolist() == explained(model.explain(df))[0].tolist()


def test_the_frame_is_kept_and_the_column_is_the_last(rows, df):
    model = XGBRegressor(n_estimators=2).fit(learnable(rows), rows.y)
    made = model.explain(df)
    assert made.columns == [*df.columns, "contributions"]
    assert made.drop("contributions").exceptAll(df).count() == 0


def test_a_pipeline_explains_what_its_steps_make(rows, df):
    X = learnable(rows)
    finite = df.where("row > 4")
    pipe = make_pipeline(StandardScaler(), XGBRegressor(n_estimators=10, num_workers=0))
    pipe.fit(finite.select(*FEATURES, "y"), "y")
    made = pipe[-1].explain(pipe[:-1].transform(finite))
    scaled = pipe[0].transform(X[5:].to_numpy(dtype=float))
    expected, _ = by_xgboost(pipe[-1], scaled)
    assert_allclose(explained(made)[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_bad_input(rows, df):
    with pytest.raises(NotFittedError):
        XGBRegressor().explain(df)
    X = learnable(rows)
    model = XGBRegressor(n_estimators=2).fit(X, rows.y)
    with pytest.raises(SchemaError, match=r"needs the columns \['d'\]"):
        model.explain(df.drop("d"))
    with pytest.raises(ValueError, match="feature names"):
        model.explain(X.drop(columns="d"))
    there = df.withColumn("contributions", sql.lit(1))
    with pytest.raises(SchemaError, match=r"already has a column 'contributions'.*rename it"):
        model.explain(there)
    assert "interactions" in model.explain(there, interactions=True).columns
    nameless = XGBRegressor(n_estimators=2).fit(X.to_numpy(dtype=float), rows.y)
    with pytest.raises(SchemaError, match="so explain cannot tell which columns"):
        nameless.explain(df)


def test_a_vector_of_another_length(df):
    vectors = df.select("y", sql.array("c", "y").alias("v"))
    model = XGBRegressor(n_estimators=2, num_workers=0).fit(vectors, "y")
    longer = df.select(sql.array("c", "y", "y").alias("v"))
    with pytest.raises(Exception, match="must have 2 elements, as in fit, and one has 3"):
        model.explain(longer).collect()


def test_our_java_part_may_be_missing_altogether(rows, spark, monkeypatch, tmp_path):
    model = XGBRegressor(n_estimators=2).fit(learnable(rows), rows.y)
    other = spark.newSession().createDataFrame(rows.assign(row=range(ROWS)))
    monkeypatch.setattr(jvm, "JAR", tmp_path / "none.jar")
    with pytest.warns(UserWarning, match=r"none\.jar is missing"):
        check(model, other, learnable(rows), in_python=True)
