"""Null, NaN and infinity: refused in Spark where scikit-learn refuses them on the same rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from pyspark.errors import PySparkException
from sklearn.base import clone
from sklearn.feature_selection import f_classif, f_regression

import raydp_ml
from raydp_ml import decomposition, feature_selection, impute, preprocessing
from raydp_ml.exceptions import SchemaError
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import SplineTransformer
from raydp_ml.xgboost import XGBRegressor

NAN, INF = float("nan"), float("inf")
HELD = {"nan": [NAN, NAN], "null": [None, None], "both": [NAN, None], "infinity": [-INF, 1.0]}
LAZY = {"Normalizer", "Binarizer", "PolynomialFeatures", "FunctionTransformer"}
"""Those whose ``fit`` reads no rows."""

REPRESENTATIVE = [
    preprocessing.StandardScaler(),
    preprocessing.MinMaxScaler(clip=True),
    preprocessing.Normalizer(norm="max"),
    preprocessing.Binarizer(),
    preprocessing.PolynomialFeatures(),
    preprocessing.FunctionTransformer(np.log1p, validate=True),
    impute.SimpleImputer(),
    impute.SimpleImputer(missing_values=3, strategy="most_frequent"),
    impute.SimpleImputer(missing_values=3),
    decomposition.PCA(1),
    feature_selection.SelectKBest(f_classif, k=1),
]
ALL = [
    *REPRESENTATIVE,
    preprocessing.MaxAbsScaler(),
    preprocessing.RobustScaler(),
    preprocessing.Normalizer(norm="l1"),
    preprocessing.Normalizer(),
    preprocessing.KBinsDiscretizer(2, encode="ordinal"),
    preprocessing.KBinsDiscretizer(2, encode="onehot-dense", strategy="uniform"),
    preprocessing.QuantileTransformer(n_quantiles=5),
    preprocessing.QuantileTransformer(n_quantiles=5, output_distribution="normal"),
    preprocessing.PowerTransformer(),
    preprocessing.PowerTransformer(method="box-cox"),
    preprocessing.SplineTransformer(),
    preprocessing.SplineTransformer(extrapolation="periodic"),
    preprocessing.FunctionTransformer(np.log1p),
    impute.SimpleImputer(strategy="median"),
    impute.SimpleImputer(strategy="constant"),
    impute.SimpleImputer(missing_values=3, strategy="median"),
    impute.SimpleImputer(missing_values=3, strategy="constant"),
    impute.MissingIndicator(features="all"),
    impute.MissingIndicator(missing_values=3, error_on_new=False),
    decomposition.TruncatedSVD(1),
    feature_selection.VarianceThreshold(),
    feature_selection.SelectKBest(f_regression, k=1),
]


@pytest.fixture(scope="module")
def frames(spark):
    whole = [(float(i % 7) + 1, float((i * i) % 5) + 2, i % 2) for i in range(12)]
    made = {}
    for kind, values in {**HELD, "whole": [2.5, 3.0]}.items():
        rows = [(v, b, y) for v, (_, b, y) in zip(values, whole[:2], strict=True)] + whole[2:]
        made[kind] = spark.createDataFrame(rows, "a double, b double, y int").coalesce(1).cache()
    return made


def name_of(step):
    """Return a test's name: a function's own text holds its address, another in each process."""
    function = getattr(step, "score_func", None) or getattr(step, "func", None)
    return f"{type(step).__name__}({function.__name__})" if function else str(step)


def rows_of(made):
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=float)


def outcome(function):
    """Return what a function returns, or the error that a user of Spark or scikit-learn expects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function()
        except (ValueError, PySparkException) as error:
            return error


def check(frames, step, kind):
    labelled = isinstance(step, feature_selection.SelectKBest)
    label = ["y"] if labelled else []
    frame, seen = frames[kind], frames["whole"]
    X, Y = frame.toPandas(), seen.toPandas()
    features = ["a", "b"]

    def fitted(df):
        return clone(step).fit(df.select(*features, *label), *label)

    def in_memory(data):
        return clone(step).fit(data[features], *([data["y"]] if labelled else []))

    want, got = outcome(lambda: in_memory(X)), outcome(lambda: fitted(frame))
    if type(step).__name__ not in LAZY:
        assert isinstance(got, ValueError) == isinstance(want, ValueError), (want, got)
        if isinstance(got, SchemaError):
            held = {"infinity": "infinite"}.get(kind, "missing")
            assert f"{held} values" in str(got)
            assert f"{{'a': {2 if held == 'missing' else 1}}}" in str(got)
    want = outcome(lambda: rows_of(in_memory(Y).transform(X[features])))
    got = outcome(lambda: rows_of(fitted(seen).transform(frame.select(features)).toPandas()))
    if isinstance(want, ValueError):
        assert isinstance(got, PySparkException), (want, got)
        assert "and the column 'a' holds one" in str(got)
    else:
        # scikit-learn's search of a power stops early; see PowerTransformer's notes.
        near = 1e-6 if type(step).__name__ == "PowerTransformer" else 1e-9
        np.testing.assert_allclose(got, want, rtol=near, atol=near)


@pytest.mark.parametrize("step", REPRESENTATIVE, ids=name_of)
def test_as_scikit_learn_does(frames, step):
    check(frames, step, "both")


@pytest.mark.grid
@pytest.mark.parametrize("kind", list(HELD))
@pytest.mark.parametrize("step", ALL, ids=name_of)
def test_all_kinds(frames, step, kind):
    check(frames, step, kind)


def test_infinity_is_refused_where_missing_values_are_not(frames):
    for step in (preprocessing.StandardScaler(), impute.SimpleImputer(missing_values=3)):
        check(frames, step, "infinity")
    # scikit-learn looks at no value then, and gives NaN or the outermost splines.
    spline = preprocessing.SplineTransformer(handle_missing="zeros").fit(frames["whole"], "y")
    with pytest.raises(PySparkException, match="takes no infinity, and the column 'a'"):
        spline.transform(frames["infinity"]).collect()


def test_other_types(spark):
    """Integers, booleans, decimals, floats and strings, of which null alone can be missing."""
    df = spark.sql(
        "select int(a) i, a > 1 b, decimal(a) d, float(a) f from values (1), (null), (3) as t(a)"
    )
    for name in df.columns:
        made = preprocessing.Binarizer(threshold=2).fit(df.select(name)).transform(df.select(name))
        with pytest.raises(PySparkException, match=f"the column '{name}' holds one. Impute"):
            made.collect()
    whole = df.dropna()
    made = preprocessing.Binarizer(threshold=2).fit(whole).transform(whole)
    assert made.collect()[1] == (1.0, 0.0, 1.0, 1.0)
    words = spark.createDataFrame([("?",), (None,), ("x",)], "s string")
    imputer = impute.SimpleImputer(missing_values="?", strategy="most_frequent")
    with pytest.raises(SchemaError, match=r"missing values, null or NaN \(column: count\): {'s'"):
        imputer.fit(words)
    imputer.fit(words.dropna())
    assert imputer.transform(words.dropna()).toPandas()["s"].tolist() == ["x", "x"]
    with pytest.raises(PySparkException, match="SimpleImputer takes no null, and"):
        imputer.transform(words).collect()
    with pytest.raises(ValueError, match="contains NaN"):
        imputer.transform(pd.DataFrame({"s": ["?", np.nan]}, dtype=object))


def test_what_is_refused_lazily_is_a_schema_error_of_the_next_fit(frames):
    made = preprocessing.Normalizer().fit(frames["whole"].drop("y")).transform(frames["both"])
    for first_to_run in (
        lambda: preprocessing.StandardScaler().fit(made, "y"),
        lambda: preprocessing.LabelEncoder().fit(made.select("a")),
        lambda: make_pipeline(SplineTransformer(), decomposition.PCA(1)).fit(made, "y"),
        lambda: XGBRegressor(n_estimators=1, num_workers=0).fit(made, "y"),
        lambda: XGBRegressor(n_estimators=1, num_workers=0).fit(
            frames["whole"], "y", eval_set=[made]
        ),
        lambda: raydp_ml.from_spark(made),
    ):
        with pytest.raises(SchemaError, match=r"^Normalizer takes no null, NaN or infinity, and"):
            first_to_run()
