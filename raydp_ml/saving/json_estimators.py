"""Transformers, and what estimators hold, as JSON: only known classes are ever made from it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from raydp_ml.saving.restored import check_names, check_params, check_state

__all__ = ["Json", "decode_object", "encode_object", "is_known", "plain_dtype", "state_of"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Encode = Callable[[object, str], Json]

_OURS = {
    "raydp_ml.compose": ("ColumnTransformer", "make_column_selector"),
    "raydp_ml.decomposition": ("PCA", "TruncatedSVD"),
    "raydp_ml.feature_extraction.text": (
        "CountVectorizer",
        "HashingVectorizer",
        "TfidfTransformer",
        "TfidfVectorizer",
    ),
    "raydp_ml.feature_selection": (
        "GenericUnivariateSelect",
        "SelectFdr",
        "SelectFpr",
        "SelectFwe",
        "SelectKBest",
        "SelectPercentile",
        "VarianceThreshold",
    ),
    "raydp_ml.impute": ("MissingIndicator", "SimpleImputer"),
    "raydp_ml.pipeline": ("FeatureUnion",),
    "raydp_ml.preprocessing": (
        "Binarizer",
        "FunctionTransformer",
        "KBinsDiscretizer",
        "LabelEncoder",
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "PolynomialFeatures",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "SplineTransformer",
        "StandardScaler",
        "TargetEncoder",
    ),
    "raydp_ml.sql": ("SQLTransformer",),
}
# What estimators hold inside.
_HELD = {
    "raydp_ml.model_selection": (
        "GroupKFold",
        "KFold",
        "PredefinedSplit",
        "ShuffleSplit",
        "StratifiedGroupKFold",
        "StratifiedKFold",
        "TimeSeriesSplit",
    ),
    "sklearn.feature_extraction.text": ("TfidfTransformer",),
    "sklearn.impute": ("MissingIndicator",),
    "sklearn.pipeline": ("Pipeline",),
    "sklearn.preprocessing": ("FunctionTransformer", "OneHotEncoder", "StandardScaler"),
}
TRANSFORMERS = {name: module for module, names in _OURS.items() for name in names}
TRANSFORMERS.pop("make_column_selector")
_PLACES = {
    f"{module}.{name}"
    for part in (_OURS, _HELD)
    for module, names in part.items()
    for name in names
}
_FUNCTIONS = {f"sklearn.feature_selection.{name}" for name in ("chi2", "f_classif", "f_regression")}


def _load(place: str) -> Any:
    module, name = place.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def _place_of(value: object) -> str | None:
    name = type(value).__name__
    module = type(value).__module__
    for place in _PLACES:
        owner, known = place.rsplit(".", 1)
        if known == name and module.startswith(owner.split(".")[0]) and _load(place) is type(value):
            return place
    return None


def is_known(value: object) -> bool:
    """Whether a value is one of the transformers that can be written."""
    return _place_of(value) is not None


def state_of(estimator: object) -> dict[str, object]:
    """Return what `fit` (and ``set_output``) left in an estimator, beside its parameters."""
    params = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    return {name: value for name, value in vars(estimator).items() if name not in params}


def plain_dtype(name: object) -> np.dtype[Any]:
    """Return a dtype of numbers, booleans, strings or objects, by its name."""
    made = np.dtype(name) if isinstance(name, str) else None
    if made is None or made.kind not in "biufUO":
        raise ValueError(f"{name!r} is no dtype of a saved array")
    return made


def encode_object(value: object, what: str, encode: Encode) -> Json:
    """Turn an object into JSON, or return None where it is none of those that are known."""
    from scipy.interpolate import BSpline

    if isinstance(value, np.dtype):
        return {"$dtype": str(value)}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"$type": value.__name__}
    if isinstance(value, slice):
        return {"$slice": [encode(part, what) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, np.ufunc):
        return {"$ufunc": value.__name__}
    if isinstance(value, BSpline):
        parts = {"t": value.t, "c": value.c, "k": value.k, "extrapolate": value.extrapolate}
        return {"$bspline": {name: encode(part, what) for name, part in parts.items()}}
    if callable(value) and not isinstance(value, type):
        place = f"sklearn.feature_selection.{getattr(value, '__name__', '')}"
        if place in _FUNCTIONS and _load(place) is value:
            return {"$function": place}
    found = _place_of(value)
    if found is None:
        return None
    params = value.get_params(deep=False) if hasattr(value, "get_params") else {}
    params = value._saved_params() if hasattr(value, "_saved_params") else params
    return {
        "$estimator": found,
        "params": {key: encode(item, f"{what}, its {key!r}") for key, item in params.items()},
        "state": {
            key: encode(item, f"{what}, its {key!r}") for key, item in state_of(value).items()
        },
    }


def _check_spline(knots: object, coefficients: object, degree: object) -> None:
    """Refuse a spline whose compiled code would read beyond its arrays."""
    arrays = isinstance(knots, np.ndarray) and isinstance(coefficients, np.ndarray)
    if not arrays or type(degree) is not int or not 0 <= degree < 100:
        raise ValueError("a spline without knots, coefficients or a degree")
    assert isinstance(knots, np.ndarray)
    assert isinstance(coefficients, np.ndarray)
    right = (
        knots.dtype == coefficients.dtype == np.float64
        and knots.ndim == 1
        and coefficients.ndim >= 1
        and len(knots) >= len(coefficients) + degree + 1
        and len(coefficients) > degree
        and bool(np.isfinite(knots).all() and (np.diff(knots) >= 0).all())
    )
    if not right:
        raise ValueError("a spline whose knots and coefficients do not go together")


def decode_object(value: dict[str, Any], decode: Callable[[object], Any]) -> Any:
    """Turn what `encode_object` wrote back into the object.

    Raises
    ------
    KeyError
        If it is of no known kind.
    """
    from scipy.interpolate import BSpline

    if "$dtype" in value:
        return plain_dtype(value["$dtype"])
    if "$type" in value:
        return plain_dtype(value["$type"].rstrip("_")).type
    if "$slice" in value:
        return slice(*(decode(part) for part in value["$slice"]))
    if "$ufunc" in value:
        found = vars(np).get(value["$ufunc"])
        if isinstance(found, np.ufunc):
            return found
    if "$bspline" in value:
        parts = {name: decode(part) for name, part in value["$bspline"].items()}
        _check_spline(parts["t"], parts["c"], parts["k"])
        # As scikit-learn makes it: the constructor refuses the equal knots of a constant column.
        return BSpline.construct_fast(
            parts["t"], parts["c"], parts["k"], extrapolate=bool(parts["extrapolate"])
        )
    if value.get("$function") in _FUNCTIONS:
        return _load(value["$function"])
    if value.get("$estimator") in _PLACES:
        cls = _load(value["$estimator"])
        params = {key: decode(item) for key, item in value["params"].items()}
        check_params(cls, params)
        made = cls(**params)
        state = {name: decode(item) for name, item in value["state"].items()}
        check_names(cls, state)
        vars(made).update(state)
        if hasattr(made, "_distrust"):
            made._distrust()
        check_state(made)
        return made
    raise KeyError(f"unknown value {sorted(value)}")
