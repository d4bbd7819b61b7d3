"""XGBoost on Spark DataFrames: the numbers equal plain xgboost's on the same rows."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.sql import functions
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

PARAMS = {"n_estimators": 12, "max_depth": 4, "random_state": 0}
NAMES = ["a", "with.dot", "with space", "tick`"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(600, 4)), columns=NAMES)
    made["y"] = 2 * made["a"] + made["with.dot"] ** 2
    made["name"] = np.where(made["y"] > 2, "high", np.where(made["y"] > 0, "mid", "low"))
    made["w"] = rng.uniform(0.5, 2, 600)
    made["id"] = np.arange(600)
    return made


@pytest.fixture(scope="module")
def df(spark, frame):
    made = spark.createDataFrame(frame).repartition(3).cache()
    made.count()
    yield made
    made.unpersist()


def collected(df):
    """The rows in the order in which the export reads them."""
    return df.toPandas()


@pytest.mark.modes("local", "standalone", "native", "own")
@pytest.mark.parametrize("workers", [0, 1, None])
def test_one_worker_equals_plain_xgboost(df, workers):
    data = df.select(*(f"`{name.replace('`', '``')}`" for name in NAMES), "y", "w")
    rows = collected(data)
    plain = xgboost.XGBRegressor(**PARAMS).fit(rows[NAMES], rows["y"], sample_weight=rows["w"])
    model = XGBRegressor(num_workers=workers, **PARAMS).fit(data, "y", sample_weight="w")
    got = model.predict(data).toPandas()
    assert_allclose(got["prediction"], plain.predict(rows[NAMES]), atol=1e-6)
    assert_array_equal(model.feature_names_in_, NAMES)
    assert_allclose(model.feature_importances_, plain.feature_importances_, atol=1e-6)
    # The same object serves arrays and frames in memory.
    assert_allclose(model.predict(rows[NAMES]), plain.predict(rows[NAMES]), atol=1e-6)
    assert_allclose(model.to_xgboost().predict(rows[NAMES]), plain.predict(rows[NAMES]), atol=1e-6)


def test_two_workers_learn_the_same_function_twice(df, frame):
    data = df.drop("name", "id", "w")
    first, second = (XGBRegressor(num_workers=2, **PARAMS).fit(data, "y") for _ in range(2))
    assert first.get_booster().save_raw() == second.get_booster().save_raw()
    plain = xgboost.XGBRegressor(**PARAMS).fit(frame[NAMES], frame["y"])
    want = r2_score(frame["y"], plain.predict(frame[NAMES]))
    assert first.score(data, "y") == pytest.approx(want, abs=0.01)


@pytest.mark.slow
@pytest.mark.modes("standalone", "native")
def test_a_fit_finds_its_cpus_when_spark_holds_them_all(spark, df, frame, ray_cluster):
    assert ray_cluster.available_resources().get("CPU", 0) == 0
    data = df.drop("name", "id", "w")
    model = XGBRegressor(num_workers=2, **PARAMS).fit(data, "y")
    plain = xgboost.XGBRegressor(**PARAMS).fit(frame[NAMES], frame["y"])
    want = r2_score(frame["y"], plain.predict(frame[NAMES]))
    assert model.score(data, "y") == pytest.approx(want, abs=0.01)


def test_prediction_is_lazy_and_keeps_rows_and_columns(spark, df):
    model = XGBRegressor(num_workers=0, **PARAMS).fit(df.drop("name", "id", "w"), "y")
    made = model.predict(df)
    assert made.columns == [*df.columns, "prediction"]
    assert made.schema["prediction"].dataType.simpleString() == "double"
    assert made.drop("prediction").collect() == df.collect()
    in_memory = model.predict(df.toPandas()[NAMES])
    assert_array_equal(made.toPandas()["prediction"], in_memory)
    # A column that Arrow cannot carry stays in the JVM.
    odd = df.withColumn("m", functions.create_map(functions.lit("k"), functions.col("id")))
    assert model.predict(odd).select("m", "prediction").count() == 600
    for empty in (df.limit(0), df.where("id < 0"), df.where("id = 3").repartition(4)):
        rows = model.predict(empty).collect()
        assert len(rows) == empty.count()


def test_batches_do_not_change_predictions(spark, df):
    model = XGBRegressor(num_workers=0, **PARAMS).fit(df.drop("name", "id", "w"), "y")
    want = model.predict(df).toPandas()["prediction"]
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 7)
    try:
        assert_array_equal(model.predict(df).toPandas()["prediction"], want)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


@pytest.mark.parametrize(
    ("expression", "spark_type", "classes"),
    [
        ("name", "string", ["high", "low", "mid"]),
        ("y > 0", "boolean", [False, True]),
        ("cast(if(y > 0, 3, -2) as tinyint)", "tinyint", [-2, 3]),
        ("cast(if(y > 0, 30000000000, 1) as bigint)", "bigint", [1, 30000000000]),
        ("if(y > 0, 0.5D, 1.5D)", "double", [0.5, 1.5]),
        ("cast(if(y > 0, 1.5, 2) as decimal(5,1))", "decimal(5,1)", [1.5, 2.0]),
    ],
)
def test_classes_keep_the_labels_type(df, expression, spark_type, classes):
    data = df.withColumn("label", functions.expr(expression)).drop("name", "y", "w", "id")
    model = XGBClassifier(num_workers=2, **PARAMS).fit(data, "label")
    assert_array_equal(model.classes_, classes)
    made = model.predict_proba(model.predict(data))
    assert dict(made.dtypes)["prediction"] == spark_type
    assert dict(made.dtypes)["probability"] == "array<double>"
    rows = made.toPandas()
    shares = np.stack(rows["probability"])
    assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert_array_equal(rows["prediction"], model.classes_[shares.argmax(axis=1)])
    assert_allclose(shares, model.predict_proba(rows[NAMES]), atol=1e-7)
    want = (rows["label"].astype(model.classes_.dtype) == rows["prediction"]).mean()
    assert model.score(data, "label") == pytest.approx(want)
    genuine = model.to_xgboost()
    assert genuine.n_classes_ == len(classes)
    assert_allclose(genuine.predict_proba(rows[NAMES]), shares, atol=1e-7)


def test_scores_equal_scikit_learns(df):
    far = df.withColumn("y", functions.col("y") + 1e6).drop("name", "id")
    model = XGBRegressor(num_workers=0, **PARAMS).fit(far, "y", sample_weight="w")
    rows = model.predict(far).toPandas()
    for weight in (None, "w"):
        weights = None if weight is None else rows[weight]
        want = r2_score(rows["y"], rows["prediction"], sample_weight=weights)
        assert model.score(far, "y", weight) == pytest.approx(want, abs=1e-6)
    marked = raydp_ml.set_roles(far, label="y", sample_weight="w")
    want = r2_score(rows["y"], rows["prediction"], sample_weight=rows["w"])
    assert model.score(marked) == pytest.approx(want, abs=1e-6)
    # A prediction column of the frame's own does no harm.
    assert model.score(model.predict(far), "y") == pytest.approx(model.score(far, "y"))
    with pytest.raises(ValueError, match="score needs the label"):
        model.score(far)
    with pytest.raises(raydp_ml.exceptions.SchemaError, match="'y' holds 1 null of 1 values"):
        model.score(far.limit(1).withColumn("y", functions.lit(None).cast("double")), "y")


def test_null_and_nan_are_missing_values(spark):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200)})
    rows["y"] = np.where(rows.index % 3 == 0, 5.0, rows["x"])
    rows.loc[rows.index % 3 == 0, "x"] = np.nan
    mixed = "if(x is null or isnan(x), if(z > 0, null, double('NaN')), x)"
    data = spark.createDataFrame(rows).withColumn("x", functions.expr(mixed))
    assert data.where("x is null").count() > 0
    assert data.where("isnan(x)").count() > 0
    model = XGBRegressor(num_workers=1, **PARAMS).fit(data, "y")
    plain = xgboost.XGBRegressor(**PARAMS).fit(rows[["x", "z"]], rows["y"])
    assert_allclose(
        model.predict(data).toPandas()["prediction"], plain.predict(rows[["x", "z"]]), atol=1e-6
    )


def test_all_numeric_types_are_features(spark):
    rows = [
        (
            i % 3,
            i,
            i * 1000,
            i * 10**10,
            i / 3,
            i / 7,
            i % 2 == 0,
            decimal.Decimal(i) / 4,
            [i, 2.0 * i],
            i * 1.0,
        )
        for i in range(50)
    ]
    schema = (
        "b tinyint, s smallint, i int, l bigint, f float, d double, t boolean, "
        "m decimal(10,2), v array<double>, y double"
    )
    data = spark.createDataFrame([(*r[:8], [float(x) for x in r[8]], r[9]) for r in rows], schema)
    model = XGBRegressor(num_workers=2, **PARAMS).fit(data, "y")
    assert_array_equal(model.feature_names_in_, [*"bsilfdtm", "v_0", "v_1"])
    assert model.score(data, "y") > 0.9


def test_vectors_of_pyspark_ml(spark, df):
    from pyspark.ml.feature import VectorAssembler

    names = [f"c{i}" for i in range(4)]
    data = df.select(
        *(
            functions.col(f"`{n.replace('`', '``')}`").alias(c)
            for n, c in zip(NAMES, names, strict=True)
        ),
        "y",
    )
    made = VectorAssembler(inputCols=names, outputCol="v").transform(data).select("v", "y")
    rows = data.toPandas()
    plain = xgboost.XGBRegressor(**PARAMS).fit(rows[names].to_numpy(), rows["y"])
    model = XGBRegressor(num_workers=1, **PARAMS).fit(made, "y")
    assert_array_equal(model.feature_names_in_, ["v_0", "v_1", "v_2", "v_3"])
    assert_allclose(
        model.predict(made).toPandas()["prediction"],
        plain.predict(rows[names].to_numpy()),
        atol=1e-6,
    )
    with_null = made.unionByName(
        made.limit(1).withColumn("v", functions.when(functions.lit(False), functions.col("v")))
    )
    assert with_null.where("v is null").count() == 1
    assert model.predict(with_null).where("prediction is null").count() == 0


def test_categories_have_one_dictionary_on_all_workers(spark):
    """Partitions that hold different categories would else train without an error, and wrongly."""
    values = {"p": 1.0, "q": 5.0, "r": -3.0, "s": 8.0}
    rows = [(name, float(i % 5), value) for name, value in values.items() for i in range(60)]
    # Sorted by category, so that each of the two workers sees categories that the other does not.
    data = spark.createDataFrame(rows, ["c", "x", "y"]).coalesce(1)
    params = {"n_estimators": 30, "enable_categorical": True, "max_cat_to_onehot": 1}
    frame = data.toPandas()
    want = frame.assign(c=pd.Categorical(frame["c"]))
    plain = xgboost.XGBRegressor(**params).fit(want[["c", "x"]], want["y"])
    for workers in (1, 2):
        model = XGBRegressor(num_workers=workers, **params).fit(data, "y")
        got = model.predict(data).toPandas()
        assert_allclose(got["prediction"], got["y"], atol=0.01)
        if workers == 1:
            assert_allclose(got["prediction"], plain.predict(want[["c", "x"]]), atol=1e-6)
        unknown = model.predict(data.limit(1).withColumn("c", functions.lit("new"))).first()
        missing = model.predict(
            data.limit(1).withColumn("c", functions.lit(None).cast("string"))
        ).first()
        assert unknown["prediction"] == missing["prediction"]


def test_weights_of_zero_and_workers_without_rows(spark, df):
    data = df.select("a", "y").withColumn("w", functions.expr("if(y > 0, 1, 0)"))
    kept = data.where("y > 0").drop("w")
    weighted = XGBRegressor(num_workers=2, **PARAMS).fit(data, "y", sample_weight="w")
    filtered = XGBRegressor(num_workers=2, **PARAMS).fit(kept, "y")
    left, right = (model.predict(kept).toPandas()["prediction"] for model in (weighted, filtered))
    assert_allclose(left, right, atol=0.2)
    one_row = data.limit(1).drop("w")
    assert (
        XGBRegressor(num_workers=2, n_estimators=2).fit(one_row, "y").predict(one_row).count() == 1
    )


@pytest.mark.parametrize("way", ["frame", "list", "pair", "role"])
def test_early_stopping(df, way):
    data = df.drop("name", "w").withColumn("y", functions.expr("y + 5 * pow(-1, id)"))
    train, valid = data.where("id % 3 > 0").drop("id"), data.where("id % 3 = 0").drop("id")
    params = {**PARAMS, "n_estimators": 100, "early_stopping_rounds": 3}
    rows, held_out = train.toPandas(), valid.toPandas()
    plain = xgboost.XGBRegressor(**params)
    plain.fit(rows[NAMES], rows["y"], eval_set=[(held_out[NAMES], held_out["y"])], verbose=False)
    model = XGBRegressor(num_workers=1, **params)
    if way == "role":
        both = train.withColumn("v", functions.lit(False)).union(
            valid.withColumn("v", functions.lit(True))
        )
        model.fit(raydp_ml.set_roles(both, label="y", validation="v"))
    elif way == "frame":
        model.fit(train, "y", eval_set=valid)
    elif way == "list":
        model.fit(train, "y", eval_set=[train, valid])
    else:
        model.fit(train, "y", eval_set=[(valid.withColumnRenamed("y", "other"), "other")])
    assert model.best_iteration == plain.best_iteration < 99
    assert model.best_score == pytest.approx(plain.best_score, rel=1e-6)
    last = list(model.evals_result_)[-1]
    assert_allclose(
        model.evals_result_[last]["rmse"], plain.evals_result()["validation_0"]["rmse"], rtol=1e-6
    )
    got = model.predict(valid).toPandas()["prediction"]
    assert_allclose(got, plain.predict(held_out[NAMES]), atol=1e-6)


def test_pipelines(df, frame):
    data = raydp_ml.set_roles(
        df.drop("w").withColumn("v", functions.expr("id % 4 = 0")),
        label="name",
        validation="v",
        ignore=["id", "y"],
    )
    params = {**PARAMS, "n_estimators": 60, "early_stopping_rounds": 3}
    pipe = make_pipeline(StandardScaler(), XGBClassifier(num_workers=2, **params)).fit(data)
    assert_array_equal(pipe[0].feature_names_in_, NAMES)
    assert_array_equal(pipe[-1].feature_names_in_, NAMES)
    assert list(pipe[-1].evals_result_) == ["validation_0"]
    assert 0 < pipe[-1].best_iteration < 60
    made = pipe.predict(data)
    assert_array_equal(made.toPandas()["id"], df.toPandas()["id"])
    assert pipe.score(data) > 0.9
    by_name = make_pipeline(StandardScaler(), XGBRegressor(num_workers=0, **PARAMS))
    by_name.fit(df.drop("name", "w", "id"), "y")
    assert "y" not in by_name[0].feature_names_in_
    assert by_name.score(df.drop("name", "w", "id"), "y") > 0.9


def test_names_that_xgboost_refuses(spark):
    data = spark.createDataFrame(
        [(float(i), -float(i), float(i)) for i in range(30)], ["a[0]", "b<c", "y"]
    )
    model = XGBRegressor(num_workers=1, **PARAMS).fit(data, "y")
    assert_array_equal(model.feature_names_in_, ["a[0]", "b<c"])
    assert model.score(data, "y") > 0.8
    assert_allclose(
        model.predict(data).toPandas()["prediction"],
        model.predict(data.toPandas()[["a[0]", "b<c"]]),
    )


def test_own_objective_and_metric_on_two_workers(df):
    data = df.select("a", "y")

    def squared(y_true, y_pred):
        return y_pred - y_true, np.ones_like(y_true)

    def mae(y_true, y_pred):
        return float(np.abs(y_true - y_pred).mean())

    params = {**PARAMS, "objective": squared, "eval_metric": ["mae", mae]}
    model = XGBRegressor(num_workers=2, **params).fit(data, "y", eval_set=data)
    # XGBoost adds the scores of our function to those of its own metric of the same name.
    scores = model.evals_result_["validation_0"]["mae"]
    assert_allclose(scores[::2], scores[1::2], rtol=1e-5)
    assert scores[-1] < scores[0]
