"""What does a prediction of one row in memory cost beside xgboost's own object?

The same trees, once in raydp_ml's classifier and once in xgboost's own, and each as the last step
of a Pipeline, of raydp_ml's transformers and of scikit-learn's. A time is that of many calls of
``predict_proba``, one after the other, with one thread each, as in a service.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import sklearn.compose
import sklearn.preprocessing
import xgboost
from sklearn.pipeline import Pipeline, make_pipeline

import raydp_ml.compose
import raydp_ml.preprocessing
from benchmarks.harness import Contender, Table, Target, compare
from benchmarks.options import Options
from raydp_ml.xgboost import XGBClassifier

SIZES = (1, 10, 1000)
CALLS, QUICK_CALLS = 500, 20
OURS, OWN = "XGBClassifier", "xgboost's own"
OUR_PIPELINE, OWN_PIPELINE = "Pipeline, raydp_ml", "Pipeline, scikit-learn and xgboost"
NUMBERS = [f"x{i}" for i in range(20)]
CATEGORIES = ["carrier", "origin"]
_TRAINED_ON = 5000
_PARAMS = {"n_estimators": 100, "max_depth": 6, "n_jobs": 1}
# Where xgboost's own object is the measure.
_MOST = 1.2


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Serve rows of each kind in each size."""
    sizes = (options.rows,) if options.rows else SIZES
    numbers, categories, labels = _data()
    tables, targets = [], []
    for kind, X in (
        ("NumPy", numbers.to_numpy()),
        ("pandas", numbers),
        ("pandas with categories", categories),
    ):
        models = _models(X, labels)
        for rows in sizes:
            calls = max(1, (QUICK_CALLS if options.quick else CALLS) // (1 + rows // 100))
            title = f"{kind}, {rows:,} row{'s' * (rows > 1)} a call, {calls:,} calls of it"
            contenders = [_contender(name, of, X[:rows], calls) for name, of in models.items()]
            tables.append(compare(title, contenders, options, gc.collect))
            for name, measure_of in ((OURS, OWN), (OUR_PIPELINE, OWN_PIPELINE)):
                ratio = tables[-1].ratio(name, measure_of)
                targets.append(Target(f"{kind}, {rows:,}: {name} takes of its peer", ratio, _MOST))
    return tables, targets


def _data() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.normal(size=(_TRAINED_ON, len(NUMBERS))), columns=NUMBERS)
    names = {name: rng.choice(["AA", "B6", "DL", "UA"], _TRAINED_ON) for name in CATEGORIES}
    categories = numbers.assign(**{name: pd.Categorical(of) for name, of in names.items()})
    signal = numbers["x0"] + numbers["x1"] * numbers["x2"] + (names["origin"] == "DL")
    return numbers, categories, np.where(signal + rng.normal(size=_TRAINED_ON) > 0, 1, 0)


def _models(X: Any, labels: np.ndarray) -> dict[str, Any]:
    categories = isinstance(X, pd.DataFrame) and CATEGORIES[0] in X
    params = {**_PARAMS, "enable_categorical": categories}
    made = {
        OURS: XGBClassifier(**params),
        OWN: xgboost.XGBClassifier(**params),
        OUR_PIPELINE: _pipeline(raydp_ml, XGBClassifier(**_PARAMS), categories),
        OWN_PIPELINE: _pipeline(sklearn, xgboost.XGBClassifier(**_PARAMS), categories),
    }
    return {name: model.fit(X, labels) for name, model in made.items()}


def _pipeline(package: Any, model: Any, categories: bool) -> Pipeline:
    scaler = package.preprocessing.StandardScaler()
    if not categories:
        return make_pipeline(scaler, model)
    encoder = package.preprocessing.OneHotEncoder(sparse_output=False)
    columns = package.compose.ColumnTransformer(
        [("numbers", scaler, NUMBERS), ("categories", encoder, CATEGORIES)]
    )
    return make_pipeline(columns, model)


def _contender(name: str, model: Any, X: Any, calls: int) -> Contender:
    predict: Callable[[Any], np.ndarray] = model.predict_proba

    def run() -> np.ndarray:
        for _ in range(calls):
            found = predict(X)
        return found

    def check(found: np.ndarray) -> dict[str, Any]:
        return {"rows": len(found), "calls": calls, "sum": round(float(found[:, 1].sum()), 4)}

    return Contender(name, run, check)
