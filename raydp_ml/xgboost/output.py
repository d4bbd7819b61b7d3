"""What a fitted booster says about rows: the same functions in memory and in Spark."""

from __future__ import annotations

import json
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    import xgboost
    from scipy.sparse import csr_array


def import_xgboost() -> ModuleType:
    """Import xgboost, or say how to get it."""
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            "raydp_ml.xgboost needs the package xgboost. Install it: pip install raydp_ml[xgboost]"
        ) from error
    return xgboost


def load_booster(
    model: bytes, n_jobs: int | None, config: str | None = None, device: str | None = None
) -> xgboost.Booster:
    """Return the booster of a saved model.

    Parameters
    ----------
    model : bytes
    n_jobs : int or None
        Its threads; None for all CPUs.
    config : str, default=None
        The configuration that it was trained with, as XGBoost's ``save_config`` gives it; one of
        another version is left aside, as XGBoost does.
    device : str, default=None
        Where it works, whatever the configuration says; None for the CPUs.
    """
    xgboost = import_xgboost()
    booster = xgboost.Booster(model_file=bytearray(model))
    if config and _version(json.loads(config)) == xgboost.__version__.partition("-")[0]:
        booster.load_config(config)
        booster.set_param({"nthread": n_jobs or 0, "device": device or "cpu"})
    elif n_jobs is not None:
        booster.set_param({"nthread": n_jobs})
    return booster


def _version(config: dict[str, list[int]]) -> str:
    return ".".join(map(str, config["version"]))


def booster_output(
    booster: xgboost.Booster,
    data: np.ndarray | csr_array | pa.Table,
    missing: float,
    margin: bool = False,
) -> np.ndarray:
    """Predict with the best rounds of a booster.

    Parameters
    ----------
    booster : xgboost.Booster
    data : ndarray, CSR matrix or pyarrow.Table of n rows
    missing : float
    margin : bool, default=False
        Whether the output before the link function is wanted.

    Returns
    -------
    ndarray of shape (n,) or (n, n_outputs), dtype float32
    """
    import xgboost

    try:
        return booster.inplace_predict(
            data,
            iteration_range=best_rounds(booster),
            predict_type="margin" if margin else "value",
            missing=missing,
            validate_features=False,
        )
    except xgboost.core.XGBoostError as error:
        if "inplace" not in str(error).lower():
            raise
    # gblinear predicts from a matrix only.
    matrix = xgboost.DMatrix(data, missing=missing, enable_categorical=True)
    return booster.predict(
        matrix, iteration_range=(0, 0), output_margin=margin, validate_features=False
    )


def best_rounds(booster: xgboost.Booster) -> tuple[int, int]:
    """Return the rounds that predict, as XGBoost's ``iteration_range``: (0, 0) for all."""
    best = booster.attr("best_iteration")
    return (0, 0) if best is None else (0, int(best) + 1)


_class_givers: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def gives_classes(booster: Any) -> bool:
    """Whether a booster's output is a class, as it was trained: parameters may change later."""
    if booster not in _class_givers:
        learner = json.loads(booster.save_config())["learner"]
        _class_givers[booster] = learner["objective"]["name"] == "multi:softmax"
    return _class_givers[booster]


def probabilities(output: np.ndarray, margin: bool) -> np.ndarray:
    """Turn a classifier's output into probabilities.

    Parameters
    ----------
    output : ndarray of shape (n,) or (n, n_classes)
    margin : bool
        Whether the output is the scores of the classes before the link function.

    Returns
    -------
    ndarray of shape (n, n_classes)
    """
    if output.ndim == 2 and output.shape[1] > 1:
        if not margin:
            return output
        powers = np.exp(output - output.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    positive = output.reshape(-1)
    if margin:
        positive = 1.0 / (1.0 + np.exp(-positive))
    return np.column_stack((1.0 - positive, positive))
