"""Bad input is told at once, by a typed error that says what to do."""

from __future__ import annotations

import contextlib
import time

import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import functions
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import ResourceError, SchemaError
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from tests.fresh_folder import run_python

PARAMS = {"n_estimators": 2, "num_workers": 1}


@contextlib.contextmanager
def raises_at_once(error, *, match=None):
    start = time.monotonic()
    with pytest.raises(error, match=match) as caught:
        yield caught
    assert time.monotonic() - start < 30  # nothing was waited for, on however busy a machine


@pytest.fixture(scope="module")
def df(spark):
    rows = [(float(i), i * 2, "ab"[i % 2], float(i % 3)) for i in range(20)]
    made = spark.createDataFrame(rows, ["fare", "tip", "kind", "y"]).cache()
    # The first fit of a process starts Spark's writer and the actors.
    XGBRegressor(**{**PARAMS, "num_workers": 2}).fit(made.drop("kind"), "y")
    yield made
    made.unpersist()


def jobs(spark):
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(None))


@pytest.mark.parametrize(
    ("change", "fit", "text"),
    [
        (lambda d: d.drop("kind"), {"y": "z"}, r"no column 'z', given as the label"),
        (
            lambda d: d.drop("kind"),
            {"y": "fair"},
            r"Did you mean 'fare'\? The columns are: \['fare', 'tip', 'y'\]",
        ),
        (
            lambda d: d.drop("kind"),
            {"y": "y", "sample_weight": "w"},
            "no column 'w', given as the sample_weight",
        ),
        (
            lambda d: d,
            {"y": "y"},
            "'kind' of type string cannot be a feature. Either pass enable_categorical=True",
        ),
        (
            lambda d: d.select("fare", functions.col("tip").alias("fare"), "y"),
            {"y": "y"},
            r"more than once: \['fare'\]",
        ),
        (lambda d: d.select("y"), {"y": "y"}, "No feature is left"),
        (
            lambda d: d.select("y", functions.create_map("kind", "tip").alias("m")),
            {"y": "y"},
            "'m' of type map<string,bigint> cannot be a feature",
        ),
        (
            lambda d: d.select("y", functions.current_date().alias("when")),
            {"y": "y"},
            "'when' of type date .*turn it into numbers",
        ),
        (
            lambda d: d.select("y", functions.encode("kind", "UTF-8").alias("raw")),
            {"y": "y"},
            "'raw' of type binary",
        ),
        (
            lambda d: d.select("fare", "kind"),
            {"y": "kind"},
            "label 'kind' is of type string.*use XGBClassifier",
        ),
        (
            lambda d: d.drop("kind"),
            {"y": "y", "eval_set": "drop"},
            r"The evaluation set 0 needs the columns \['tip'\]",
        ),
    ],
)
def test_before_any_job(spark, df, change, fit, text):
    data = change(df)
    if fit.get("eval_set") == "drop":
        fit = {**fit, "eval_set": df.drop("tip")}
    before = jobs(spark)
    with raises_at_once(SchemaError, match=text):
        XGBRegressor(**PARAMS).fit(data, **fit)
    assert jobs(spark) == before


def test_no_label_at_all(df):
    with raises_at_once(ValueError, match=r'target y is None. .*fit\(df, "label"\).*set_roles'):
        XGBRegressor(**PARAMS).fit(df.drop("kind"))
    with raises_at_once(TypeError, match=r"y is the name of one of its columns. Got list instead"):
        XGBRegressor(**PARAMS).fit(df, [1, 2])
    with raises_at_once(TypeError, match="eval_set is a DataFrame, or a list"):
        XGBRegressor(**PARAMS).fit(df.drop("kind"), "y", eval_set=[([[1]], [1])])


def test_values_where_a_spark_frame_wants_a_name(spark, df):
    data = df.drop("kind")
    series = pd.Series([1.0, 2.0], name="y")
    before = jobs(spark)
    for y, text in (
        (series, "Got Series instead. The rows .* have no order .*: pass y='y'"),
        (series.to_numpy(), "Got ndarray instead.*pass y=the name of its column"),
        (data.y, r"Got Column instead. Make it a column .*df.withColumn\('y', ...\).*y='y'"),
        (data.select("y"), "Got DataFrame instead. Join it to the DataFrame first"),
        (["y"], "Got list instead. Pass the name itself: y='y'"),
        (["y", "tip"], r"df.withColumn\('y', functions.array\(\*\['y', 'tip'\]\)\)"),
    ):
        model = XGBRegressor(**PARAMS)
        with raises_at_once(TypeError, match=f"y is the name of one of its columns.*{text}"):
            model.fit(data, y)
        with raises_at_once(TypeError, match="sample_weight is the name of one of its columns"):
            model.fit(data, "y", sample_weight=y)
    fitted = XGBRegressor(n_estimators=1).fit(data.toPandas(), "y")
    with raises_at_once(TypeError, match="y is the name of one of its columns.*pass y='y'"):
        fitted.score(data, series)
    for eval_set, text in (
        ([data, "y"], "Got str instead"),
        ([(data, "y", "tip")], r"Got \(DataFrame, str, str\) instead"),
        ((data, data.y), r"Got Column instead"),
        ([(data, series)], r"Got \(DataFrame, Series\) instead"),
        (data.toPandas(), "Got DataFrame instead"),
        (0.2, r"Got float instead. As in eval_set=\[\(valid, \"label\"\)\]"),
    ):
        with raises_at_once(TypeError, match=f"eval_set is a DataFrame, or a list.*{text}"):
            XGBRegressor(**PARAMS).fit(data, "y", eval_set=eval_set)
    rows = data.toPandas()
    for eval_set, text in (
        ((rows, rows["y"]), "Got DataFrame in it"),
        ([(rows, rows["y"], rows["y"])], r"Got \(DataFrame, Series, Series\) in it"),
        ([(data, "y")], r"Got \(DataFrame, str\) in it"),
        (rows, "Got DataFrame in it. As in"),
    ):
        with raises_at_once(TypeError, match=rf"list of pairs \(X, y\) in memory. {text}"):
            XGBRegressor(n_estimators=1).fit(rows, "y", eval_set=eval_set)
    assert jobs(spark) <= before + 3  # toPandas


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("cast(null as double)", r"label 'y' .* holds 20 null of 20 values \(all of them\)"),
        ("if(fare > 3, y, null)", "holds 4 null of 20 values.*df.na.drop"),
        ("if(fare > 3, y, double('NaN'))", "holds 4 NaN of 20"),
        ("if(fare > 3, y, double('Infinity'))", "holds 4 infinite of 20"),
    ],
)
def test_labels_that_cannot_be_learnt(df, label, text):
    data = df.drop("kind").withColumn("y", functions.expr(label))
    for model in (XGBRegressor(**PARAMS), XGBClassifier(**PARAMS)):
        with raises_at_once(SchemaError, match=text):
            model.fit(data, "y")


def test_one_class_only(df):
    with raises_at_once(
        SchemaError, match=r"label 'kind' has one class only \(\['a'\]\) in 10 rows"
    ):
        XGBClassifier(**PARAMS).fit(df.where("kind = 'a'"), "kind")
    valid = df.drop("y").withColumn("v", functions.expr("kind = 'b'"))
    with raises_at_once(SchemaError, match=r"one class only"):
        XGBClassifier(**PARAMS).fit(raydp_ml.set_roles(valid, validation="v"), "kind")
    three = df.drop("kind").withColumn("v", functions.expr("y = 2"))
    with raises_at_once(SchemaError, match=r"validation rows hold labels.*\[2.0\]"):
        XGBClassifier(**PARAMS).fit(raydp_ml.set_roles(three, validation="v"), "y")


def test_no_rows(df):
    data = df.drop("kind")
    with raises_at_once(SchemaError, match="training data has no rows"):
        XGBRegressor(**PARAMS).fit(data.where("fare < 0"), "y")
    with raises_at_once(SchemaError, match="evaluation set 0 has no rows"):
        XGBRegressor(**PARAMS).fit(data, "y", eval_set=data.where("fare < 0"))
    with raises_at_once(SchemaError, match="'v' marks all 20 rows for validation"):
        XGBRegressor(**PARAMS).fit(
            raydp_ml.set_roles(data.withColumn("v", functions.lit(True)), validation="v"), "y"
        )


def test_bad_weights_and_marks(df):
    data = df.drop("kind").withColumn("w", functions.expr("fare - 1"))
    with raises_at_once(
        SchemaError, match="weights 'w' of the training data hold 1 negative of 20"
    ):
        XGBRegressor(**PARAMS).fit(data, "y", sample_weight="w")
    zero = data.withColumn("w", functions.lit(0))
    with raises_at_once(SchemaError, match=r"All 20 sample weights 'w' .* are zero"):
        XGBRegressor(**PARAMS).fit(zero, "y", sample_weight="w")
    marked = data.withColumn("v", functions.expr("if(fare > 1, false, null)")).drop("w")
    with raises_at_once(SchemaError, match=r"validation column 'v' holds 2 null of 20.*fillna"):
        XGBRegressor(**PARAMS).fit(raydp_ml.set_roles(marked, validation="v"), "y")
    nothing = marked.withColumn("v", functions.lit(False))
    with raises_at_once(SchemaError, match=r"early_stopping_rounds needs rows .*'v' marks no row"):
        XGBRegressor(**PARAMS, early_stopping_rounds=2).fit(
            raydp_ml.set_roles(nothing, validation="v"), "y"
        )


def test_what_needs_one_worker_gets_one_and_no_more(df):
    """XGBoost would train a linear model on each worker's own rows, and keep the first one's."""
    data = df.drop("kind")
    params = {"booster": "gblinear", "updater": "coord_descent", "n_estimators": 3}
    with raises_at_once(InvalidParameterError, match="one worker only.*num_workers=2"):
        XGBRegressor(num_workers=2, **params).fit(data, "y")
    rows = data.toPandas()
    want = XGBRegressor(**params).fit(rows, "y").predict(rows)
    assert_allclose(XGBRegressor(**params).fit(data, "y").predict(rows), want, atol=1e-6)


@pytest.mark.parametrize("value", ["double('Infinity')", "-1e300D"])
def test_infinite_features(df, value):
    data = df.drop("kind").withColumn("tip", functions.expr(value))
    with raises_at_once(SchemaError, match=r"features \['tip'\] hold infinite values.*null"):
        XGBRegressor(**PARAMS).fit(data, "y")


def test_more_workers_than_the_cluster_can_hold(spark, df):
    before = jobs(spark)
    with raises_at_once(ResourceError, match=r"num_workers=1000 workers .*can hold at most 2"):
        XGBRegressor(num_workers=1000).fit(df.drop("kind"), "y")
    assert jobs(spark) == before
    with raises_at_once(ResourceError, match="can hold at most 0"):
        XGBRegressor(num_workers=1, resources_per_worker={"unicorn": 1}).fit(df.drop("kind"), "y")
    for name, instead in (("CPU", "cpus_per_worker"), ("object_store_memory", "ray.init")):
        with raises_at_once(InvalidParameterError, match=f"names '{name}', got .*{instead}"):
            XGBRegressor(num_workers=1, resources_per_worker={name: 1}).fit(df.drop("kind"), "y")


def test_predict_on_other_frames(spark, df):
    model = XGBRegressor(**PARAMS).fit(df.drop("kind"), "y")
    before = jobs(spark)
    with raises_at_once(
        SchemaError, match=r"needs the columns \['tip'\] that it was fitted with.*mean 'tips'"
    ):
        model.predict(df.withColumnRenamed("tip", "tips"))
    with raises_at_once(SchemaError, match="'tip' of type string cannot be a feature"):
        model.predict(df.withColumn("tip", functions.col("kind")))
    with raises_at_once(SchemaError, match=r"already has a column 'prediction'.*prediction_col="):
        model.predict(model.predict(df))
    with raises_at_once(SchemaError, match="already has a column"):
        model.predict(df.withColumnRenamed("y", "Prediction"))
    unnamed = XGBRegressor(n_estimators=2).fit([[1.0, 2.0], [3.0, 4.0]], [1, 2])
    with raises_at_once(SchemaError, match="fitted on data without column names"):
        unnamed.predict(df)
    assert jobs(spark) == before
    made = model.predict(df)
    again = model.set_params(prediction_col="other").predict(made)
    assert again.columns[-2:] == ["prediction", "other"]


def test_before_fit_and_bad_parameters(df):
    with raises_at_once(NotFittedError):
        XGBRegressor().predict(df)
    with raises_at_once(NotFittedError):
        XGBClassifier().predict_proba(df)
    for params, text in (
        ({"max_depth": -1}, "'max_depth' parameter of XGBRegressor must be"),
        ({"num_workers": -1}, "'num_workers' parameter of XGBRegressor must be"),
        ({"subsample": 2.0}, "'subsample' parameter"),
        ({"booster": "tree"}, "'booster' parameter of XGBRegressor must be a str among"),
    ):
        with raises_at_once(InvalidParameterError, match=text):
            XGBRegressor(**params).fit(df.drop("kind"), "y")


def test_a_pandas_on_spark_frame(df):
    with raises_at_once(TypeError, match=r"pandas-on-Spark frame is not supported.*to_spark\(\)"):
        XGBRegressor().fit(df.pandas_api(), "y")


def test_a_worker_s_own_error_is_the_cause_and_not_retried(df, tmp_path):
    marks = tmp_path

    def broken(y_true, y_pred):
        (marks / f"{time.monotonic_ns()}").touch()
        raise KeyError("own fault")

    with raises_at_once(raydp_ml.exceptions.TrainingError, match="KeyError: 'own fault'") as caught:
        XGBRegressor(objective=broken, num_workers=2, n_estimators=2).fit(df.drop("kind"), "y")
    assert isinstance(caught.value.__cause__, KeyError)
    assert len(list(marks.iterdir())) <= 2


CLOSED_SESSION = """
import raydp_ml, sys
from raydp_ml.xgboost import XGBRegressor
from raydp_ml.preprocessing import StandardScaler
spark = raydp_ml.init_spark(driver_memory="1g")
df = spark.createDataFrame([(1.0, 2.0), (2.0, 3.0)], ["x", "y"])
model = XGBRegressor(num_workers=0, n_estimators=1).fit(df, "y")
raydp_ml.stop_spark()
for call in (
    lambda: model.fit(df, "y"),
    lambda: model.predict(df),
    lambda: model.score(df, "y"),
    lambda: StandardScaler().fit(df),
):
    try:
        call()
    except raydp_ml.exceptions.SessionError as error:
        print("SESSION ERROR", error)
"""


@pytest.mark.slow
def test_a_closed_session(tmp_path):
    done = run_python("-c", CLOSED_SESSION, cwd=tmp_path)
    assert done.stdout.count("SESSION ERROR The SparkSession of this DataFrame was stopped") == 4, (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize("model", [XGBRegressor, TorchRegressor])
def test_categories_in_a_frame_without_names(model):
    X = pd.DataFrame({0: [0.5, 1.5], 1: pd.Categorical([3, 4])})
    with pytest.raises(SchemaError, match=r"column 1 holds categories.*columns\.astype\(str\)"):
        model(num_workers=0, enable_categorical=True).fit(X, [1.0, 2.0])
