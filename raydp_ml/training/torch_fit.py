"""The driver's side of a PyTorch fit: look at the data, train, go on when a worker is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raydp_ml.training.attempts import Workers, run_attempts
from raydp_ml.training.data_sets import DataSet, Part
from raydp_ml.training.inspection import Parts, cut_parts, fitted_parts, inspect_sets, judge
from raydp_ml.training.steps import Steps
from raydp_ml.training.table_layout import Layout
from raydp_ml.training.torch_process_group import Meeting, open_meeting
from raydp_ml.training.torch_spec import Checkpoint, Epoch, Outcome, TorchSpec

# Without checkpoint_every, a restart loses at most this much training, and an epoch.
CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Found:
    """What the data says about the network.

    Attributes
    ----------
    layout : Layout
        With every feature's dictionary and width.
    classes : ndarray of shape (n_classes,) or None
    cpus : int or None
        CPUs of each worker; None for a fit in this process with as many as there are.
    """

    layout: Layout
    classes: np.ndarray | None
    cpus: int | None


def fit_module(
    sets: Sequence[DataSet],
    make_spec: Callable[[Found], TorchSpec],
    workers: Workers,
    *,
    task: str,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Epoch], bool] | None = None,
    on_checkpoint: Callable[[Checkpoint], None] | None = None,
) -> tuple[Outcome, Found]:
    """Train a module on the rows of ``sets[0]``.

    Parameters
    ----------
    sets : sequence of DataSet
        The training data, then the evaluation sets.
    make_spec : callable
    workers : Workers
    task : {"regression", "classification"}
    checkpoint : Checkpoint, optional
        Where to go on from.
    on_epoch : callable, optional
        Called after each epoch; True asks to stop after that epoch.
    on_checkpoint : callable, optional
        Called with each checkpoint.

    Raises
    ------
    SchemaError
        If the rows cannot be trained on.
    TrainingError
        If a worker raised, or was lost more than ``max_retries`` times.
    """
    fit = _Fit(sets, make_spec, workers.cpus, task, checkpoint, on_epoch, on_checkpoint)
    return run_attempts(workers, sets, fit.run)


class _Fit:
    """One fit, over all its attempts: what has been found and reached stays."""

    def __init__(
        self,
        sets: Sequence[DataSet],
        make_spec: Callable[[Found], TorchSpec],
        cpus: int | None,
        task: str,
        checkpoint: Checkpoint | None,
        on_epoch: Callable[[Epoch], bool] | None,
        on_checkpoint: Callable[[Checkpoint], None] | None,
    ) -> None:
        self.sets = list(sets)
        self.make_spec = make_spec
        self.cpus = cpus
        self.task = task
        self.checkpoint = checkpoint
        self.epochs = Steps(on_epoch)
        self.on_checkpoint = on_checkpoint
        self.spec: TorchSpec | None = None

    def run(self, group: Any) -> tuple[Outcome, Found]:
        """Do one attempt: cut the rows into shards, look at them, train."""
        parts = cut_parts(self.sets, group, self.task)
        reports = inspect_sets(parts, group, self.task == "classification", check_features=True)
        layout, classes = judge(reports, self.sets, self.task, None)
        in_process = all(data.table is not None for data in self.sets)
        cpus = self.cpus if in_process else group.cpus_per_worker
        found = Found(layout, classes, cpus)
        if self.spec is None:
            # Kept over attempts: a restart begins with the same weights.
            self.spec = self.make_spec(found)
        marked = reports[0].validation_rows > 0
        spec = replace(
            self.spec,
            threads=cpus,
            evaluates_validation=marked,
            validation_fraction=0.0
            if marked or len(self.sets) > 1
            else self.spec.validation_fraction,
            reports_epochs=self.epochs.wanted,
            checkpoint_seconds=None if in_process else CHECKPOINT_SECONDS,
        )
        outcome = self._train(group, fitted_parts(parts, layout), spec)
        return self._cut(outcome), found

    def _train(self, group: Any, parts: Parts, spec: TorchSpec) -> Outcome:
        def on_event(rank: int, event: Any) -> None:
            if isinstance(event, Checkpoint):
                self.checkpoint = event
                if self.on_checkpoint is not None:
                    self.on_checkpoint(event)
            elif isinstance(event, Epoch):
                self.epochs.add(event, group)

        meeting = None
        if group.size > 1:
            meeting = group.run(open_meeting, [(rank, group.size) for rank in range(group.size)])[0]
        outcomes = group.run(
            _train_worker,
            [
                (rank, [of[rank] for of in parts], spec, meeting, self.checkpoint)
                for rank in range(group.size)
            ],
            on_event=on_event,
        )
        return next(outcome for outcome in outcomes if outcome is not None)

    def _cut(self, outcome: Outcome) -> Outcome:
        """Drop the epochs that workers did after a callback had asked to stop, where it can be."""
        stopped = self.epochs.last
        if stopped is None or stopped.weights is None or len(outcome.history) <= stopped.index + 1:
            return outcome
        return Outcome(stopped.weights, outcome.history[: stopped.index + 1])


def _train_worker(
    rank: int,
    parts: Sequence[Part],
    spec: TorchSpec,
    meeting: Meeting | None,
    checkpoint: Checkpoint | None,
) -> Outcome | None:
    # The driver imports torch only when it needs it.
    from raydp_ml.training.torch_loop import train_worker

    return train_worker(rank, parts, spec, meeting, checkpoint)
