"""The driver's side of boosting over a gang."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from raydp_ml.training.gang.gang import Gang
from raydp_ml.training.gang.steps import Steps
from raydp_ml.training.rows.inspection import Inspected
from raydp_ml.training.rows.reports import Report
from raydp_ml.training.xgboost.loop import train_worker
from raydp_ml.training.xgboost.spec import Checkpoint, Outcome, Round, TrainSpec

# A restart loses at most this much training.
CHECKPOINT_SECONDS = 10.0
_TRACKER_TIMEOUT = 300
_TRACKER_BEGINS = 0.005
# XGBoost's default number of bins.
_REPEATED_ROWS = 256


class Boosting:
    """One fit over all its attempts: what was reached stays.

    Parameters
    ----------
    task : {"regression", "classification", "ranking"}
    reports_rounds : bool
        Whether somebody wants to hear of each round.
    """

    def __init__(self, task: str, reports_rounds: bool) -> None:
        self._task = task
        self._reports_rounds = reports_rounds
        self._rounds: Steps[Round] = Steps()
        self._checkpoint: Checkpoint | None = None

    def run(
        self, gang: Gang, rows: Inspected, spec: TrainSpec, on_round: Callable[[Round], bool]
    ) -> Outcome:
        """Do one attempt: all workers that have rows boost in step.

        Parameters
        ----------
        gang : Gang
        rows : Inspected
        spec : TrainSpec
        on_round : callable
            Called after each round that is wanted; True asks to stop after it.

        Raises
        ------
        TrainingError
            If a worker raised.
        WorkerLostError
        """
        spec = replace(
            spec,
            repeats_rows=self._repeats_rows(rows.report),
            reports_rounds=self._reports_rounds,
            checkpoint_seconds=None if gang.in_process else CHECKPOINT_SECONDS,
        )
        place = {rank: place for place, rank in enumerate(rows.ranks)}
        with communicator(len(place), gang.host) as arguments:
            outcomes = gang.run(
                train_worker,
                [
                    (
                        place.get(rank),
                        [of[rank] for of in rows.parts],
                        spec,
                        arguments,
                        self._checkpoint,
                    )
                    for rank in range(gang.size)
                ],
                on_event=partial(self._hear, gang, on_round),
            )
        outcome = next(outcome for outcome in outcomes if outcome is not None)
        return self._cut(outcome, spec.start_rounds)

    def _repeats_rows(self, report: Report) -> bool:
        # XGBoost multiplies gradients by weights in single precision, so that a weight of 3 and
        # three equal rows differ in the last bits. Where all rows fit into the bins of a
        # histogram, both find the same split points, and repeating makes them equal.
        rows = report.repeated_rows
        return self._task != "ranking" and rows is not None and rows <= _REPEATED_ROWS

    def _hear(
        self, gang: Gang, on_round: Callable[[Round], bool], _rank: int, event: object
    ) -> None:
        if isinstance(event, Checkpoint):
            self._checkpoint = event
        elif isinstance(event, Round) and self._rounds.stops_at(event, on_round):
            gang.request_stop()

    def _cut(self, outcome: Outcome, start: int) -> Outcome:
        """Drop the rounds that workers did after a callback had asked to stop."""
        last = self._rounds.last
        if last is None or outcome.rounds <= last.index + 1:
            return outcome
        import xgboost

        booster = xgboost.Booster(model_file=bytearray(outcome.model))
        kept = last.index + 1
        with contextlib.suppress(xgboost.core.XGBoostError):  # gblinear cannot be cut
            booster = booster[: start + kept]
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
