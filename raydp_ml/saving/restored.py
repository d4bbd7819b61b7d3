"""What a restored estimator must be like, so that the compiled code that it calls stays in bounds.

scikit-learn trusts what its own ``fit`` left in an object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["check_names", "check_params", "check_state"]

_MOST_FEATURES = 1 << 22
_MOST_DEGREES = 1000


def check_names(cls: type, state: Mapping[str, object]) -> None:
    """Refuse attributes that would take the place of a method, or of a parameter.

    Parameters
    ----------
    cls : type
        Of the estimator.
    state : mapping of str to object

    Raises
    ------
    ValueError
    """
    params = cls._get_param_names() if hasattr(cls, "_get_param_names") else ()
    for name in state:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise ValueError(f"{str(name)[:100]!r} is no attribute of a {cls.__name__}")
        held = inspect.getattr_static(cls, name, None)
        if callable(held) or hasattr(type(held), "__get__") or name in params:
            raise ValueError(f"the attribute {name!r} of a {cls.__name__} is not for a file to set")


def check_params(cls: type, params: dict[str, Any]) -> None:
    """Refuse a Pipeline that keeps pickles, and would read them; have nothing start processes."""
    if params.get("memory") is not None:
        raise ValueError("a Pipeline with memory, which is a folder of pickles")
    if cls.__name__ in {"ColumnTransformer", "FeatureUnion"}:
        params["n_jobs"] = None


def check_state(estimator: Any) -> None:
    """Check a fitted estimator that was read from a file.

    Raises
    ------
    ValueError, AttributeError, KeyError, IndexError, TypeError
        Where its attributes are not those of any ``fit``.
    """
    features = getattr(estimator, "n_features_in_", None)
    if features is not None and not (type(features) is int and 0 < features < 1 << 31):
        raise ValueError(f"n_features_in_ is {features!r}")
    names = vars(estimator).get("feature_names_in_")
    if names is not None:
        right = isinstance(names, np.ndarray) and names.shape == (features,)
        if not right or not all(isinstance(name, str) for name in names):
            raise ValueError(f"feature_names_in_ are not those of {features} features")
    check = _CHECKS.get(type(estimator).__name__)
    if check is not None:
        check(estimator)


def _vectorizer(estimator: Any) -> None:
    terms = vars(estimator).get("vocabulary_")
    if terms is None:
        return
    places = list(terms.values())
    whole = all(isinstance(place, (int, np.integer)) for place in places)
    if not whole or sorted(places) != list(range(len(places))):
        raise ValueError("vocabulary_ does not number its terms from 0")


def _one_hot(estimator: Any) -> None:
    if "categories_" not in vars(estimator):
        return
    counts = [len(found) for found in estimator.categories_]
    drops = vars(estimator).get("_drop_idx_after_grouping")
    enabled = vars(estimator).get("_infrequent_enabled", False)
    rare = estimator._infrequent_indices if enabled else [None] * len(counts)
    maps = estimator._default_to_infrequent_mappings if enabled else [None] * len(counts)
    drops = [None] * len(counts) if drops is None else list(drops)
    if not len(counts) == len(rare) == len(maps) == len(drops) == estimator.n_features_in_:
        raise ValueError("categories_ are not those of its features")
    widths = []
    for count, few, mapping, drop in zip(counts, rare, maps, drops, strict=True):
        left = count if few is None else count - len(few) + 1
        if (few is None) != (mapping is None):
            raise ValueError("infrequent categories without a place")
        if mapping is not None:
            _within(mapping, count, left, "the places of infrequent categories")
            _within(few, len(few), count, "infrequent categories")
        if drop is not None and not (0 <= int(drop) < left and int(drop) == drop):
            raise ValueError(f"the category {drop} of {left} is dropped")
        widths.append(left - (drop is not None))
    if list(estimator._n_features_outs) != widths:
        raise ValueError("categories_ are not those of its outputs")


def _within(values: Any, length: int, end: int, what: str) -> None:
    values = np.asarray(values)
    if values.shape != (length,) or values.dtype.kind not in "iu":
        raise ValueError(f"{what} are of the shape {values.shape} and {values.dtype}")
    if length and not (values.min() >= 0 and values.max() < end):
        raise ValueError(f"{what} are none of {end}")


def _polynomial(estimator: Any) -> None:
    if "n_output_features_" not in vars(estimator):
        return
    degree, features = estimator.degree, estimator.n_features_in_
    least, most = (0, degree) if np.ndim(degree) == 0 else degree
    if not (type(least) is type(most) is int and 0 <= least <= most <= _MOST_DEGREES):
        raise ValueError(f"degree is {degree!r}")
    if (estimator._min_degree, estimator._max_degree) != (least, most):
        raise ValueError("its degree is another")
    counts = [
        estimator._num_combinations(features, first, most, estimator.interaction_only, bias)
        for first, bias in ((least, estimator.include_bias), (0, estimator.include_bias))
    ]
    found = [estimator.n_output_features_, estimator._n_out_full]
    if found != counts or counts[1] > _MOST_FEATURES:
        raise ValueError(f"its outputs are {found[0]}")


def _splines(estimator: Any) -> None:
    splines = vars(estimator).get("bsplines_")
    if splines is None:
        return
    shapes = {(spline.k, spline.c.shape) for spline in splines}
    if len(splines) != estimator.n_features_in_ or len(shapes) != 1:
        raise ValueError("bsplines_ are not those of its features")
    degree, (_, width) = next(iter(shapes))
    outputs = len(splines) * (width - (not estimator.include_bias))
    if degree != estimator.degree or estimator.n_features_out_ > outputs:
        raise ValueError("bsplines_ are not those of its outputs")


_CHECKS: dict[str, Callable[[Any], None]] = {
    "CountVectorizer": _vectorizer,
    "OneHotEncoder": _one_hot,
    "PolynomialFeatures": _polynomial,
    "SplineTransformer": _splines,
    "TfidfVectorizer": _vectorizer,
}
