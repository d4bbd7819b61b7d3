"""XGBoost's own judgment of the parameters, before any data moves."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.xgboost.output import import_xgboost
from raydp_ml.xgboost.parameters import uses_quantiles

if TYPE_CHECKING:
    import xgboost

# What depends on the data, on the workers' hardware, or tells what to print.
_NOT_JUDGED = frozenset(
    {
        "feature_types",
        "feature_weights",
        "interaction_constraints",
        "monotone_constraints",
        "n_jobs",
        "verbosity",
    }
)
# Models that between them use every parameter that XGBoost has.
_MODELS: tuple[dict[str, object], ...] = (
    {"booster": "dart"},
    {"booster": "gblinear"},
    {"booster": "gblinear", "updater": "coord_descent"},
    {"tree_method": "approx"},
    {"tree_method": "exact"},
    {"objective": "binary:logistic"},
    {"objective": "count:poisson"},
    {"objective": "multi:softprob", "num_class": 2},
    {"objective": "rank:ndcg"},
    {"objective": "reg:pseudohubererror"},
    {"objective": "reg:quantileerror", "quantile_alpha": 0.5},
    {"objective": "reg:tweedie"},
    {"objective": "survival:aft"},
)


def check_parameters(
    params: dict[str, Any], further: dict[str, Any], known: list[str], task: str, estimator: str
) -> list[str]:
    """Have XGBoost itself judge parameters, on a few rows of its own.

    Parameters
    ----------
    params : dict
        All parameters of the booster.
    further : dict
        Those of them that have no name of their own in the constructor.
    known : list of str
        Names of all parameters that have one, for the error.
    task : {"regression", "classification", "ranking"}
    estimator : str
        Its class, for the error.

    Returns
    -------
    list of str
        Names among `further` that the model at hand does not use, and others would.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        For a value that XGBoost refuses, and for a name that none of its models knows.
    """
    xgboost = import_xgboost()
    functions = [name for name, value in further.items() if callable(value)]
    if functions:
        raise InvalidParameterError(
            f"The parameters {functions} of {estimator} are functions, and XGBoost takes functions "
            "as objective, eval_metric and callbacks only."
        )
    judged = {
        name: value
        for name, value in params.items()
        if name not in _NOT_JUDGED and value is not None and not callable(value)
    }
    if np.ndim(judged.get("base_score", 0)):
        # One for each target or class, which the data will have.
        del judged["base_score"]
    if str(judged.get("device")).startswith(("cuda", "gpu", "sycl")):
        # Which workers may have, and this process not.
        del judged["device"]
    if judged.get("objective") == "survival:aft" and task != "regression":
        raise InvalidParameterError(
            "objective='survival:aft' learns times between a lower and an upper bound, which "
            f"{estimator} does not. Take XGBRegressor."
        )
    if task == "classification" and str(judged.get("objective")).startswith("multi:"):
        judged.setdefault("num_class", 2)
    used = _used_by(judged, task, estimator)
    asked_not_to = params.get("validate_parameters") is False
    unused = [] if asked_not_to else [name for name in further if name not in used]
    if not unused:
        return []
    rows = _few_rows(task, {})
    every = set().union(*(_names(_configured({**of}, rows)) for of in _MODELS))
    unknown = [name for name in unused if name not in every]
    if unknown:
        close = difflib.get_close_matches(unknown[0], sorted({*every, *known}), n=1)
        raise InvalidParameterError(
            f"{estimator} has no parameter {unknown[0]!r}, and XGBoost {xgboost.__version__} knows "
            "none of that name."
            + (f" Did you mean {close[0]!r}?" if close else "")
            + " (validate_parameters=False lets unknown names pass.)"
        )
    return unused


def _used_by(params: dict[str, Any], task: str, estimator: str) -> set[str]:
    """Return the names that a model of these parameters uses; raise where XGBoost refuses them."""
    from xgboost.core import XGBoostError

    try:
        rows = _few_rows(task, params)
        booster = _configured(params, rows)
        with import_xgboost().config_context(verbosity=0):
            booster.update(rows, iteration=0)
    except (XGBoostError, TypeError, ValueError) as error:
        # Its C++ names file, line and stack.
        text = re.split(r"\n?Stack trace", str(error))[0]
        text = re.sub(r"^(\[[\d:]+\] )?\S+:\d+: ", "", text.strip())
        text = re.sub(r"^Check failed: .*?: (?=\S)", "", text)
        raise InvalidParameterError(
            f"XGBoost refuses the parameters of this {estimator}: {' '.join(text.split())}"
        ) from error
    return _names(booster)


def _configured(params: dict[str, Any], rows: xgboost.DMatrix) -> xgboost.Booster:
    import xgboost

    own = {"validate_parameters": False, "verbosity": 0, "nthread": 1}
    if params.get("num_parallel_tree"):
        own["num_parallel_tree"] = 1
    with xgboost.config_context(verbosity=0):
        booster = xgboost.Booster({**params, **own}, [rows])
        # Which is when the booster makes its parts.
        booster.save_config()
    return booster


def _few_rows(task: str, params: dict[str, Any]) -> xgboost.DMatrix:
    import xgboost

    # Ones are what every objective of a regression takes.
    labels = np.array([1, 1, 1, 1] if task == "regression" else [0, 1, 0, 1])
    if task == "regression" and params.get("multi_strategy") == "multi_output_tree":
        labels = np.column_stack([labels, labels])
    quantile = uses_quantiles(params.get("tree_method"), params.get("booster"), None)
    rows: xgboost.DMatrix
    data: dict[str, Any] = {"data": np.arange(4.0).reshape(4, 1), "label": labels, "nthread": 1}
    if quantile:
        rows = xgboost.QuantileDMatrix(**data, max_bin=params.get("max_bin"))
    else:
        rows = xgboost.DMatrix(**data)
    if task == "ranking":
        rows.set_group([4])
    elif params.get("objective") == "survival:aft":
        rows.set_info(label_lower_bound=labels, label_upper_bound=labels)
    return rows


def _names(booster: xgboost.Booster) -> set[str]:
    """Return the names of the parameters that the parts of a booster have."""
    import xgboost

    return {*_walked(json.loads(booster.save_config())), *xgboost.get_config(), "eval_metric"}


def _walked(config: object) -> Iterator[str]:
    for name, value in config.items() if isinstance(config, dict) else []:
        if name.endswith("_param"):
            yield from value
        else:
            yield from _walked(value)
    for value in config if isinstance(config, list) else []:
        yield from _walked(value)
