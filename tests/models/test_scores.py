"""Scores on Spark are scikit-learn's of the same rows, or refuse what scikit-learn refuses."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score

from raydp_ml.exceptions import SchemaError
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

PARAMS = {"n_estimators": 3, "num_workers": 0}


@pytest.fixture(scope="module")
def df(spark):
    made = spark.range(60).selectExpr(
        *("double(id % 10) AS x", "id % 10 + rand(1) AS y", "id % 10 > 4 AS b", "int(id % 2) AS k"),
        "cast((id % 3 > 0) as int) * 0.1BD AS d",
        "1.0D AS w",
    )
    return made.cache()


@pytest.fixture(scope="module")
def models(df):
    return {
        "y": XGBRegressor(**PARAMS).fit(df.select("x", "y"), "y"),
        "k": XGBClassifier(**PARAMS).fit(df.select("x", "k"), "k"),
    }


def jobs(spark):
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(None))


BAD_WEIGHTS = {
    "null": "if(x = 3, null, w)",
    "NaN": "if(x = 3, double('NaN'), w)",
    "infinite": "if(x = 3, double('Infinity'), w)",
    "zero": "0.0D",
}


@pytest.mark.parametrize("label", ["y", "k"])
@pytest.mark.parametrize("sql", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_weights_that_scikit_learn_refuses(df, models, label, sql):
    given = df.selectExpr("x", label, f"{sql} AS w")
    frame = given.toPandas()
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        models[label].score(frame[["x"]], frame[label], frame.w)
    with pytest.raises(SchemaError, match=r"(?i)sample.weight"):
        models[label].score(given, label, "w")


def test_weights_that_are_no_numbers(df, models):
    given = df.selectExpr("x", "k", "string(w) AS w")
    with pytest.raises(SchemaError, match=r"'w' is of type string, and weights are numbers"):
        models["k"].score(given, "k", "w")


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_labels_that_are_no_numbers(df, models, value):
    given = df.selectExpr("x", f"if(x = 3, double('{value}'), y) AS y")
    with pytest.raises(SchemaError, match="'y' holds 6 NaN or infinite of 60 values"):
        models["y"].score(given, "y")


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_labels_that_are_no_classes(df, models, value):
    given = df.selectExpr("x", f"if(x = 3, double('{value}'), k) AS k")
    with pytest.raises(SchemaError, match="'k' holds 6 NaN or infinite of 60 values"):
        models["k"].score(given, "k")
    frame = given.toPandas()
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        models["k"].score(frame[["x"]], frame.k)


@pytest.mark.parametrize("kind", ["decimal(38,0)", "decimal(10,4)", "decimal(2,1)", "double"])
def test_a_label_of_another_number_type_is_compared_exactly(df, kind):
    model = XGBClassifier(**PARAMS).fit(df.select("x", "d"), "d")
    assert set(model.classes_) == {Decimal("0.0"), Decimal("0.1")}
    given = df.selectExpr("x", f"cast(d as {kind}) AS d")
    frame = given.toPandas()
    predicted = [float(value) for value in model.predict(frame[["x"]])]
    expected = np.mean(frame.d.astype(float) == predicted)
    assert expected < 1
    assert model.score(given, "d") == pytest.approx(expected, abs=1e-12)
    assert model.score(frame[["x"]], frame.d) == pytest.approx(expected, abs=1e-12)


def test_booleans_and_numbers_are_compared(df):
    model = XGBClassifier(**PARAMS).fit(df.select("x", "b"), "b")
    given = df.selectExpr("x", "int(b) AS b")
    frame = given.toPandas()
    assert model.score(given, "b") == model.score(frame[["x"]], frame.b) == 1.0


@pytest.mark.parametrize("label", ["k", "d"])
def test_texts_are_no_numbers(df, label):
    model = XGBClassifier(**PARAMS).fit(df.select("x", label), label)
    given = df.selectExpr("x", f"string({label}) AS {label}")
    frame = given.toPandas()
    with pytest.raises(SchemaError, match="is of type string, and the classes are of type"):
        model.score(given, label)
    with pytest.raises(ValueError, match=r"Mix of|another kind"):
        model.score(frame[["x"]], frame[label])


def test_a_continuous_label_has_no_classes(df):
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        XGBClassifier(**PARAMS).fit(df.select("x", "y"), "y")
    frame = df.select("x", "y").toPandas()
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        XGBClassifier(**PARAMS).fit(frame[["x"]], frame.y)


@pytest.fixture(scope="module")
def ranked():
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=200).round(1), "q": np.sort(rng.integers(0, 9, 200))}
    return pd.DataFrame({**columns, "rel": rng.integers(0, 4, 200)})


def test_rows_of_one_score_share_their_places(spark, ranked):
    model = XGBRanker(n_estimators=1, max_depth=1, num_workers=0)
    model.fit(ranked[["a"]], ranked.rel, qid=ranked.q)
    scores = model.predict(ranked[["a"]])
    assert len(np.unique(scores)) == 2
    expected = np.mean(
        [ndcg_score([2.0**rows.rel - 1], [scores[rows.index]]) for _, rows in ranked.groupby("q")]
    )
    shuffled = ranked.sample(frac=1, random_state=0)
    assert model.score(ranked[["a"]], ranked.rel, qid=ranked.q) == pytest.approx(expected)
    assert model.score(shuffled[["a"]], shuffled.rel, qid=shuffled.q) == pytest.approx(expected)
    df = spark.createDataFrame(shuffled)
    for parts in (1, 3, 20):
        assert model.score(df.repartition(parts), "rel", group="q") == pytest.approx(expected)


@pytest.mark.parametrize("value", ["double('NaN')", "null"])
def test_missing_groups_are_refused(spark, ranked, value):
    df = spark.createDataFrame(ranked).selectExpr("a", "rel", f"if(q = 3, {value}, q) AS q")
    model = XGBRanker(n_estimators=1, num_workers=0)
    with pytest.raises(SchemaError, match="group column 'q' holds"):
        model.fit(df, "rel", group="q")
    model.fit(ranked[["a"]], ranked.rel, qid=ranked.q)
    with pytest.raises(SchemaError, match=r"group column 'q' holds \d+ missing of 200 values"):
        model.score(df, "rel", group="q")
    frame = df.toPandas()
    for call in (model.fit, model.score):
        with pytest.raises(SchemaError, match=r"groups hold \d+ missing of 200 values"):
            call(frame[["a"]], frame.rel, qid=frame.q)


def test_the_order_of_a_frame_is_that_of_its_groups(spark, ranked):
    """XGBoost breaks ties by the order of the rows."""
    model = XGBRanker(n_estimators=5, num_workers=1)
    expected = model.fit(ranked[["a"]], ranked.rel, qid=ranked.q).predict(ranked[["a"]])
    for parts in (1, 7):
        rows = spark.sparkContext.parallelize(ranked.values.tolist(), parts)
        df = rows.toDF(["a", "q", "rel"])
        got = XGBRanker(n_estimators=5, num_workers=1).fit(df, "rel", group="q")
        np.testing.assert_array_equal(got.predict(ranked[["a"]]), expected)


@pytest.mark.parametrize(
    "sizes", [np.repeat(2**60, 20), [100, 99], [100.5, 99.5], ["a"], [-1, 201]]
)
def test_sizes_of_groups_that_are_none(ranked, sizes):
    with pytest.raises(ValueError, match="add up to the 200 rows of X"):
        XGBRanker(n_estimators=1).fit(ranked[["a"]], ranked.rel, group=sizes)


def test_sizes_of_groups_may_be_floats(ranked):
    by_sizes = XGBRanker(n_estimators=2).fit(ranked[["a"]], ranked.rel, group=[120.0, 80.0])
    ids = np.repeat([0, 1], [120, 80])
    by_ids = XGBRanker(n_estimators=2).fit(ranked[["a"]], ranked.rel, qid=ids)
    X = ranked[["a"]]
    np.testing.assert_array_equal(by_sizes.predict(X), by_ids.predict(X))


def test_probabilities_are_of_the_objective_that_was_fitted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    model = XGBClassifier(n_estimators=3, objective="multi:softmax").fit(X, y)
    predicted, shares = model.predict(X), model.predict_proba(X)
    assert shares.shape == (200, 3)
    for objective in ("multi:softprob", "binary:logistic"):
        model.set_params(objective=objective)
        np.testing.assert_array_equal(model.predict(X), predicted)
        np.testing.assert_array_equal(model.predict_proba(X), shares)


def test_labels_and_predictions_of_different_shapes(df):
    """What scikit-learn refuses in memory is refused on Spark, in its words and without a job."""
    given = df.selectExpr("x", "y", "k", "array(y, 2 * y) AS two", "array(k, 1 - k) AS labels")
    quantiles = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}
    several = XGBRegressor(**PARAMS, **quantiles).fit(given.select("x", "y"), "y")
    one = XGBRegressor(**PARAMS).fit(given.select("x", "y"), "y")
    two = XGBRegressor(**PARAMS).fit(given.select("x", "two"), "two")
    kinds = XGBClassifier(**PARAMS).fit(given.select("x", "k"), "k")
    pairs = XGBClassifier(**PARAMS).fit(given.select("x", "labels"), "labels")
    before = jobs(df.sparkSession)
    with pytest.raises(
        SchemaError, match=r"label 'y' is a single value, .*an array.*one at a time"
    ):
        several.score(given, "y")
    for model, label in ((one, "two"), (two, "y"), (kinds, "labels"), (pairs, "k")):
        with pytest.raises(SchemaError, match=f"different number of output: the label '{label}'"):
            model.score(given, label)
    assert jobs(df.sparkSession) == before
    frame = given.toPandas()
    for model, y in ((several, frame.y), (one, np.stack(frame.two)), (two, frame.y)):
        with pytest.raises(ValueError, match="different number of output"):
            model.score(frame[["x"]], y)
