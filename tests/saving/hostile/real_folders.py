"""A small saved folder of each kind of estimator, made without Spark or Ray."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer as PlainFunction

from raydp_ml import save
from raydp_ml.calibration import CalibratedClassifierCV
from raydp_ml.compose import ColumnTransformer, TransformedTargetRegressor
from raydp_ml.decomposition import PCA
from raydp_ml.feature_extraction.text import CountVectorizer, TfidfVectorizer
from raydp_ml.feature_selection import SelectFromModel, SelectKBest
from raydp_ml.impute import SimpleImputer
from raydp_ml.model_selection import FixedThresholdClassifier
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFRegressor

SMALL = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
NET = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0, "num_workers": 0}


def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(120, 2)), columns=["a", "b"])
    words = np.where(made.a > 0, "up", np.where(made.b > 0, "mid", "down"))
    return made.assign(c=pd.Categorical(words), y=made.a - made.b)


def boosters():
    data = frame()
    X, y, mixed = data[["a", "b"]], data.y, data[["a", "b", "c"]]
    two = np.column_stack([y, -y])
    three = np.digitize(y, [-1, 1])
    quantiles = {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]}
    yield "trees", XGBRegressor(**SMALL).fit(X, y)
    yield "exact", XGBRegressor(tree_method="exact", gamma=5, **SMALL).fit(X, y)
    yield "dart", XGBRegressor(booster="dart", rate_drop=0.3, **SMALL).fit(X, y)
    yield "linear", XGBRegressor(booster="gblinear", n_estimators=3, n_jobs=1).fit(X, y)
    sets = XGBRegressor(enable_categorical=True, max_cat_to_onehot=1, **SMALL)
    yield "categories", sets.fit(mixed, y)
    codes = XGBRegressor(enable_categorical=True, feature_types=["q", "c"], **SMALL)
    yield "codes", codes.fit(np.column_stack([y, three]), y)
    vectors = XGBRegressor(multi_strategy="multi_output_tree", **SMALL)
    yield "vectors", vectors.fit(X, two)
    classes = XGBClassifier(multi_strategy="multi_output_tree", **SMALL)
    yield "vectors_of_classes", classes.fit(X, three)
    yield "targets", XGBRegressor(**SMALL).fit(X, two)
    yield "quantiles", XGBRegressor(**quantiles, **SMALL).fit(X, y)
    yield "classes", XGBClassifier(**SMALL).fit(X, np.array(["x", "y", "z"])[three])
    yield "binary", XGBClassifier(**SMALL).fit(X.to_numpy(), np.where(y > 0, "yes", "no"))
    yield "labels", XGBClassifier(**SMALL).fit(X, (two > 0).astype(int))
    yield "ranking", XGBRanker(**SMALL).fit(X, three, qid=np.arange(120) // 10)
    yield "forest", XGBRFRegressor(n_estimators=3, max_depth=3, n_jobs=1).fit(X, y)
    early = XGBRegressor(early_stopping_rounds=1, **SMALL)
    yield "early", early.fit(X, y, eval_set=[(X, y)])


def networks():
    data = frame()
    X, y = data[["a", "b"]], data.y
    yield "network", TorchRegressor(**NET).fit(X, y)
    yield "network_classes", TorchClassifier(**NET).fit(X, np.digitize(y, [-1, 1]))
    embedding = TorchRegressor(enable_categorical=True, **NET)
    yield "embedding", embedding.fit(data[["a", "c"]], y)


def transformers():
    data = frame()
    X, y = data[["a", "b"]], data.y
    words = data[["c"]].astype(str)
    many = pd.DataFrame({"c": [*"aaaaabbbbbcd"]})
    yield "scaler", StandardScaler().fit(X)
    yield "one_hot", OneHotEncoder(drop="first", sparse_output=False).fit(words)
    yield "one_hot_rare", OneHotEncoder(min_frequency=3).fit(many)
    yield "bins", KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf").fit(X)
    yield "polynomial", PolynomialFeatures(3).fit(X)
    yield "splines", SplineTransformer(n_knots=4).fit(X)
    yield "power", PowerTransformer().fit(X)
    yield "quantile", QuantileTransformer(n_quantiles=7).fit(X)
    yield "target", TargetEncoder(cv=2, random_state=0).fit(words, y)
    yield "ordinal", OrdinalEncoder(dtype=np.float32).fit(words)
    yield "imputer", SimpleImputer(add_indicator=True).fit(X.where(X > -1))
    yield "best", SelectKBest(k=1).fit(X, (y > 0).astype(int))
    yield "pca", PCA(1).fit(X)
    yield "counts", CountVectorizer().fit(["up down", "mid up"])
    yield "tfidf", TfidfVectorizer().fit(["up down", "mid up"])
    yield "function", FunctionTransformer(np.exp).fit(X)
    yield "sql", SQLTransformer("select a, b from __THIS__")
    parts = [("a", make_pipeline(StandardScaler()), ["a"]), ("f", PlainFunction(np.exp), ["b"])]
    yield "columns", ColumnTransformer(parts).fit(X)


def meta_estimators():
    data = frame()
    X, y = data[["a", "b"]], data.y
    regressor, classifier = XGBRegressor(**SMALL), XGBClassifier(**SMALL)
    late = np.where(y > 0, "yes", "no")
    yield "pipeline", make_pipeline(StandardScaler(), "passthrough", regressor).fit(X, y)
    yield "frozen", FrozenEstimator(XGBRegressor(**SMALL).fit(X, y))
    yield "selected", make_pipeline(SelectFromModel(XGBRegressor(**SMALL)), regressor).fit(X, y)
    yield (
        "log",
        TransformedTargetRegressor(regressor, func=np.arcsinh, inverse_func=np.sinh).fit(X, y),
    )
    yield "threshold", FixedThresholdClassifier(classifier, threshold=0.2).fit(X, y > 0)
    for method in ("sigmoid", "isotonic"):
        yield method, CalibratedClassifierCV(classifier, method=method, cv=2).fit(X, late)


def write(root):
    """Write all of them as folders of `root`; return their names."""
    names = []
    for kinds in (boosters, networks, transformers, meta_estimators):
        for name, estimator in kinds():
            save(estimator, root / name)
            names.append(name)
    return names
