"""What a worker is told to train, and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np

if TYPE_CHECKING:
    import xgboost
    from numpy.typing import ArrayLike

    EvalsLog = xgboost.callback.TrainingCallback.EvalsLog
    Gradients = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TrainSpec:
    """What to train, the same on every worker.

    Attributes
    ----------
    task : {"regression", "classification", "ranking"}
    params : dict
        Parameters of the booster.
    rounds : int
    matrix : dict
        Arguments of every matrix: missing, enable_categorical, feature_types, nthread.
    quantile : bool
        Whether a ``QuantileDMatrix`` serves the tree method.
    max_bin : int or None
    feature_weights : ndarray of shape (n_features,) or None
    objective, metric : callable or None
        The user's own functions, with scikit-learn's signature.
    early_stopping_rounds : int or None
    callbacks : tuple of xgboost.callback.TrainingCallback
    classes : ndarray of shape (n_classes,) or None
    repeats_rows : bool
        Whether rows are repeated instead of weighted.
    reports_rounds, reports_models : bool
        Whether rank 0 reports each round, and the model after it.
    checkpoint_seconds : float or None
        Time between two checkpoints that rank 0 reports; None for none.
    start : bytes or None
        A model to go on from.
    start_rounds : int
        Its rounds.
    external : bool
        Whether workers do not hold their rows, but read them block by block.
    """

    task: str
    params: dict[str, Any]
    rounds: int
    matrix: dict[str, Any]
    quantile: bool = True
    max_bin: int | None = None
    feature_weights: ArrayLike | None = None
    objective: Callable[..., Gradients] | None = None
    metric: Callable[..., SupportsFloat] | None = None
    early_stopping_rounds: int | None = None
    callbacks: tuple[xgboost.callback.TrainingCallback, ...] = ()
    classes: np.ndarray | None = None
    repeats_rows: bool = False
    reports_rounds: bool = False
    reports_models: bool = False
    checkpoint_seconds: float | None = None
    start: bytes | None = None
    start_rounds: int = 0
    external: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A model on its way, with all that a restart needs to go on as if nothing had happened."""

    rounds: int
    model: bytes
    history: EvalsLog
    callbacks: tuple[bytes | None, ...] = ()
    """The state of each callback, pickled; None for one that cannot be."""


@dataclass(frozen=True)
class Round:
    """Rank 0's report of a finished round."""

    index: int
    model: bytes | None


@dataclass(frozen=True)
class Outcome:
    """The trained model, from rank 0; its configuration says how it was trained."""

    rounds: int
    model: bytes
    history: dict[str, dict[str, list[float]]]
    config: str
