"""Label and weights that are columns of a frame in memory, named as beside a Spark DataFrame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from numpy.testing import assert_allclose
from sklearn import decomposition, feature_selection, pipeline, preprocessing
from sklearn.compose import ColumnTransformer as PlainColumnTransformer
from sklearn.feature_extraction import text as plain_text

from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_extraction import text
from raydp_ml.feature_selection import SelectKBest
from raydp_ml.pipeline import FeatureUnion, make_pipeline
from raydp_ml.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from raydp_ml.xgboost import XGBRegressor

generator = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "a": generator.integers(0, 5, 60) * 1.0,
        "y": generator.integers(0, 3, 60) * 100.0,
        "b": generator.normal(size=60),
        "w": generator.integers(1, 4, 60) * 1.0,
    }
)
FEATURES = FRAME[["a", "b"]]
DOCUMENTS = ["apple pie", "banana", None, "pie"]


def blocks_of(table):
    from raydp_ml.exchange.blocks import put_table

    return put_table(table, 2)


def dataset_of(table):
    import ray.data

    return ray.data.from_arrow([table.slice(0, 2), table.slice(2)])


def polars_of(table):
    return pytest.importorskip("polars").from_arrow(table)


CARRIERS = {
    "pandas": pa.Table.to_pandas,
    "arrow": lambda table: table,
    "polars": polars_of,
    "blocks": blocks_of,
    "dataset": dataset_of,
}


@pytest.fixture(params=[*CARRIERS])
def carried(request):
    if request.param in {"blocks", "dataset"}:
        request.getfixturevalue("ray_cluster")
    return lambda frame: CARRIERS[request.param](pa.Table.from_pandas(frame, preserve_index=False))


def few(cls, **params):
    return cls(n_bins=3, encode="ordinal", quantile_method="averaged_inverted_cdf", **params)


def with_the_rest(cls, scaler):
    return cls([("scale", scaler, ["a"])], remainder="passthrough")


PAIRS = [
    (StandardScaler(), preprocessing.StandardScaler(), {}),
    (StandardScaler(), preprocessing.StandardScaler(), {"sample_weight": "w"}),
    (few(KBinsDiscretizer), few(preprocessing.KBinsDiscretizer), {"sample_weight": "w"}),
    (PolynomialFeatures(), preprocessing.PolynomialFeatures(), {}),
    (PCA(1), decomposition.PCA(1), {}),
    (
        TargetEncoder(target_type="continuous", random_state=0),
        preprocessing.TargetEncoder(target_type="continuous", random_state=0),
        {},
    ),
    (
        SelectKBest(feature_selection.f_classif, k=1),
        feature_selection.SelectKBest(feature_selection.f_classif, k=1),
        {},
    ),
    (
        with_the_rest(ColumnTransformer, MinMaxScaler()),
        with_the_rest(PlainColumnTransformer, preprocessing.MinMaxScaler()),
        {},
    ),
    (
        FeatureUnion([("scale", MinMaxScaler())]),
        pipeline.FeatureUnion([("scale", preprocessing.MinMaxScaler())]),
        {},
    ),
    (
        FunctionTransformer(np.sqrt),
        preprocessing.FunctionTransformer(np.sqrt),
        {},
    ),
]


@pytest.mark.parametrize(
    ("ours", "plain", "weights"), PAIRS, ids=[f"{type(o).__name__}{len(w)}" for o, _, w in PAIRS]
)
@pytest.mark.parametrize("at_once", [False, True])
def test_named_columns_are_no_features(carried, ours, plain, weights, at_once):
    given = FRAME if weights else FRAME.drop(columns="w")
    X = carried(given.abs())
    arrays = {what: FRAME[name] for what, name in weights.items()}
    features, label = FEATURES.abs(), FRAME["y"]
    if at_once:
        made = ours.fit_transform(X, "y", **weights)
        expected = plain.fit_transform(features, label, **arrays)
    else:
        made = ours.fit(X, "y", **weights).transform(features)
        expected = plain.fit(features, label, **arrays).transform(features)
    assert_allclose(made, expected, rtol=1e-12)
    assert list(getattr(ours, "feature_names_in_", ["a", "b"])) == ["a", "b"]


def test_what_cannot_be_found_is_said():
    with pytest.raises(SchemaError, match="no column 'z', given as the y"):
        StandardScaler().fit(FRAME, "z")
    with pytest.raises(ValueError, match=r"'y' was given, and X \(ndarray\) has no column names"):
        StandardScaler().fit(FRAME.to_numpy(), "y")
    with pytest.raises(ValueError, match="'w' was given, and X"):
        StandardScaler().fit_transform(FRAME.to_numpy(), sample_weight="w")


@pytest.mark.parametrize("names", [{"y": "y"}, {"xgbregressor__base_margin": "w"}], ids=["y", "w"])
def test_a_pipeline_in_memory_takes_arrays(names):
    # (Its last step would otherwise train on the label, or with the margin, that was scaled.)
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), XGBRegressor())
    column = next(iter(names.values()))
    with pytest.raises(ValueError, match=rf"\['{column}'\] are given by name"):
        model.fit(FRAME, **{"y": FRAME["y"], **names})


def test_functions_of_frames_hand_names_on():
    def doubled(frame):
        return frame.assign(c=frame["a"] * 2)

    model = make_pipeline(FunctionTransformer(doubled), XGBRegressor(n_estimators=4))
    model.fit(FRAME, "y", xgbregressor__sample_weight="w")
    X = doubled(FEATURES)
    expected = xgboost.XGBRegressor(n_estimators=4).fit(X, FRAME["y"], sample_weight=FRAME["w"])
    assert_allclose(model.predict(FEATURES), expected.predict(X), rtol=1e-6)


@pytest.mark.parametrize("name", ["CountVectorizer", "TfidfVectorizer", "HashingVectorizer"])
def test_texts_of_a_frame(carried, name):
    X = carried(pd.DataFrame({"t": DOCUMENTS}))
    params = {"n_features": 32} if name.startswith("Hashing") else {}
    ours, plain = getattr(text, name)(**params), getattr(plain_text, name)(**params)
    expected = plain.fit_transform([document or "" for document in DOCUMENTS]).toarray()
    assert_allclose(ours.fit_transform(X).toarray(), expected)
    assert_allclose(ours.fit(X).transform(X).toarray(), expected)
    with pytest.raises(SchemaError, match=r"takes one column.*\['t', 'u'\]"):
        ours.fit(carried(pd.DataFrame({"t": DOCUMENTS, "u": DOCUMENTS})))
