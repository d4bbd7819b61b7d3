"""The driver's side of training a network over a gang."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from raydp_ml.training.gang.gang import Gang
from raydp_ml.training.gang.steps import Steps
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.inspection import Inspected
from raydp_ml.training.torch.process_group import Meeting, open_meeting
from raydp_ml.training.torch.spec import Checkpoint, Epoch, Outcome, TorchSpec

# Without checkpoint_every, a restart loses at most this much training, and an epoch.
CHECKPOINT_SECONDS = 10.0


class NetworkTraining:
    """One fit over all its attempts: what was reached stays.

    Parameters
    ----------
    checkpoint : Checkpoint or None
        Where to go on from.
    reports_epochs : bool
        Whether somebody wants to hear of each epoch.
    """

    def __init__(self, checkpoint: Checkpoint | None, reports_epochs: bool) -> None:
        self._checkpoint = checkpoint
        self._reports_epochs = reports_epochs
        self._epochs: Steps[Epoch] = Steps()

    def run(
        self,
        gang: Gang,
        rows: Inspected,
        spec: TorchSpec,
        on_epoch: Callable[[Epoch], bool],
        on_checkpoint: Callable[[Checkpoint], None] | None,
    ) -> Outcome:
        """Do one attempt.

        Parameters
        ----------
        gang : Gang
        rows : Inspected
        spec : TorchSpec
        on_epoch : callable
            Called after each epoch that is wanted; True asks to stop after it.
        on_checkpoint : callable or None
            Called with each checkpoint.

        Raises
        ------
        TrainingError
            If a worker raised.
        WorkerLostError
        """
        held_out = len(rows.parts) > 1
        spec = replace(
            spec,
            threads=spec.threads if gang.in_process else gang.cpus_per_worker,
            validation_fraction=0.0 if held_out else spec.validation_fraction,
            reports_epochs=self._reports_epochs,
            checkpoint_seconds=None if gang.in_process else CHECKPOINT_SECONDS,
        )
        meeting = None
        if gang.size > 1:
            meeting = gang.run(open_meeting, [(rank, gang.size) for rank in range(gang.size)])[0]
        outcomes = gang.run(
            _train_worker,
            [
                (rank, [of[rank] for of in rows.parts], spec, meeting, self._checkpoint)
                for rank in range(gang.size)
            ],
            on_event=partial(self._hear, gang, on_epoch, on_checkpoint),
        )
        return self._cut(next(outcome for outcome in outcomes if outcome is not None))

    def _hear(
        self,
        gang: Gang,
        on_epoch: Callable[[Epoch], bool],
        on_checkpoint: Callable[[Checkpoint], None] | None,
        _rank: int,
        event: object,
    ) -> None:
        if isinstance(event, Checkpoint):
            self._checkpoint = event
            if on_checkpoint is not None:
                on_checkpoint(event)
        elif isinstance(event, Epoch) and self._epochs.stops_at(event, on_epoch):
            gang.request_stop()

    def _cut(self, outcome: Outcome) -> Outcome:
        """Drop the epochs that workers did after a callback had asked to stop, where it can be."""
        stopped = self._epochs.last
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
    from raydp_ml.training.torch.loop import train_worker

    return train_worker(rank, parts, spec, meeting, checkpoint)
