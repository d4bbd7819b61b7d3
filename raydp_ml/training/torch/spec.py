"""What to train with PyTorch, what a training reports, and what it returns: plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.training.torch.rows import Input

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torch.optim.optimizer import StateDict

Record = dict[str, float]
"""What is known of an epoch, by the names in ``history_``."""


@dataclass(frozen=True)
class TorchSpec:
    """What to train, the same on every worker.

    Attributes
    ----------
    task : {"regression", "classification"}
    module : torch.nn.Module
        With its first weights.
    inputs : tuple of Input
        What its ``forward`` takes.
    criterion : callable
        ``criterion(output, target)`` returns one loss per row, or their mean.
    optimizer : pair (class, dict)
    scheduler : pair (class, dict) or None
    max_epochs, batch_size : int
    seed : int
        Of the order of the rows, and of dropout.
    n_targets : int
        Columns of the label of a regression; 0 for a label of shape (n,).
    classes : ndarray of shape (n_classes,) or None
    one_logit : bool
        Whether one output stands for the second of two classes.
    class_weight : "balanced", ndarray of shape (n_classes,), or None
    validation_fraction : float
        Share of the training rows that is held out; 0 for none.
    patience : int or None
        Epochs without improvement before training stops; None never stops early.
    tol : float
        What counts as an improvement of the loss.
    gradient_clip : float or None
        Largest norm of the gradient.
    mixed_precision : {"bfloat16", "float16"} or None
    compile : bool
    device : {"cpu", "cuda"}
    threads : int or None
        Threads of a worker; None leaves those of the process.
    reports_epochs, reports_models : bool
        Whether rank 0 reports each epoch, and the weights after it.
    checkpoint_every : int or None
        Epochs between two checkpoints that rank 0 reports.
    checkpoint_seconds : float or None
        Without `checkpoint_every`, the time between two; None for none.
    external : bool
        Whether the rows lie in files, for want of memory.
    """

    task: str
    module: torch.nn.Module
    inputs: tuple[Input, ...]
    criterion: Callable[..., torch.Tensor]
    optimizer: tuple[Callable[..., Optimizer], dict[str, Any]]
    scheduler: tuple[Callable[..., LRScheduler], dict[str, Any]] | None
    max_epochs: int
    batch_size: int
    seed: int
    n_targets: int = 0
    classes: np.ndarray | None = None
    one_logit: bool = False
    class_weight: str | np.ndarray | None = None
    validation_fraction: float = 0.0
    patience: int | None = None
    tol: float = 0.0
    gradient_clip: float | None = None
    mixed_precision: str | None = None
    compile: bool = False
    device: str = "cpu"
    threads: int | None = None
    reports_epochs: bool = False
    reports_models: bool = False
    checkpoint_every: int | None = None
    checkpoint_seconds: float | None = None
    external: bool = False


@dataclass
class Best:
    """The best epoch so far, by the loss of the last evaluation set.

    Attributes
    ----------
    loss : float
    epoch : int
        From 1; 0 before the first.
    waited : int
        Epochs without an improvement since.
    weights : dict of str to Tensor, or None
        On rank 0.
    """

    loss: float = float("inf")
    epoch: int = 0
    waited: int = 0
    weights: dict[str, torch.Tensor] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A training on its way, with all that a restart needs to go on as if nothing had happened.

    Attributes
    ----------
    epochs : int
        Finished so far.
    seed : int
    weights, optimizer, scheduler, scaler : dict
        State dicts; the last two may be None.
    history : list of dict
    best : Best
    """

    epochs: int
    seed: int
    weights: dict[str, torch.Tensor]
    optimizer: StateDict
    scheduler: StateDict | None
    scaler: StateDict | None
    history: list[Record]
    best: Best


@dataclass(frozen=True)
class Epoch:
    """Rank 0's report of a finished epoch."""

    index: int
    record: Record
    weights: dict[str, torch.Tensor] | None


@dataclass(frozen=True)
class Outcome:
    """The trained weights and their history, from rank 0.

    Attributes
    ----------
    weights : dict of str to Tensor
    history : list of dict
        One for each epoch.
    best_epoch : int or None
        The epoch (from 1) of the weights, after early stopping.
    best_loss : float or None
    """

    weights: dict[str, torch.Tensor]
    history: list[Record] = field(default_factory=list)
    best_epoch: int | None = None
    best_loss: float | None = None
