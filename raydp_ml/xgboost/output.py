"""What a fitted booster says about rows: the same functions in memory and in Spark."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

if TYPE_CHECKING:
    import xgboost
    from scipy.sparse import csr_array


LIKELY = 0.5
"""Of several labels, a row has those whose probability is more."""

_LARGEST = float(np.finfo(np.float32).max)


def import_xgboost() -> ModuleType:
    """Import xgboost, or say how to get it."""
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            "raydp_ml.xgboost needs the package xgboost. Install it: pip install raydp_ml[xgboost]"
        ) from error
    return xgboost


def xgboost_version() -> tuple[int, ...]:
    """Major and minor version of the xgboost that is installed."""
    return tuple(map(int, import_xgboost().__version__.split(".")[:2]))


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


@dataclass(frozen=True)
class Asked:
    """Which output of a booster is wanted.

    Attributes
    ----------
    missing : float
    margin : bool
        Whether it is the output before the link function.
    rounds : (int, int) or None
        The rounds that count, as XGBoost's ``iteration_range``; None for the best.
    """

    missing: float
    margin: bool = False
    rounds: tuple[int, int] | None = None


def booster_output(
    booster: xgboost.Booster,
    data: np.ndarray | csr_array | pa.Table,
    asked: Asked,
    base_margin: np.ndarray | None = None,
) -> np.ndarray:
    """Predict with some of the rounds of a booster.

    Parameters
    ----------
    booster : xgboost.Booster
    data : ndarray, CSR matrix or pyarrow.Table of n rows
    asked : Asked
    base_margin : ndarray of shape (n,) or (n, n_outputs), default=None
        Where the sum over the trees begins, for each row.

    Returns
    -------
    ndarray of shape (n,) or (n, n_outputs), dtype float32
    """
    import xgboost

    rounds = asked.rounds or best_rounds(booster)
    kind = _kind(booster)
    # gblinear predicts from a matrix only, and with all of its rounds. In place, dart would add a
    # base margin once for each tree.
    if kind == "gbtree" or (kind == "dart" and base_margin is None):
        return booster.inplace_predict(
            _known_in_place(data),
            iteration_range=rounds,
            predict_type="margin" if asked.margin else "value",
            missing=asked.missing,
            base_margin=base_margin,
            validate_features=False,
        )
    if kind == "dart":
        data = finite(data, asked.missing)
    else:
        rounds = (0, 0)
    matrix = xgboost.DMatrix(
        data, base_margin=base_margin, missing=asked.missing, enable_categorical=True
    )
    return booster.predict(
        matrix,
        iteration_range=rounds,
        output_margin=asked.margin,
        validate_features=False,
    )


def _known_in_place(data: np.ndarray | csr_array | pa.Table) -> Any:
    # (There XGBoost knows scipy's matrices, and not its arrays.)
    if isinstance(data, (np.ndarray, pa.Table)):
        return data
    from scipy.sparse import csr_matrix

    return csr_matrix(data)


def finite(
    data: np.ndarray | csr_array | pa.Table, missing: float
) -> np.ndarray | csr_array | pa.Table:
    """Replace what is infinite as a float, which a matrix of XGBoost's refuses, by the largest.

    No split that was learnt from finite numbers tells them apart. Where an infinite value stands
    for a missing one, XGBoost refuses none.
    """
    if np.isinf(missing):
        return data
    if isinstance(data, np.ndarray):
        return np.clip(data, -_LARGEST, _LARGEST) if data.dtype.kind == "f" else data
    if not isinstance(data, pa.Table):
        return data
    columns = [
        pa.array(finite(column.to_numpy(), missing), from_pandas=True)
        if pat.is_floating(column.type)
        else column
        for column in data.columns
    ]
    return pa.table(columns, names=data.column_names)


def leaves(
    booster: xgboost.Booster, data: np.ndarray | csr_array | pa.Table, asked: Asked
) -> np.ndarray:
    """Return the leaf of each tree that rows end up in.

    Returns
    -------
    ndarray of shape (n, n_trees), dtype int32
    """
    import xgboost

    first, end = asked.rounds or best_rounds(booster)
    end = end or booster.num_boosted_rounds()
    matrix = xgboost.DMatrix(
        finite(data, asked.missing), missing=asked.missing, enable_categorical=True
    )
    # XGBoost tells leaves from the first round on only.
    made = booster.predict(
        matrix, pred_leaf=True, iteration_range=(0, end), validate_features=False
    ).reshape(matrix.num_row(), end, -1)
    return made[:, first:].reshape(len(made), -1).astype(np.int32)


def checked_rounds(booster: xgboost.Booster, rounds: object) -> tuple[int, int] | None:
    """Check an ``iteration_range``.

    Returns
    -------
    (int, int) or None
        None for the best rounds.

    Raises
    ------
    ValueError
        Where the booster has no such rounds.
    """
    if rounds is None:
        return None
    most = booster.num_boosted_rounds()
    pair = tuple(rounds) if isinstance(rounds, (tuple, list)) else ()
    if len(pair) != 2 or not all(isinstance(value, (int, np.integer)) for value in pair):
        raise ValueError(
            f"iteration_range is a pair of whole numbers (first, end). Got {rounds!r} instead."
        )
    first, end = int(pair[0]), int(pair[1])
    if (first, end) == (0, 0):  # of XGBoost
        return None
    if end == 0 < first:
        last = best_rounds(booster)[1] or most
        raise ValueError(
            f"iteration_range={(first, end)} has no end, for which XGBoost itself takes all rounds "
            f"from 0 on. Pass ({first}, {last}) for those from {first} on, or None for the best of "
            "all."
        )
    if not 0 <= first < end <= most:
        raise ValueError(
            f"iteration_range={(first, end)} is not among the {most} rounds of this model. Pass "
            f"(first, end) with 0 <= first < end <= {most}."
        )
    if is_linear(booster):
        raise ValueError("A linear booster has no rounds of its own: pass no iteration_range.")
    return first, end


def is_linear(booster: xgboost.Booster) -> bool:
    """Whether a booster is no sum of trees."""
    return _kind(booster) == "gblinear"


def importance_kind(given: str | None, linear: bool) -> str:
    """Return which importance of the features is meant, as XGBoost's ``get_score`` names it.

    Raises
    ------
    ValueError
        For that of trees where the booster is linear.
    """
    if linear and given not in (None, "weight"):
        raise ValueError(
            f"importance_type={given!r} is of trees, and this model is linear: its coefficients "
            "are the only importance (importance_type='weight', or None)."
        )
    return given or ("weight" if linear else "gain")


_kinds: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def _kind(booster: xgboost.Booster) -> str:
    """Return "gbtree", "dart" or "gblinear"."""
    if booster not in _kinds:
        learner = json.loads(booster.save_config())["learner"]
        _kinds[booster] = learner["gradient_booster"]["name"]
    return _kinds[booster]


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
