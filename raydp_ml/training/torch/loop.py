"""The training of one worker, in step with the others.

Everything here runs on a worker (or in the driver's process, for data in memory): plain arguments
come in, plain data goes out.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from raydp_ml.exceptions import TrainingError
from raydp_ml.training.gang.channel import report, stop_requested
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.torch.batches import derived_seed
from raydp_ml.training.torch.losses import Loss
from raydp_ml.training.torch.process_group import Meeting, Peers, joined
from raydp_ml.training.torch.spec import Best, Checkpoint, Epoch, Outcome, Record, TorchSpec
from raydp_ml.training.torch.tensors import Batch, Forward
from raydp_ml.training.torch.worker_rows import WorkerRows

# Losses are looked at, and agreed on with the other workers, once in so many batches.
_LOOK_EVERY = 256
_PER_BATCH = (OneCycleLR, CyclicLR)


def train_worker(
    rank: int,
    parts: Sequence[Part],
    spec: TorchSpec,
    meeting: Meeting | None,
    checkpoint: Checkpoint | None,
) -> Outcome | None:
    """Train on this worker's rows.

    Parameters
    ----------
    rank : int
    parts : sequence of Part
        The training data, then the evaluation sets.
    spec : TorchSpec
    meeting : Meeting or None
        Where the workers meet; None when there is one worker.
    checkpoint : Checkpoint or None
        Where to go on from.

    Returns
    -------
    Outcome or None
        From rank 0, None from the others.
    """
    device = torch.device(spec.device)
    with _own_settings(spec, device), joined(meeting, rank, device) as peers:
        training = _Training(parts, spec, peers, device)
        try:
            return training.run(checkpoint)
        finally:
            # What holds the process group must go, or the others would wait for this worker.
            training.release()


@contextlib.contextmanager
def _own_settings(spec: TorchSpec, device: torch.device) -> Iterator[None]:
    """Use the worker's threads, and leave the process's random numbers as they were."""
    threads = torch.get_num_threads()
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.set_num_threads(threads)


class _Training:
    """The state of one training on one worker."""

    def __init__(
        self, parts: Sequence[Part], spec: TorchSpec, peers: Peers, device: torch.device
    ) -> None:
        self.spec = spec
        self.peers = peers
        self.device = device
        self.loss = Loss(spec, device)
        self.history: list[Record] = []
        self.best = Best()
        self.first_epoch = 0
        self.rows = WorkerRows(parts, spec, self.loss, peers, device)
        torch.manual_seed(derived_seed(spec.seed, 0, peers.rank))
        self.module = copy.deepcopy(spec.module) if peers.size == 1 else spec.module
        self.module.to(device)
        self.forward = Forward(self.module, spec.inputs)
        self.network = self._distributed()
        self.optimizer = self._optimizer()
        self.scheduler = self._scheduler()
        self.scaler = torch.amp.GradScaler(device.type) if self._half() == torch.float16 else None
        self.last_checkpoint = time.monotonic()

    # ------------------------------------------------------------- before the first epoch

    def _distributed(self) -> Forward:
        """Try the module on a few rows, then wrap it for the gang."""
        unused = self._try_module()
        network: Callable[..., object] = self.module
        if self.peers.size > 1:
            from torch.nn.parallel import DistributedDataParallel

            network = DistributedDataParallel(
                self.module,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                find_unused_parameters=unused,
                gradient_as_bucket_view=True,
            )
        if self.spec.compile:
            # The workers' shares of a batch differ from one batch to the next.
            network = torch.compile(network, dynamic=True if self.peers.size > 1 else None)
        return Forward(network, self.spec.inputs)

    def _try_module(self) -> bool:
        """Check output and criterion before any worker waits; return whether a parameter idles."""
        batch = self.rows.source.take(torch.zeros(0, dtype=torch.int64))
        training = self.module.training
        # Running statistics of normalisations stay as they are, and one row is enough for them.
        self.module.eval()
        try:
            made = self.forward(batch.inputs)
        except Exception as error:
            shapes = ", ".join(str(tuple(part.shape)) for part in batch.inputs)
            raise TrainingError(
                f"The module's forward fails on inputs of shape {shapes}: {error}. Check its first "
                "layer (a module class may take the arguments n_features and n_outputs)."
            ) from error
        output = self.loss.shaped(made, len(batch.target))
        self.loss.check(output, batch.target)
        unused = False
        if self.peers.size > 1:
            self.loss.total(output, batch.target, batch.weight).backward()
            parameters = [item for item in self.module.parameters() if item.requires_grad]
            unused = any(item.grad is None for item in parameters)
            self.module.zero_grad(set_to_none=True)
        self.module.train(training)
        return unused

    def _optimizer(self) -> torch.optim.Optimizer:
        cls, arguments = self.spec.optimizer
        parameters = [item for item in self.module.parameters() if item.requires_grad]
        if not parameters:
            raise TrainingError(
                "The module has no parameter that requires a gradient, so there is nothing to "
                "train. Give it layers, or set requires_grad."
            )
        if "fused" in arguments or not _takes(cls, "fused"):
            return cls(parameters, **arguments)
        try:
            # One kernel for all parameters; the same formula.
            return cls(parameters, fused=True, **arguments)
        except (RuntimeError, ValueError):
            return cls(parameters, **arguments)

    def _scheduler(self) -> LRScheduler | None:
        if self.spec.scheduler is None:
            return None
        cls, arguments = self.spec.scheduler
        if cls is OneCycleLR and not {"total_steps", "epochs"} & set(arguments):
            steps = self.spec.max_epochs * self.rows.shuffle.batches
            arguments = {**arguments, "total_steps": steps}
        return cls(self.optimizer, **arguments)

    def _half(self) -> torch.dtype | None:
        name = self.spec.mixed_precision
        return None if name is None else getattr(torch, name)

    # ------------------------------------------------------------- epochs

    def run(self, checkpoint: Checkpoint | None) -> Outcome | None:
        """Train epoch after epoch, until the last, or until it gets no better."""
        if checkpoint is not None:
            self._restore(checkpoint)
        for epoch in range(self.first_epoch, self.spec.max_epochs):
            if self._finished_early():
                break
            record = self._epoch(epoch)
            self.history.append(record)
            self._note_best(epoch + 1, record)
            self._tell(epoch, record)
            if self._asked_to_stop():
                break
        if self.peers.rank != 0:
            return None
        self._require_finite_weights()
        if self.spec.patience is None or self.best.weights is None:
            return Outcome(self._weights_now(), self.history)
        return Outcome(self.best.weights, self.history, self.best.epoch, self.best.loss)

    def _epoch(self, epoch: int) -> Record:
        start = time.perf_counter()
        rate = float(self.optimizer.param_groups[0]["lr"])
        # Dropout too goes on after a restart as it would have.
        torch.manual_seed(derived_seed(self.spec.seed, epoch + 1, self.peers.rank))
        rows, bounds = self.rows.shuffle.epoch(epoch)
        divisors = self.rows.batch_divisors(rows, bounds)
        loss = self._train(epoch, torch.from_numpy(rows), bounds.tolist(), divisors)
        seconds = time.perf_counter() - start
        record = {"epoch": epoch + 1, "train_loss": loss, **self._evaluate()}
        if self.scheduler is not None and not isinstance(self.scheduler, _PER_BATCH):
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(self._watched(record))
            else:
                self.scheduler.step()
        return {
            **record,
            "lr": rate,
            "seconds": seconds,
            "rows_per_second": self.rows.shuffle.total / seconds,
        }

    def _train(
        self, epoch: int, rows: torch.Tensor, bounds: list[int], divisors: np.ndarray
    ) -> float:
        """Take one step for each batch; return the mean loss of the rows."""
        self.module.train()
        half = self._half()
        total = 0.0
        per_batch = self.scheduler if isinstance(self.scheduler, _PER_BATCH) else None
        norms = [item for item in self.module.modules() if isinstance(item, _BatchNorm)]
        clip = self.spec.gradient_clip
        parameters = [item for item in self.module.parameters() if item.requires_grad]
        # Gradients are averaged over the workers, and a batch's loss is a sum over them. A batch
        # whose classes weigh nothing teaches nothing.
        size = float(self.peers.size)
        scales = [size / divisor if divisor else 0.0 for divisor in divisors.tolist()]
        for first in range(0, len(divisors), _LOOK_EVERY):
            last = min(first + _LOOK_EVERY, len(divisors))
            losses = torch.zeros(last - first, device=self.device)
            for index in range(first, last):
                chosen = rows[bounds[index] : bounds[index + 1]]
                if norms:
                    # Batch normalisation fails on a single row: it takes the running statistics.
                    for item in norms:
                        item.train(len(chosen) != 1)
                batch = self.rows.source.take(chosen)
                loss = self._loss_of(batch, half)
                losses[index - first] = loss.detach()
                self._step(loss * scales[index], parameters, clip)
                if per_batch is not None:
                    per_batch.step()
            sums = self.peers.sum(losses.double().cpu().numpy())
            self._require_finite(epoch, first, sums)
            total += float(sums.sum())
        return total / float(divisors.sum())

    def _loss_of(self, batch: Batch, half: torch.dtype | None) -> torch.Tensor:
        if half is None:
            output = self.network(batch.inputs)
        else:
            with torch.autocast(self.device.type, dtype=half):
                output = self.network(batch.inputs)
        output = self.loss.shaped(output, len(batch.target))
        return self.loss.total(
            output if half is None else output.float(), batch.target, batch.weight
        )

    def _step(
        self, loss: torch.Tensor, parameters: Sequence[torch.Tensor], clip: float | None
    ) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler is None:
            loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            self.optimizer.step()
            return
        self.scaler.scale(loss).backward()
        if clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _require_finite(self, epoch: int, first: int, sums: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(sums))
        if not len(bad):
            return
        batch = first + int(bad[0])
        raise TrainingError(
            f"The loss became {'NaN' if math.isnan(sums[bad[0]]) else 'infinite'} in epoch "
            f"{epoch + 1}, batch {batch + 1} of {self.rows.shuffle.batches}. {self._advice()}"
        )

    def _require_finite_weights(self) -> None:
        """Raise when the step after the last loss spoilt the weights."""
        for name, item in self.module.state_dict().items():
            if item.is_floating_point() and not bool(torch.isfinite(item).all()):
                raise TrainingError(
                    f"The weights {name!r} are not finite after epoch {len(self.history)}: the "
                    f"last step was too large. {self._advice()}"
                )

    def _advice(self) -> str:
        rate = float(self.optimizer.param_groups[0]["lr"])
        return (
            f"Lower the learning rate (lr={rate:g}), set gradient_clip=1.0, or scale features and "
            "label (raydp_ml.preprocessing.StandardScaler)."
        )

    def _evaluate(self) -> dict[str, float]:
        """Return loss and metric of each evaluation set, over all workers."""
        self.module.eval()
        return {
            f"validation_{number}_{name}": value
            for number, evaluation in enumerate(self.rows.evaluations)
            for name, value in evaluation.scores(self.forward).items()
        }

    # ------------------------------------------------------------- between epochs

    def _watched(self, record: Record) -> float:
        """Return the loss that decides: of the last evaluation set, else of the training."""
        count = len(self.rows.evaluations)
        return record[f"validation_{count - 1}_loss" if count else "train_loss"]

    def _note_best(self, epochs: int, record: Record) -> None:
        if self.spec.patience is None:
            return
        loss, best = self._watched(record), self.best
        if loss < best.loss - self.spec.tol or best.epoch == 0:
            best.waited = 0
        else:
            best.waited += 1
        if loss < best.loss or best.epoch == 0:
            best.loss, best.epoch = loss, epochs
            # Only rank 0 returns weights; the decision is the same for all, from reduced sums.
            best.weights = self._weights_now() if self.peers.rank == 0 else None

    def _finished_early(self) -> bool:
        return self.spec.patience is not None and self.best.waited >= self.spec.patience

    def _asked_to_stop(self) -> bool:
        if not self.spec.reports_epochs:
            return False
        # All follow rank 0, or those that go on would wait for it.
        asked = self.peers.rank == 0 and stop_requested()
        return bool(self.peers.sum(np.array([float(asked)]))[0])

    def _tell(self, epoch: int, record: Record) -> None:
        if self.peers.rank != 0:
            return
        if self.spec.reports_epochs:
            report(Epoch(epoch, record, self._weights_now() if self.spec.reports_models else None))
        # After the epoch: a loss between the two has the epoch done and told again, of which the
        # driver drops the second; the other way round, it would never be told.
        if self._checkpoint_is_due(epoch + 1):
            report(self._checkpoint(epoch + 1))
            self.last_checkpoint = time.monotonic()

    def _checkpoint_is_due(self, epochs: int) -> bool:
        every, seconds = self.spec.checkpoint_every, self.spec.checkpoint_seconds
        if every is not None:
            return epochs % every == 0
        return seconds is not None and time.monotonic() - self.last_checkpoint >= seconds

    def _checkpoint(self, epochs: int) -> Checkpoint:
        scheduler = None if self.scheduler is None else dict(self.scheduler.state_dict())
        return Checkpoint(
            epochs,
            self.spec.seed,
            self._weights_now(),
            _on_cpu(self.optimizer.state_dict()),
            scheduler,
            None if self.scaler is None else self.scaler.state_dict(),
            list(self.history),
            copy.copy(self.best),
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.module.load_state_dict(checkpoint.weights)
        self.optimizer.load_state_dict(copy.deepcopy(checkpoint.optimizer))
        if self.scheduler is not None and checkpoint.scheduler is not None:
            self.scheduler.load_state_dict(checkpoint.scheduler)
        if self.scaler is not None and checkpoint.scaler is not None:
            self.scaler.load_state_dict(checkpoint.scaler)
        self.history = list(checkpoint.history)
        self.best = copy.copy(checkpoint.best)
        self.first_epoch = checkpoint.epochs

    def _weights_now(self) -> dict[str, torch.Tensor]:
        weights: dict[str, torch.Tensor] = _on_cpu(self.module.state_dict())
        return weights

    def release(self) -> None:
        """Let go of what holds the process group."""
        self.network = self.optimizer = self.scheduler = None  # type: ignore[assignment]


def _takes(cls: Callable[..., object], name: str) -> bool:
    import inspect

    return name in inspect.signature(cls).parameters


def _on_cpu(value: Any) -> Any:
    """Return a copy of a state dict, with its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(item) for item in value)
    return value
