"""Parity with scikit-learn on flights out of New York, for what is shown elsewhere on less data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import compose as plain_compose
from sklearn import decomposition as plain_decomposition
from sklearn import feature_selection as plain_selection
from sklearn import impute as plain_impute
from sklearn import pipeline as plain_pipeline
from sklearn import preprocessing as plain_preprocessing
from sklearn.feature_extraction import text as plain_text

from raydp_ml import compose, decomposition, feature_selection, impute, pipeline, preprocessing
from raydp_ml.feature_extraction import text
from tests.parity import as_keys, assert_parity, packaged_flights

pytestmark = pytest.mark.slow

NUMBERS = ["dep_delay", "arr_delay", "air_time", "distance", "hour"]
PLACES = ["carrier", "origin", "dest"]


@pytest.fixture(scope="module")
def flights(spark):
    """Flights with holes as the data has them, unevenly spread over partitions."""
    frame = packaged_flights()[[*NUMBERS, *PLACES, "tailnum"]]
    frame = frame.astype(dict.fromkeys(NUMBERS, float))
    df = spark.createDataFrame(frame.astype(object).where(frame.notna(), None), schema_of(frame))
    return df.repartition(7, "carrier").cache()


def schema_of(frame):
    kinds = ("double" if kind.kind == "f" else "string" for kind in frame.dtypes)
    return ", ".join(f"{name} {kind}" for name, kind in zip(frame.columns, kinds, strict=True))


@pytest.fixture(scope="module")
def whole(flights):
    return flights.select(*NUMBERS).dropna().cache()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("MinMaxScaler", {}),
        ("MaxAbsScaler", {}),
        ("QuantileTransformer", {"subsample": None, "output_distribution": "normal"}),
    ],
)
def test_numbers_with_holes(flights, name, params):
    ours, theirs = getattr(preprocessing, name)(**params), getattr(plain_preprocessing, name)
    assert_parity(ours, theirs(**params), flights.select(*NUMBERS))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("Normalizer", {}),
        ("Binarizer", {"threshold": 15}),
        ("KBinsDiscretizer", {"subsample": None}),
        ("KBinsDiscretizer", {"strategy": "uniform", "encode": "onehot-dense"}),
        ("PolynomialFeatures", {}),
        ("SplineTransformer", {"knots": "quantile", "sparse_output": True}),
    ],
)
@pytest.mark.filterwarnings("ignore:Bins whose width are too small")
def test_numbers(whole, name, params):
    ours, theirs = getattr(preprocessing, name)(**params), getattr(plain_preprocessing, name)
    assert_parity(ours, theirs(**params), whole)


def test_powers(whole):
    ours, theirs = preprocessing.PowerTransformer(), plain_preprocessing.PowerTransformer()
    # scikit-learn's search stops at a relative 1.5e-8 of the power; see PowerTransformer's notes.
    assert_parity(ours, theirs, whole.drop("hour"), rtol=5e-6, attributes=False)
    assert_allclose(ours.lambdas_, theirs.lambdas_, rtol=1e-5)


@pytest.mark.parametrize("params", [{"handle_unknown": "error"}, {"min_frequency": 100}])
def test_places(flights, params):
    df = flights.select(*PLACES, "tailnum")
    for name in ("OrdinalEncoder", "OneHotEncoder"):
        ours, theirs = getattr(preprocessing, name), getattr(plain_preprocessing, name)
        assert_parity(ours(**params), theirs(**params), df, collect=as_keys)


def test_labels(flights):
    ours = preprocessing.LabelEncoder().fit(flights.select("dest"))
    dest = flights.toPandas()["dest"]
    theirs = plain_preprocessing.LabelEncoder().fit(dest)
    assert list(ours.classes_) == list(theirs.classes_)
    made = ours.transform(flights.select("dest")).toPandas()
    assert made["dest"].tolist() == theirs.transform(dest).tolist()


def test_missing_values(flights):
    df = flights.select(*NUMBERS, "tailnum")
    # (None among strings is a value to scikit-learn; null in Spark is what NaN is there.)
    frame = df.toPandas().fillna(np.nan)
    ours, theirs = impute.MissingIndicator(), plain_impute.MissingIndicator()
    assert_allclose(ours.fit(df).transform(df).toPandas(), theirs.fit_transform(frame))
    assert ours.features_.tolist() == theirs.features_.tolist()


@pytest.mark.parametrize(
    ("score", "label"), [("f_regression", "arr_delay"), ("f_classif", "hour"), ("chi2", "hour")]
)
def test_selection(whole, score, label):
    df = whole.drop("dep_delay", "arr_delay") if score == "chi2" else whole
    ours = feature_selection.SelectKBest(getattr(feature_selection, score), k=2)
    theirs = plain_selection.SelectKBest(getattr(plain_selection, score), k=2)
    assert_parity(ours, theirs, df, label=label)


def test_variances(whole):
    params = {"threshold": 30.0}
    ours = feature_selection.VarianceThreshold(**params)
    assert_parity(ours, plain_selection.VarianceThreshold(**params), whole)


@pytest.mark.parametrize("name", ["PCA", "TruncatedSVD"])
def test_decompositions(whole, name):
    full = {"PCA": {"svd_solver": "full"}, "TruncatedSVD": {"algorithm": "arpack"}}[name]
    ours = getattr(decomposition, name)(3)
    theirs = getattr(plain_decomposition, name)(3, **full)
    assert_parity(ours, theirs, whole, attributes=False)
    for attribute in ("components_", "explained_variance_", "singular_values_"):
        got, want = getattr(ours, attribute), getattr(theirs, attribute)
        assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_texts(flights):
    words = flights.selectExpr("concat_ws(' ', carrier, origin, dest, tailnum) AS words")
    documents = words.toPandas()["words"]
    for name, params in (
        ("TfidfVectorizer", {"max_features": 500, "ngram_range": (1, 2)}),
        ("HashingVectorizer", {"n_features": 1024}),
    ):
        ours = getattr(text, name)(**params).fit(words)
        want = getattr(plain_text, name)(**params).fit_transform(documents).toarray()
        got = np.array([row[0].toArray() for row in ours.transform(words).collect()])
        assert_allclose(got, want, rtol=1e-9)


def test_side_by_side(flights):
    def made(prep, comp, imp, pipe):
        scaled = pipe.make_pipeline(imp.SimpleImputer(), prep.StandardScaler())
        both = pipe.FeatureUnion([("scaled", scaled), ("flags", imp.SimpleImputer())])
        encoded = prep.OneHotEncoder(sparse_output=False)
        return comp.ColumnTransformer([("n", both, NUMBERS), ("p", encoded, PLACES)])

    ours = made(preprocessing, compose, impute, pipeline)
    theirs = made(plain_preprocessing, plain_compose, plain_impute, plain_pipeline)
    assert_parity(ours, theirs, flights.drop("tailnum"), attributes=False)
