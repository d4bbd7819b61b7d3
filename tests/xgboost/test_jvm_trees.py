"""Predictions within Spark's JVM are XGBoost's own of the same rows in memory."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import xgboost

from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor, packed
from raydp_ml.xgboost.jvm_trees import packed_trees
from raydp_ml.xgboost.output import Asked

FEATURES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(3000, 3)), columns=["a", "b", "c"])
    frame["c"] = np.where(rng.random(3000) < 0.2, np.nan, frame.c.round(1))
    frame["d"] = rng.integers(-(2**60), 2**60, 3000)
    frame["e"] = rng.random(3000) < 0.4
    # What floats of 32 bits cannot tell apart, zeros of both signs, and values that are no floats.
    frame.loc[:9, "a"] = [
        0.0,
        -0.0,
        1e-46,
        -1e-46,
        1e39,
        -1e39,
        16777217.0,
        16777216.0,
        0.1,
        5e-324,
    ]
    signal = 2 * frame.a.clip(-3, 3) + np.nan_to_num(frame.c) ** 2 + frame.d / 2**60 - 2 * frame.e
    frame["y"] = signal + 0.1 * rng.normal(size=3000)
    return frame


@pytest.fixture(scope="module")
def df(spark, rows):
    made = spark.createDataFrame(rows.assign(row=range(len(rows)))).repartition(3)
    return made.withColumn("c", made.c.cast("float")).cache()


def learnable(rows):
    """The features without those that XGBoost would refuse to learn from: infinite as floats."""
    return rows[FEATURES].assign(a=rows.a.clip(-1e6, 1e6))


def predicted(made):
    """Values of a new column in the order of the rows, and whether Python computed them."""
    plan = made._jdf.queryExecution().executedPlan().toString()
    values = made.sort("row").toPandas().iloc[:, -1]
    return np.array(values.tolist()), "Python" in plan


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"max_depth": 1, "n_estimators": 3},
        {"max_depth": 12, "n_estimators": 7, "grow_policy": "lossguide"},
        {"max_depth": 3, "gamma": 30.0},
        {"gamma": 1e9},
        {"num_parallel_tree": 3, "subsample": 0.5, "n_estimators": 5},
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:pseudohubererror"},
        {"missing": 0.1},
        {"base_score": 7.5},
    ],
    ids=str,
)
def test_numbers_are_the_same_to_the_bit(rows, df, params):
    model = XGBRegressor(random_state=0, **{"n_estimators": 30, **params})
    model.fit(learnable(rows), rows.y)
    values, in_python = predicted(model.predict(df))
    assert not in_python
    assert values.tolist() == model.predict(rows[FEATURES]).tolist()


def test_only_the_best_rounds_count(rows, df):
    X, checked = learnable(rows), rows[10:500]
    model = XGBRegressor(n_estimators=200, early_stopping_rounds=2, learning_rate=1.0)
    model.fit(X, rows.y, eval_set=[(checked[FEATURES], -checked.y)])
    assert model.best_iteration < 10
    values, in_python = predicted(model.predict(df))
    assert not in_python
    assert values.tolist() == model.predict(rows[FEATURES]).tolist()


@pytest.mark.parametrize(
    ("classes", "base_score"),
    [
        (["no", "yes"], None),
        ([False, True], 0.77),
        ([2, 5, 11], None),
        (["c", "a", "b", "d"], None),
    ],
    ids=str,
)
def test_classes_and_probabilities(rows, df, classes, base_score):
    X = learnable(rows)
    cuts = np.quantile(rows.y, np.linspace(0, 1, len(classes) + 1)[1:-1])
    y = np.array(classes)[np.digitize(rows.y, cuts)]
    model = XGBClassifier(n_estimators=9, base_score=base_score).fit(X, y)
    values, in_python = predicted(model.predict(df))
    assert not in_python
    assert values.tolist() == model.predict(rows[FEATURES]).tolist()
    assert dict(model.predict(df).dtypes)["prediction"] in {"string", "bigint", "boolean"}
    shares, in_python = predicted(model.predict_proba(df))
    assert not in_python
    # The exponential function of the JVM and of XGBoost differ in the last bit of a float.
    np.testing.assert_allclose(shares, model.predict_proba(rows[FEATURES]), rtol=3e-7, atol=1e-12)


def test_ranks(rows, df):
    X, groups = learnable(rows), np.arange(3000) // 10
    model = XGBRanker(n_estimators=5).fit(X, (rows.y > 0).astype(int), qid=groups)
    values, in_python = predicted(model.predict(df))
    assert not in_python
    assert values.tolist() == model.predict(rows[FEATURES]).tolist()


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "count:poisson"},
        {"booster": "gblinear", "missing": np.nan},
    ],
    ids=str,
)
def test_what_is_no_sum_of_trees_goes_through_python(rows, df, params):
    X = rows[["b", "e"]]
    model = XGBRegressor(n_estimators=5, random_state=0, **params).fit(X, np.exp(rows.y / 4))
    values, in_python = predicted(model.predict(df))
    assert in_python
    np.testing.assert_allclose(values, model.predict(X), rtol=1e-6)


def test_decimals_are_doubles_first(rows, df):
    X = rows[["b"]].round(3)
    model = XGBRegressor(n_estimators=20).fit(X, rows.y)
    decimals = df.withColumn("b", df.b.cast("decimal(20,3)")).select("row", "b")
    values, in_python = predicted(model.predict(decimals))
    assert not in_python
    assert values.tolist() == model.predict(X).tolist()


def test_what_the_jvm_cannot_hold_is_left_to_python():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(50, 4097))
    y = wide[:, 4096] + wide[:, 0]
    for columns, fits in ((4096, True), (4097, False)):
        booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(wide[:, :columns], y), 2)
        assert (packed_trees(booster, Asked(np.nan)) is not None) == fits


def test_threads_may_share_a_frame_whose_rows_the_driver_holds(spark, rows):
    model = XGBClassifier(n_estimators=30, random_state=0)
    model.fit(learnable(rows), np.digitize(rows.y, [-1, 1]))
    cells = rows[["a", "d", "e"]][10:400].assign(b=rows.b, c=rows.c.fillna(0.0))[FEATURES]
    values = ", ".join(f"({a!r}D, {b!r}D, {c!r}D, {d}L, {e})" for a, b, c, d, e in cells.to_numpy())
    made = model.predict_proba(spark.sql(f"select * from values {values} as t(a, b, c, d, e)"))
    # Spark's optimizer computes such rows at once, in the thread that asks for them.
    assert "LocalRelation" in made._jdf.queryExecution().optimizedPlan().nodeName()

    def collected(_):
        return np.array(made.select("probability").toPandas().probability.tolist())

    expected = model.predict_proba(cells)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(collected, range(32)):
            np.testing.assert_allclose(found, expected, rtol=3e-7)


def test_a_packed_model_is_kept_with_the_booster(rows, df):
    X = learnable(rows)
    model = XGBRegressor(n_estimators=7).fit(X, rows.y)

    def answers(model):
        return [
            (model.predict(df), model.predict(rows[FEATURES])),
            (model.apply(df), model.apply(rows[FEATURES])),
            (model.explain(df), model.explain(rows[FEATURES])),
        ]

    def check(model):
        for made, expected in answers(model):
            values, in_python = predicted(made)
            assert not in_python
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4)

    check(model)
    booster, made = model.get_booster(), dict(packed._kept[model.get_booster()].made)
    assert len(made) == 3
    check(model)
    check(copy.copy(model))  # as with another name of the column
    again = packed._kept[booster].made
    assert again.keys() == made.keys()
    assert all(again[key] is made[key] for key in made)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.get_booster() not in packed._kept
    check(loaded)
    # No part of what is packed.
    check(model.set_params(missing=0.0))
    assert packed._kept[booster].made.keys() == made.keys()
    gone = weakref.ref(booster)
    del booster
    check(model.fit(X, -rows.y))
    gc.collect()
    assert gone() is None
