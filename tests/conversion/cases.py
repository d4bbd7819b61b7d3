"""Every public estimator and transformer, with what it is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn.base
from sklearn.base import clone

from raydp_ml import model_selection
from raydp_ml.calibration import CalibratedClassifierCV
from raydp_ml.compose import ColumnTransformer, TransformedTargetRegressor
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from raydp_ml.feature_selection import (
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)
from raydp_ml.impute import MissingIndicator, SimpleImputer
from raydp_ml.pipeline import FeatureUnion, Pipeline, make_pipeline
from raydp_ml.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    LabelEncoder,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from raydp_ml.xgboost import (
    XGBClassifier,
    XGBRanker,
    XGBRegressor,
    XGBRFClassifier,
    XGBRFRegressor,
)

NUMBERS = ["a", "b", "c"]
SMALL = {"n_estimators": 4, "max_depth": 2, "n_jobs": 1, "num_workers": 0}
GRID = {"max_depth": [1, 2]}


@dataclass
class Case:
    """An estimator, and what it is fitted on."""

    estimator: Any
    columns: Any = None
    """A name is one column, without its frame."""
    label: str | None = None
    in_spark: bool = True


def classifier(cls=XGBClassifier, **params):
    return cls(**SMALL, **params)


def regressor(cls=XGBRegressor, **params):
    return cls(**SMALL, **params)


def search(name, estimator=None, **params):
    cls = getattr(model_selection, name)
    by_chance = {"random_state": 0} if "Random" in name or "Halving" in name else {}
    if name == "RandomizedSearchCV":
        by_chance["n_iter"] = 2
    if name.startswith("Halving"):
        by_chance["min_resources"] = 40
    cv = model_selection.KFold(2, shuffle=True, random_state=0)
    return Case(cls(estimator or regressor(), GRID, cv=cv, **by_chance, **params), NUMBERS, "y")


CASES = {
    "Binarizer": Case(Binarizer(threshold=1.0), NUMBERS),
    "CalibratedClassifierCV": Case(CalibratedClassifierCV(classifier(), cv=2), NUMBERS, "word"),
    "ColumnTransformer": Case(
        ColumnTransformer(
            [
                ("scale", make_pipeline(SimpleImputer(), StandardScaler()), ["a"]),
                ("words", OneHotEncoder(sparse_output=False), ["s"]),
                ("as they are", "passthrough", ["b"]),
            ],
            remainder=MinMaxScaler(),
        ),
        ["a", "b", "c", "s"],
    ),
    "CountVectorizer": Case(CountVectorizer(), "t"),
    "FeatureUnion": Case(
        FeatureUnion([("a", StandardScaler()), ("b", Binarizer()), ("c", "passthrough")]), NUMBERS
    ),
    "FixedThresholdClassifier": Case(
        model_selection.FixedThresholdClassifier(classifier(), threshold=0.3, pos_label="no"),
        NUMBERS,
        "word",
    ),
    "FunctionTransformer": Case(FunctionTransformer(np.log1p), NUMBERS),
    "GenericUnivariateSelect": Case(GenericUnivariateSelect(param=50), NUMBERS, "word"),
    "GridSearchCV": search("GridSearchCV"),
    "HalvingGridSearchCV": search("HalvingGridSearchCV"),
    "HalvingRandomSearchCV": search("HalvingRandomSearchCV"),
    "HashingVectorizer": Case(HashingVectorizer(n_features=16), "t"),
    "KBinsDiscretizer": Case(KBinsDiscretizer(3, subsample=None), NUMBERS),
    "LabelEncoder": Case(LabelEncoder(), "s", in_spark=False),
    "MaxAbsScaler": Case(MaxAbsScaler(), NUMBERS),
    "MinMaxScaler": Case(MinMaxScaler(), NUMBERS),
    "MissingIndicator": Case(MissingIndicator(features="all"), [*NUMBERS, "holes"]),
    "Normalizer": Case(Normalizer(), NUMBERS),
    "OneHotEncoder": Case(OneHotEncoder(min_frequency=3, handle_unknown="ignore"), ["s", "i"]),
    "OrdinalEncoder": Case(OrdinalEncoder(), ["s", "i"]),
    "PCA": Case(PCA(2), NUMBERS),
    "Pipeline": Case(Pipeline([("a", StandardScaler()), ("b", regressor())]), NUMBERS, "y"),
    "PolynomialFeatures": Case(PolynomialFeatures(), NUMBERS),
    "PowerTransformer": Case(PowerTransformer(), NUMBERS),
    "QuantileTransformer": Case(QuantileTransformer(n_quantiles=9, subsample=None), NUMBERS),
    "RandomizedSearchCV": search("RandomizedSearchCV"),
    "RobustScaler": Case(RobustScaler(), NUMBERS),
    "SelectFdr": Case(SelectFdr(alpha=0.5), NUMBERS, "word"),
    "SelectFpr": Case(SelectFpr(alpha=0.5), NUMBERS, "word"),
    "SelectFromModel": Case(SelectFromModel(classifier()), NUMBERS, "word"),
    "SelectFwe": Case(SelectFwe(alpha=0.5), NUMBERS, "word"),
    "SelectKBest": Case(SelectKBest(k=2), NUMBERS, "word"),
    "SelectPercentile": Case(SelectPercentile(percentile=40), NUMBERS, "word"),
    "SimpleImputer": Case(SimpleImputer(add_indicator=True), [*NUMBERS, "holes"]),
    "SplineTransformer": Case(SplineTransformer(), NUMBERS),
    "StandardScaler": Case(StandardScaler(), NUMBERS),
    "TargetEncoder": Case(TargetEncoder(), ["s", "i"], "y"),
    "TfidfTransformer": Case(TfidfTransformer(), NUMBERS, in_spark=False),
    "TfidfVectorizer": Case(TfidfVectorizer(), "t"),
    "TransformedTargetRegressor": Case(
        TransformedTargetRegressor(regressor(), transformer=StandardScaler()), NUMBERS, "y"
    ),
    "TruncatedSVD": Case(TruncatedSVD(2, random_state=0), NUMBERS),
    "TunedThresholdClassifierCV": Case(
        model_selection.TunedThresholdClassifierCV(classifier(), cv=2, thresholds=20),
        NUMBERS,
        "i",
    ),
    "VarianceThreshold": Case(VarianceThreshold(0.1), NUMBERS),
    "XGBClassifier": Case(classifier(), NUMBERS, "word"),
    "XGBClassifier, three words": Case(classifier(), NUMBERS, "s"),
    "XGBClassifier, places": Case(classifier(), NUMBERS, "i"),
    "XGBClassifier, softmax": Case(classifier(objective="multi:softmax"), NUMBERS, "s"),
    "XGBRFClassifier": Case(classifier(XGBRFClassifier), NUMBERS, "word"),
    "XGBRFRegressor": Case(regressor(XGBRFRegressor), NUMBERS, "y"),
    "XGBRanker": Case(regressor(XGBRanker), NUMBERS, "i"),
    "XGBRegressor": Case(regressor(booster="dart"), NUMBERS, "y"),
    "sklearn's own around ours": Case(
        sklearn.pipeline.make_pipeline(
            sklearn.preprocessing.StandardScaler(), StandardScaler(), classifier()
        ),
        NUMBERS,
        "word",
        in_spark=False,
    ),
}  # fmt: skip


def fitted_in_memory(case, rows):
    X = rows[case.columns]
    y = None if case.label is None else rows[case.label]
    if isinstance(case.estimator, XGBRanker):
        return clone(case.estimator).fit(X, y, qid=np.arange(160) // 10)
    if isinstance(case.estimator, LabelEncoder):
        return clone(case.estimator).fit(X)
    return clone(case.estimator).fit(X, y)


def answers(estimator, X):
    """What it makes of X, by method."""
    made = {}
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(estimator, method):
            out = getattr(estimator, method)(X)
            made[method] = out.toarray() if hasattr(out, "toarray") else np.asarray(out)
    return made
