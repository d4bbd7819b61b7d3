"""The scaler on Spark: fitted attributes and outputs equal scikit-learn's on the collected data."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.sql import functions
from sklearn import preprocessing
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import StandardScaler

NAMES = ["plain", "far.away", "holes", "flat`", "count", "flag"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(
        {
            "plain": rng.normal(size=300),
            # Squares of these lose all digits of the variance.
            "far.away": 1e7 + rng.normal(size=300),
            "holes": np.where(rng.random(300) < 0.2, np.nan, rng.normal(size=300) * 5),
            "flat`": 0.1,
            "count": rng.integers(0, 100, 300),
            "flag": rng.random(300) < 0.3,
            "w": rng.integers(0, 4, 300) / 2,
            "y": rng.integers(0, 2, 300),
        }
    )
    return made


@pytest.fixture
def df(spark, frame):
    made = spark.createDataFrame(frame).repartition(3)
    # The half of the missing values as null, the other as NaN.
    mixed = "if(holes is null or isnan(holes), if(y = 0, null, double('NaN')), holes)"
    return made.withColumn("holes", functions.expr(mixed))


def assert_same_attributes(got, want):
    for name in ("mean_", "var_", "scale_"):
        left, right = getattr(got, name), getattr(want, name)
        if right is None:
            assert left is None
        else:
            assert_allclose(left, right, rtol=1e-9, atol=1e-15)
    assert_allclose(got.n_samples_seen_, want.n_samples_seen_)
    assert np.ndim(got.n_samples_seen_) == np.ndim(want.n_samples_seen_)
    assert got.n_features_in_ == want.n_features_in_
    assert_array_equal(got.feature_names_in_, want.feature_names_in_)


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize(
    "params",
    [{}, {"with_mean": False}, {"with_std": False}, {"with_mean": False, "with_std": False}],
)
def test_fitted_attributes_equal_scikit_learns(df, frame, params, weight):
    data = df if weight else df.drop("w")
    got = StandardScaler(**params).fit(data, "y", sample_weight=weight)
    want = preprocessing.StandardScaler(**params)
    want.fit(frame[NAMES], sample_weight=None if weight is None else frame[weight])
    if weight and not params.get("with_mean", True) and not params.get("with_std", True):
        # scikit-learn counts rows here, whatever their weights.
        got.n_samples_seen_ = want.n_samples_seen_
    assert_same_attributes(got, want)


@pytest.mark.parametrize("params", [{}, {"with_mean": False}, {"with_std": False}])
def test_transform_is_lazy_sql_and_back(df, frame, params):
    data = df.withColumn("id", functions.lit("text")).withMetadata("w", {"unit": "kg"})
    data = raydp_ml.set_roles(data, label="y", sample_weight="w", ignore="id")
    scaler = StandardScaler(**params).fit(data)
    made = scaler.transform(data)
    assert made.columns == data.columns
    assert made.schema["w"].metadata == data.schema["w"].metadata
    plan = made._jdf.queryExecution().toString()
    assert "Python" not in plan
    got = made.toPandas()
    before = data.toPandas()
    want = preprocessing.StandardScaler(**params).fit(before[NAMES], sample_weight=before["w"])
    assert_allclose(got[NAMES], want.transform(before[NAMES]), rtol=1e-7, atol=1e-8)
    for name in ("w", "y", "id"):
        assert_array_equal(got[name], before[name])
    back = scaler.inverse_transform(made).toPandas()
    assert_allclose(back[NAMES], before[NAMES].astype(float), rtol=1e-9, atol=1e-9)


def test_nulls_stay_null(df):
    data = df.drop("w", "y")
    made = StandardScaler().fit(data).transform(data)
    where = functions.col("holes").isNull()
    assert made.where(where).count() == data.where(where).count() > 0


def test_the_object_is_a_fitted_scikit_learn_transformer(df, frame):
    scaler = pickle.loads(pickle.dumps(StandardScaler().fit(df, "y", sample_weight="w")))
    want = preprocessing.StandardScaler().fit(frame[NAMES], sample_weight=frame["w"])
    assert_allclose(
        scaler.transform(frame[NAMES]), want.transform(frame[NAMES]), rtol=1e-7, atol=1e-8
    )
    assert_array_equal(scaler.get_feature_names_out(), NAMES)


def test_set_output_does_no_harm(df, frame):
    scaler = StandardScaler().set_output(transform="pandas")
    made = scaler.fit_transform(df.drop("w", "y"))
    assert made.columns == NAMES
    assert isinstance(scaler.transform(frame[NAMES]), pd.DataFrame)
    assert isinstance(scaler.fit_transform(frame[NAMES]), pd.DataFrame)


def test_one_job_fits_all_columns(spark, df):
    status = spark.sparkContext.statusTracker()
    data = df.drop("w", "y").coalesce(1).cache()
    data.count()
    spark.sparkContext.setJobGroup("scaler", "")
    StandardScaler().fit(data)
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    # Adaptive execution shows each stage of the one query as a job of its own.
    assert 1 <= len(status.getJobIdsForGroup("scaler")) <= 2


def test_a_column_of_missing_values_only(spark):
    data = spark.createDataFrame([(1.0, None), (3.0, None)], "a double, b double")
    scaler = StandardScaler().fit(data)
    with np.errstate(all="ignore"):
        want = preprocessing.StandardScaler().fit(
            pd.DataFrame({"a": [1.0, 3.0], "b": [np.nan] * 2})
        )
    assert_same_attributes(scaler, want)


def test_bad_input(spark, df):
    base = spark.createDataFrame([(1.0, "x", float("inf"), -1.0)], ["a", "s", "i", "w"])
    numbers = base.select("a", "w")
    for call, text in (
        (
            lambda: StandardScaler().fit(base.select("a", "s")),
            r"'s' of type string.*encode it as numbers, or drop it.*ignore=\['s'\]",
        ),
        (
            lambda: StandardScaler().fit(base.select("a", "i")),
            r"infinite values \(column: count\): \{'i': 1\}",
        ),
        (
            lambda: StandardScaler().fit(numbers, sample_weight="w"),
            "weights 'w' hold 1 null, NaN, negative",
        ),
        (lambda: StandardScaler().fit(numbers.where("a > 5")), "DataFrame to fit has no rows"),
        (lambda: StandardScaler().fit(numbers, "b"), "no column 'b', given as the label"),
        (
            lambda: StandardScaler().fit(numbers).transform(base.select("a")),
            r"needs the columns \['w'\]",
        ),
        (
            lambda: (
                StandardScaler()
                .fit(base.select("a"))
                .transform(base.select(functions.col("s").alias("a")))
            ),
            "'a' of type string",
        ),
        (
            lambda: StandardScaler().fit([[1.0]]).transform(numbers),
            "fitted on data without column names",
        ),
    ):
        with pytest.raises(SchemaError, match=text):
            call()
    with pytest.raises(NotFittedError):
        StandardScaler().transform(numbers)
    with pytest.raises(TypeError, match=r"y is the name of one of its columns. Got list instead"):
        StandardScaler().fit(numbers, [1])
    with pytest.raises(TypeError, match="partial_fit takes batches in memory"):
        StandardScaler().partial_fit(numbers)
    with pytest.raises(InvalidParameterError, match="'with_mean' parameter"):
        StandardScaler(with_mean="yes").fit(numbers)
