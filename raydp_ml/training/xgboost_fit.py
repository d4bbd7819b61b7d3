"""The driver's side of a fit: look at the data, train, and start again when a worker is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raydp_ml.training.attempts import Workers, run_attempts
from raydp_ml.training.data_sets import DataSet
from raydp_ml.training.inspection import Parts, cut_parts, fitted_parts, inspect_sets, judge
from raydp_ml.training.row_reports import Report
from raydp_ml.training.steps import Steps
from raydp_ml.training.table_layout import Layout
from raydp_ml.training.xgboost_loop import (
    Checkpoint,
    Outcome,
    Round,
    TrainSpec,
    train_worker,
)

# A restart loses at most this much training.
CHECKPOINT_SECONDS = 10.0
_TRACKER_TIMEOUT = 300
_TRACKER_BEGINS = 0.005
# XGBoost's default number of bins.
_REPEATED_ROWS = 256


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Attributes
    ----------
    outcome : Outcome
    layout : Layout
        With every feature's dictionary and width.
    classes : ndarray of shape (n_classes,) or None
    """

    outcome: Outcome
    layout: Layout
    classes: np.ndarray | None


def fit_booster(
    sets: Sequence[DataSet],
    make_spec: Callable[[Layout, np.ndarray | None, float | None], TrainSpec],
    workers: Workers,
    *,
    task: str,
    needs_evaluation: bool = False,
    on_round: Callable[[Round], bool] | None = None,
) -> Fitted:
    """Train a booster on the rows of ``sets[0]``.

    Parameters
    ----------
    sets : sequence of DataSet
        The training data, then the evaluation sets.
    make_spec : callable
        Makes the `TrainSpec` from the fitted layout, the classes and the CPUs of a worker (None
        for a fit in this process).
    workers : Workers
    task : {"regression", "classification", "ranking"}
    needs_evaluation : bool, default=False
        Whether early stopping was asked for.
    on_round : callable, default=None
        Called after each round; True asks to stop after that round.

    Returns
    -------
    Fitted

    Raises
    ------
    SchemaError
        If the rows cannot be trained on.
    TrainingError
        If a worker raised, or was lost more than ``max_retries`` times.
    """
    fit = _Fit(sets, make_spec, task, needs_evaluation, on_round)
    return run_attempts(workers, sets, fit.run)


class _Fit:
    """One fit, over all its attempts: what has been found and reached stays."""

    def __init__(
        self,
        sets: Sequence[DataSet],
        make_spec: Callable[[Layout, np.ndarray | None, float | None], TrainSpec],
        task: str,
        needs_evaluation: bool,
        on_round: Callable[[Round], bool] | None,
    ) -> None:
        self.sets = list(sets)
        self.make_spec = make_spec
        self.task = task
        self.needs_evaluation = needs_evaluation
        self.rounds = Steps(on_round)
        self.checkpoint: Checkpoint | None = None

    def run(self, group: Any) -> Fitted:
        """Do one attempt: cut the rows into shards, look at them, train."""
        parts = cut_parts(self.sets, group, self.task)
        find_classes = self.task == "classification" and self.sets[0].layout.label is not None
        reports = inspect_sets(parts, group, find_classes)
        layout, classes = judge(
            reports,
            self.sets,
            self.task,
            "early_stopping_rounds" if self.needs_evaluation else None,
        )
        parts = fitted_parts(parts, layout)
        in_process = all(data.table is not None for data in self.sets)
        spec = self.make_spec(layout, classes, None if in_process else group.cpus_per_worker)
        spec = replace(
            spec,
            repeats_rows=self._repeats_rows(reports[0]),
            evaluates_validation=reports[0].validation_rows > 0,
            reports_rounds=self.rounds.wanted,
            checkpoint_seconds=None if in_process else CHECKPOINT_SECONDS,
        )
        outcome = self._train(group, parts, spec)
        return Fitted(self._cut(outcome), layout, classes)

    def _repeats_rows(self, report: Report) -> bool:
        # XGBoost multiplies gradients by weights in single precision, so that a weight of 3 and
        # three equal rows differ in the last bits. Where all rows fit into the bins of a
        # histogram, both find the same split points, and repeating makes them equal.
        rows = report.repeated_rows
        return self.task != "ranking" and rows is not None and rows <= _REPEATED_ROWS

    def _train(self, group: Any, parts: Parts, spec: TrainSpec) -> Outcome:
        """Phase 2: all workers boost in step."""

        def on_event(rank: int, event: Any) -> None:
            if isinstance(event, Checkpoint):
                self.checkpoint = event
            elif isinstance(event, Round):
                self.rounds.add(event, group)

        with communicator(group.size, group.host) as arguments:
            outcomes = group.run(
                train_worker,
                [
                    (rank, [of[rank] for of in parts], spec, arguments, self.checkpoint)
                    for rank in range(group.size)
                ],
                on_event=on_event,
            )
        return next(outcome for outcome in outcomes if outcome is not None)

    def _cut(self, outcome: Outcome) -> Outcome:
        """Drop the rounds that workers did after a callback had asked to stop."""
        last = self.rounds.last
        if last is None or outcome.rounds <= last.index + 1:
            return outcome
        import xgboost

        booster = xgboost.Booster(model_file=bytearray(outcome.model))
        kept = last.index + 1
        with contextlib.suppress(xgboost.core.XGBoostError):  # gblinear cannot be cut
            booster = booster[:kept]
        history = {
            name: {metric: scores[:kept] for metric, scores in logs.items()}
            for name, logs in outcome.history.items()
        }
        return Outcome(kept, bytes(booster.save_raw("ubj")), history, outcome.config)


@contextlib.contextmanager
def communicator(size: int, host: str) -> Iterator[dict[str, Any] | None]:
    """Run XGBoost's tracker for a gang of `size` workers; yields their arguments.

    Parameters
    ----------
    size : int
    host : str
        Address of this node, as the workers reach it.
    """
    if size == 1:
        yield None
        return
    from xgboost.core import XGBoostError
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=size, host_ip=host, sortby="task", timeout=_TRACKER_TIMEOUT)
    tracker.start()
    # worker_args() looks whether the tracker's thread has begun, and if not, again after 0.1 s.
    time.sleep(_TRACKER_BEGINS)
    try:
        yield dict(tracker.worker_args())
    finally:
        # After the loss of a worker it complains of connections that were cut, which says less
        # than the error on its way.
        with contextlib.suppress(XGBoostError):
            tracker.free()
