"""MLflow: what a fit was and what it made, as a run with a model that loads without Spark.

It needs the extra ``[mlflow]``.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import mlflow
    from mlflow.entities import Metric
    from mlflow.models import infer_signature
    from mlflow.utils.autologging_utils import autologging_integration, safe_patch
except ImportError as error:
    raise ImportError(
        "raydp_ml.mlflow needs MLflow. Install it: pip install raydp_ml[mlflow]"
    ) from error

import pandas as pd
from sklearn.pipeline import Pipeline

from raydp_ml import model_selection, torch, xgboost
from raydp_ml.base import kind_of
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import select
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.models.wrapped import last_step
from raydp_ml.saving.folders import load, save

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

__all__ = ["autolog", "log_model"]

_FLAVOR = "raydp_ml"
_EXAMPLE_ROWS = 5
_METRICS_TOGETHER = 1000  # as many as MLflow takes at once
_LONGEST_VALUE = 500
_within: ContextVar[bool] = ContextVar("within", default=False)


def log_model(
    estimator: Any, name: str = "model", *, input_example: Any = None, **options: Any
) -> ModelInfo:
    """Log a fitted estimator as an MLflow model of open formats, which loads without Spark.

    ``mlflow.pyfunc.load_model`` loads it, running no code from its files, and
    ``mlflow.pyfunc.spark_udf`` applies it. ``mlflow.sklearn.log_model`` works as well, by pickle.

    Parameters
    ----------
    estimator : estimator
        Of those that `raydp_ml.save` writes; of a search, its best estimator.
    name : str, default="model"
        Of the model in its run.
    input_example : pandas.DataFrame or array-like, default=None
        A few rows of features. The model's signature is inferred from them.
    **options
        As ``mlflow.pyfunc.log_model`` takes them: ``registered_model_name``, ``metadata``, ...

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    sklearn.exceptions.NotFittedError, ValueError
        As `raydp_ml.save`.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if input_example is not None:
        made = estimator.predict(input_example)
        # A column, so that spark_udf makes one of its type rather than arrays.
        output = pd.Series(made, name="prediction") if made.ndim == 1 else made
        signature = infer_signature(input_example, output)
        options = {"signature": signature, "input_example": input_example, **options}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "estimator")
        save(estimator, folder)
        return mlflow.pyfunc.log_model(
            name=name,
            loader_module=__name__,
            data_path=str(folder),
            **{"pip_requirements": _requirements(estimator), **options},
        )


def _load_pyfunc(path: str) -> Any:
    """Load what `log_model` wrote; MLflow calls it."""
    return load(path)


def _requirements(estimator: Any) -> list[str]:
    """Return what a process needs that loads the estimator, with the versions here."""
    modules = ["raydp_ml", "numpy", "pandas", "sklearn"]
    last = last_step(estimator)
    if hasattr(last, "to_torch"):
        modules += ["torch", "safetensors"]
    elif hasattr(last, "to_xgboost"):
        modules.append("xgboost")
    owners = importlib.metadata.packages_distributions()
    names = [owners.get(module, [module])[0] for module in modules]
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


@autologging_integration(_FLAVOR)
def autolog(
    log_models: bool = True,
    exclusive: bool = False,
    disable: bool = False,
    silent: bool = False,
) -> None:
    """Log every ``fit`` of raydp_ml's models from now on, in the active run or one of its own.

    What is logged: parameters; after each round or epoch the scores of the evaluation sets; the
    best iteration; of searches the best score and parameters; and by `log_model` what was fitted,
    with a signature from the first rows (of a Spark DataFrame five are fetched). Of a Pipeline
    that ends with a model of raydp_ml, and of a search, the whole is logged once. Should logging
    fail, a warning says so, and the fit goes on.

    Parameters
    ----------
    log_models : bool, default=True
        Whether the model is logged too.
    exclusive : bool, default=False
        Whether runs that the user began are left alone.
    disable : bool, default=False
        Whether to stop logging.
    silent : bool, default=False
        Whether to keep MLflow's messages back.
    """
    searches = ("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
    classes = [
        *(getattr(xgboost, name) for name in xgboost.__all__),
        *(getattr(torch, name) for name in torch.__all__),
        *(getattr(model_selection, name) for name in (*searches, "RandomizedSearchCV")),
        Pipeline,
    ]
    for cls in classes:
        safe_patch(_FLAVOR, cls, "fit", _logged_fit)


def _logged_fit(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    if _within.get() or not isinstance(_innermost(self), TrainedModel):
        return original(self, *args, **kwargs)
    own = None if mlflow.active_run() else mlflow.start_run()
    status, token = "FAILED", _within.set(True)
    try:
        fitted = original(self, *args, **kwargs)
        status = "FINISHED"
        _log(fitted, args[0] if args else kwargs.get("X"))
    finally:
        _within.reset(token)
        if own is not None:
            mlflow.end_run(status)
    return fitted


def _innermost(estimator: Any) -> Any:
    """Return the model that an estimator fits, which may not be fitted yet."""
    held = getattr(estimator, "best_estimator_", getattr(estimator, "estimator", estimator))
    return last_step(held)


def _log(fitted: Any, X: Any) -> None:
    mlflow.log_params(_params(fitted))
    mlflow.set_tag("estimator_name", type(fitted).__name__)
    mlflow.set_tag("estimator_class", f"{type(fitted).__module__}.{type(fitted).__name__}")
    model = _innermost(fitted)
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, float(value), now, step)
        for name, values in _scores(fitted, model)
        for step, value in enumerate(values)
    ]
    active: Any = mlflow.active_run()
    client, run_id = mlflow.MlflowClient(), active.info.run_id
    for start in range(0, len(metrics), _METRICS_TOGETHER):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_TOGETHER])
    if mlflow.utils.autologging_utils.get_autologging_config(_FLAVOR, "log_models", True):
        log_model(fitted, input_example=_example(fitted, X))


def _params(fitted: Any) -> dict[str, str]:
    given = {
        **fitted.get_params(),
        **{f"best_{name}": value for name, value in getattr(fitted, "best_params_", {}).items()},
    }
    return {
        name: str(value)[:_LONGEST_VALUE]
        for name, value in given.items()
        if value is not None and name != "steps" and not hasattr(value, "get_params")
    }


def _scores(fitted: Any, model: Any) -> Iterator[tuple[str, Iterable[float]]]:
    """Yield names of metrics with a value for each step."""
    for place, metrics in getattr(model, "evals_result_", {}).items():
        for name, values in metrics.items():
            yield f"{place}-{name}".replace("@", "_at_"), values
    history = getattr(model, "history_", [])
    for name in history[0] if history else ():
        values = [epoch[name] for epoch in history]
        if name != "epoch" and all(isinstance(value, (int, float)) for value in values):
            yield name, values
    if hasattr(model, "evals_result_") and getattr(model, "early_stopping_rounds", None):
        yield "best_iteration", [model.best_iteration]
    if hasattr(fitted, "best_params_"):
        yield "best_cv_score", [fitted.best_score_]


def _example(fitted: Any, X: Any) -> Any:
    """Return the features of the first rows, as MLflow takes them; None where it takes none."""
    names, kind = getattr(fitted, "feature_names_in_", None), kind_of(X)
    if kind == "spark" and names is not None:
        return select(X, *map(quoted, names)).limit(_EXAMPLE_ROWS).toPandas()
    if kind == "pandas" and names is not None:
        return X[list(names)].head(_EXAMPLE_ROWS)
    return X[:_EXAMPLE_ROWS] if kind == "array" and hasattr(X, "shape") else None
