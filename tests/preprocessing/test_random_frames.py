"""Parity on frames that hypothesis thinks of; see `tests.frames`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn import decomposition as plain_decomposition
from sklearn import feature_selection as plain_selection
from sklearn import impute as plain_impute
from sklearn import preprocessing as plain

from raydp_ml import impute, preprocessing
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_selection import VarianceThreshold
from tests.frames import CATEGORIES, FEW, KINDS, WHOLE, frames, spread
from tests.parity import as_keys, assert_parity, assert_same, collected, matrix

pytestmark = pytest.mark.slow


@FEW
@given(frame=frames(KINDS))
@pytest.mark.filterwarnings("ignore")
def test_numbers(spark, frame):
    df = spread(spark, frame)
    for name in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        assert_parity(getattr(preprocessing, name)(), getattr(plain, name)(), df)
    params = {"strategy": "median", "add_indicator": True}
    assert_parity(impute.SimpleImputer(**params), plain_impute.SimpleImputer(**params), df)
    df.unpersist()


@FEW
@given(frame=frames({key: kind for key, kind in KINDS.items() if key != "double"}, least=2))
@pytest.mark.filterwarnings("ignore")
def test_whole_numbers(spark, frame):
    df = spread(spark, frame)
    for name, params in (
        ("KBinsDiscretizer", {"encode": "ordinal"}),
        ("PolynomialFeatures", {}),
        ("QuantileTransformer", {"n_quantiles": 7}),
        ("Normalizer", {}),
        ("Binarizer", {"threshold": 1.5}),
    ):
        ours = getattr(preprocessing, name)(**params)
        assert_parity(ours, getattr(plain, name)(**params), df)
    df.unpersist()


@FEW
@given(frame=frames(KINDS), shape=st.sampled_from(["uniform", "normal"]))
@pytest.mark.filterwarnings("ignore")
def test_quantiles_of_missing_values(spark, frame, shape):
    df = spread(spark, frame)
    params = {"n_quantiles": 7, "output_distribution": shape}
    ours = preprocessing.QuantileTransformer(**params)
    assert_parity(ours, plain.QuantileTransformer(**params), df)
    df.unpersist()


@FEW
@given(frame=frames(WHOLE, least=2), knots=st.sampled_from(["uniform", "quantile"]))
@pytest.mark.filterwarnings("ignore")
def test_splines(spark, frame, knots):
    df = spread(spark, frame)
    params = {"knots": knots, "n_knots": 3, "degree": 2}
    ours = preprocessing.SplineTransformer(**params)
    assert_parity(ours, plain.SplineTransformer(**params), df)
    df.unpersist()


@settings(FEW, max_examples=3)
@given(frame=frames(KINDS))
@pytest.mark.filterwarnings("ignore")
def test_powers(spark, frame):
    """The likelihood may be so flat that powers differ: no power of scikit-learn's is likelier."""
    # A column without values is refused, by both.
    assume(
        all(any(x is not None and x == x for x in column) for column in zip(*frame[0], strict=True))
    )
    df = spread(spark, frame)
    X = collected(df).astype(float)
    ours = preprocessing.PowerTransformer().fit(df)
    theirs = plain.PowerTransformer().fit(X)
    for name, mine, other in zip(X, ours.lambdas_, theirs.lambdas_, strict=True):
        x = X[name].dropna().to_numpy()
        if np.ptp(x) == 0:
            # (scikit-learn does not see a constant as one where values are missing.)
            assert mine == 1
            assert other == 1 or X[name].isna().any()
        else:
            most, theirs_most = (stats.yeojohnson_llf(power, x) for power in (mine, other))
            assert most >= theirs_most - 1e-9 * max(1, abs(theirs_most))
    # The powers given, all else is scikit-learn's to the last digits.
    theirs.lambdas_ = ours.lambdas_
    powered = np.column_stack(
        [stats.yeojohnson(x, power) for x, power in zip(X.to_numpy().T, ours.lambdas_, strict=True)]
    )
    theirs._scaler.fit(powered)
    want = theirs.transform(X)
    assert_same(ours._scaler.mean_, theirs._scaler.mean_, "mean_")
    assert_same(ours._scaler.scale_, theirs._scaler.scale_, "scale_")
    assert_allclose(matrix(ours.transform(df), want.shape[1]), want, rtol=1e-9, atol=1e-9)
    df.unpersist()


@FEW
@given(frame=frames({key: WHOLE[key] for key in ("double", "int", "boolean")}, least=3))
@pytest.mark.filterwarnings("ignore")
def test_variances(spark, frame):
    df = spread(spark, frame)
    X = df.toPandas().astype(float)
    assume((X.nunique() > 1).any())
    ours, theirs = PCA().fit(df), plain_decomposition.PCA(svd_solver="full").fit(X)
    scale = theirs.explained_variance_.max()
    assert_allclose(ours.explained_variance_, theirs.explained_variance_, atol=1e-9 * scale)
    # Directions of equal variance are anyone's choice; all of them together give the rows back.
    if len(X) > X.shape[1]:
        back = ours.inverse_transform(ours.transform(df)).toPandas()
        assert_allclose(back, X, rtol=1e-9, atol=1e-9 * max(1, np.abs(X.to_numpy()).max()))
    variances = VarianceThreshold().fit(df).variances_
    want = plain_selection.VarianceThreshold().fit(X).variances_
    assert_allclose(variances, want, rtol=1e-9, atol=1e-9 * scale)
    df.unpersist()


@FEW
@given(frame=frames({"double": KINDS["double"], "string": CATEGORIES["string"]}))
@pytest.mark.filterwarnings("ignore")
def test_missing_values(spark, frame):
    df = spread(spark, frame)
    X = df.toPandas().fillna(np.nan)
    ours, theirs = impute.MissingIndicator(), plain_impute.MissingIndicator()
    want = theirs.fit_transform(X)
    made = ours.fit(df).transform(df)
    assert ours.features_.tolist() == theirs.features_.tolist()
    if made.columns:
        assert_array_equal(made.toPandas(), want)
    df.unpersist()


@FEW
@given(frame=frames({"string": CATEGORIES["string"], "int": st.integers(0, 3)}, least=10))
@pytest.mark.filterwarnings("ignore")
def test_targets(spark, frame):
    df = spread(spark, frame).selectExpr("*", "crc32(string(c2)) % 5 + c3 AS y")
    X = as_keys(df)
    label = X.pop("y").astype(float)
    params = {"target_type": "continuous"}
    ours = preprocessing.TargetEncoder(**params).fit(df, "y")
    theirs = plain.TargetEncoder(**params).fit(X, label)
    got = ours.transform(df).drop("y").toPandas()
    assert_allclose(got, theirs.transform(X), rtol=1e-9, atol=1e-9)
    df.unpersist()


@FEW
@given(frame=frames(CATEGORIES))
@pytest.mark.filterwarnings("ignore")
def test_categories(spark, frame):
    df = spread(spark, frame)
    params = {"sparse_output": False}
    ours, theirs = preprocessing.OneHotEncoder(**params), plain.OneHotEncoder(**params)
    assert_parity(ours, theirs, df, collect=as_keys)
    assert_parity(preprocessing.OrdinalEncoder(), plain.OrdinalEncoder(), df, collect=as_keys)
    df.unpersist()


@FEW
@given(frame=frames(KINDS), at=st.integers(0, 1))
def test_infinities_are_refused(spark, frame, at):
    rows, schema, parts = frame
    row = list(rows[0])
    row[at] = float("-inf")
    df = spread(spark, ([*rows, tuple(row)], schema, parts))
    with pytest.raises(SchemaError, match=rf"infinite values \(column: count\): \{{'c{at}': "):
        preprocessing.MinMaxScaler().fit(df)
    df.unpersist()
