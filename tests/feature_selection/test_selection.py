"""Selection of features: parity with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pyspark.sql.functions import expr
from sklearn import feature_selection as plain
from sklearn.datasets import load_breast_cancer, load_diabetes

from raydp_ml import feature_selection
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold, chi2, f_classif, f_regression
from tests.frames import FEW, WHOLE, frames, spread
from tests.parity import assert_parity, collected


@pytest.fixture(scope="module")
def cancer(spark):
    X = load_breast_cancer(as_frame=True)
    frame = X.data.iloc[:, ::3].copy()
    frame["label"] = np.where(X.target == 1, "benign", "ill")
    return spark.createDataFrame(frame).repartition(3).cache()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("SelectKBest", {"k": 3}),
        ("SelectKBest", {"k": 3, "score_func": chi2}),
        ("SelectPercentile", {"percentile": 40}),
        ("SelectFpr", {"alpha": 1e-50}),
        ("SelectFdr", {"alpha": 1e-50}),
        ("SelectFwe", {"alpha": 1e-50}),
        ("GenericUnivariateSelect", {"mode": "k_best", "param": 2}),
    ],
)
def test_by_class(cancer, name, params):
    ours, theirs = getattr(feature_selection, name)(**params), getattr(plain, name)(**params)
    made = assert_parity(ours, theirs, cancer, label="label")
    back = ours.inverse_transform(made)
    assert back.columns == cancer.columns


def test_by_regression(spark):
    X = load_diabetes(as_frame=True)
    df = spark.createDataFrame(X.data.assign(y=X.target, flat=1.0)).repartition(3).cache()
    ours = SelectKBest(f_regression, k=4)
    assert_parity(ours, plain.SelectKBest(f_regression, k=4), df, label="y")


@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_by_variance(spark, cancer, threshold):
    df = cancer.drop("label").selectExpr("*", "0.1D AS flat", "if(rand(1) < 0.1, null, 2D) AS gap")
    params = {"threshold": threshold}
    assert_parity(VarianceThreshold(**params), plain.VarianceThreshold(**params), df.cache())


@FEW
@given(
    frame=frames(WHOLE, least=4),
    score=st.sampled_from([f_classif, f_regression, chi2]),
    chosen=st.sampled_from([("SelectKBest", {"k": 3}), ("SelectPercentile", {"percentile": 30})]),
)
@pytest.mark.filterwarnings("ignore")
def test_random_frames(spark, frame, score, chosen):
    name, params = chosen
    df = spread(spark, frame).withColumnRenamed("c7", "y")
    if score is chi2:
        df = df.selectExpr(*(f"abs(double({c})) AS {c}" for c in df.columns[:-1]), "y")
    elif score is f_classif:
        # Whole numbers: of others, scikit-learn does not see each time that one is constant.
        df = df.selectExpr(*(f"round(double({c})) AS {c}" for c in df.columns[:-1]), "y")
    # Classes of a few values, one of them of strings for the analysis of variance.
    label = {f_classif: "string(y > 0)", chi2: "int(abs(y)) % 3", f_regression: "double(y)"}[score]
    df = df.withColumn("y", expr(label))
    ours, theirs = (getattr(module, name)(score, **params) for module in (feature_selection, plain))
    frame = collected(df)
    theirs.fit(frame.drop(columns="y"), frame["y"])
    # The score of a feature that tells the label exactly is a ratio of rounding errors.
    assume((np.abs(np.nan_to_num(theirs.scores_)) < 1e9).all())
    assert_parity(ours, theirs, df, label="y")
    df.unpersist()


def test_bad_input(spark, cancer):
    with pytest.raises(SchemaError, match="SelectKBest requires y to be passed"):
        SelectKBest().fit(cancer.drop("label"))
    with pytest.raises(ValueError, match="choose f_classif, f_regression or chi2"):
        SelectKBest(max).fit(cancer, "label")
    with pytest.raises(SchemaError, match="'label' holds strings"):
        SelectKBest(f_regression).fit(cancer, "label")
    df = spark.createDataFrame([(-1.0, None, 0), (2.0, 1.0, 1)], "a double, b double, y int")
    with pytest.raises(SchemaError, match=r"missing values.*\{'b': 1\}"):
        SelectKBest(f_classif, k=1).fit(df, "y")
    with pytest.raises(ValueError, match="Input X must be non-negative"):
        SelectKBest(chi2, k=1).fit(df.drop("b"), "y")
    with pytest.raises(ValueError, match="No feature in X meets the variance threshold 9"):
        VarianceThreshold(9).fit(df.select("a"))


@pytest.mark.filterwarnings("ignore:No features were selected")
def test_what_kept_nothing_cannot_be_undone(cancer):
    """scikit-learn's own error says so."""
    for ours in (SelectKBest(k=0), feature_selection.SelectFpr(alpha=0)):
        fitted = ours.fit(cancer, "label")
        made = fitted.transform(cancer)
        assert made.columns == ["label"]
        with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)") as found:
            fitted.inverse_transform(made)
        with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)") as theirs:
            fitted.inverse_transform(np.empty((4, 0)))
        assert "while a minimum of 1 is required" in str(found.value)
        assert "while a minimum of 1 is required" in str(theirs.value)
