"""The parameters of the XGBoost estimators: constraints, and what goes to XGBoost's own classes."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, SupportsFloat

import numpy as np
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

Objective = str | Callable[..., tuple[np.ndarray, np.ndarray]]
EvalMetric = str | Callable[..., SupportsFloat] | list[str | Callable[..., SupportsFloat]]

_AT_LEAST_0: list[object] = [Interval(Real, 0, None, closed="left"), None]
_COUNT: list[object] = [Interval(Integral, 1, None, closed="left"), None]
_SHARE: list[object] = [Interval(Real, 0, 1, closed="right"), None]

IMPORTANCE_TYPES: list[object] = [
    StrOptions({"gain", "weight", "cover", "total_gain", "total_cover"}),
    None,
]

# What our classes add to the parameters of XGBoost's.
OWN_PARAMETERS = frozenset(
    {
        "num_workers",
        "cpus_per_worker",
        "gpus_per_worker",
        "resources_per_worker",
        "prediction_col",
        "probability_col",
        "max_retries",
        "elastic",
        "external_memory",
    }
)

# Second names that XGBoost has for parameters of the constructor.
ALIASES = {
    "alpha": "reg_alpha",
    "eta": "learning_rate",
    "lambda": "reg_lambda",
    "min_split_loss": "gamma",
    "nthread": "n_jobs",
    "seed": "random_state",
}

CONSTRAINTS: dict[str, list[object]] = {
    "n_estimators": _COUNT,
    "max_depth": [Interval(Integral, 0, None, closed="left"), None],
    "max_leaves": [Interval(Integral, 0, None, closed="left"), None],
    "max_bin": [Interval(Integral, 2, None, closed="left"), None],
    "grow_policy": [StrOptions({"depthwise", "lossguide"}), None],
    "learning_rate": _AT_LEAST_0,
    "verbosity": [Interval(Integral, 0, 3, closed="both"), None],
    "objective": [str, callable, None],
    "booster": [StrOptions({"gbtree", "gblinear", "dart"}), None],
    "tree_method": [StrOptions({"auto", "exact", "approx", "hist"}), None],
    "n_jobs": [Integral, None],
    "gamma": _AT_LEAST_0,
    "min_child_weight": _AT_LEAST_0,
    "max_delta_step": _AT_LEAST_0,
    "subsample": _SHARE,
    "sampling_method": [StrOptions({"uniform", "gradient_based"}), None],
    "colsample_bytree": _SHARE,
    "colsample_bylevel": _SHARE,
    "colsample_bynode": _SHARE,
    "reg_alpha": _AT_LEAST_0,
    "reg_lambda": _AT_LEAST_0,
    "scale_pos_weight": _AT_LEAST_0,
    "base_score": [Real, "array-like", None],
    "random_state": ["random_state", np.random.Generator],
    "missing": [Real],
    "num_parallel_tree": _COUNT,
    "monotone_constraints": [dict, str, "array-like", None],
    "interaction_constraints": [str, "array-like", None],
    "importance_type": IMPORTANCE_TYPES,
    "device": [str, None],
    "validate_parameters": ["boolean", None],
    "enable_categorical": ["boolean"],
    "feature_types": ["array-like", None],
    "feature_weights": ["array-like", None],
    "max_cat_to_onehot": _COUNT,
    "max_cat_threshold": _COUNT,
    "multi_strategy": [StrOptions({"one_output_per_tree", "multi_output_tree"}), None],
    "eval_metric": [str, callable, list, None],
    "early_stopping_rounds": _COUNT,
    "callbacks": [list, tuple, None],
    "num_workers": [Interval(Integral, 0, None, closed="left"), None],
    "cpus_per_worker": [Interval(Integral, 1, None, closed="left"), None],
    "gpus_per_worker": [Interval(Real, 0, None, closed="left")],
    "resources_per_worker": [dict, None],
    "prediction_col": [str],
    "max_retries": [Interval(Integral, 0, None, closed="left")],
    "elastic": ["boolean"],
    "external_memory": ["boolean", None],
}


def by_first_names(params: dict[str, Any], estimator: str) -> dict[str, Any]:
    """Return parameters by the names that the constructor has for them.

    Parameters
    ----------
    params : dict
    estimator : str
        Its class, for the error.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        If a parameter is given by both of its names.
    """
    named = {name: value for name, value in params.items() if name not in ALIASES}
    for second, first in ALIASES.items():
        value = params.get(second)
        if value is None:
            continue
        if named.get(first) is not None:
            raise InvalidParameterError(
                f"{first} and {second} are two names of one parameter of {estimator}, and both "
                f"are given: {first}={named[first]!r}, {second}={value!r}. Pass one of them."
            )
        named[first] = value
    return named


def split_metrics(
    eval_metric: EvalMetric | None,
) -> tuple[list[str], Callable[..., SupportsFloat] | None]:
    """Split ``eval_metric`` into XGBoost's own metrics (by name) and the user's function.

    Raises
    ------
    ValueError
        If there are two functions, or something else.
    """
    given = eval_metric if isinstance(eval_metric, list) else [eval_metric]
    given = [item for item in given if item is not None]
    names = [item for item in given if isinstance(item, str)]
    functions = [item for item in given if callable(item)]
    if len(functions) > 1 or len(names) + len(functions) != len(given):
        raise ValueError(
            "eval_metric takes names of XGBoost's metrics and at most one function. "
            f"Got {eval_metric!r} instead."
        )
    return names, functions[0] if functions else None


def uses_quantiles(tree_method: str | None, booster: str | None, device: str | None) -> bool:
    """Say whether XGBoost's own classes would use a ``QuantileDMatrix``."""
    return (
        tree_method in ("hist", "auto", None)
        and booster != "gblinear"
        and not (device or "").startswith("sycl")
    )
