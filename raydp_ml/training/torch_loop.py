"""The training of one worker, in step with the others.

Everything here runs on a worker (or in the driver's process, for data in memory): plain arguments
come in, plain data goes out.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau

from raydp_ml.exceptions import SchemaError, TrainingError
from raydp_ml.training.channel import report, stop_requested
from raydp_ml.training.data_sets import Part
from raydp_ml.training.torch_batches import (
    Shuffle,
    derived_seed,
    global_numbers,
    row_hashes,
    split_rows,
)
from raydp_ml.training.torch_losses import Loss, residuals, right_weight
from raydp_ml.training.torch_process_group import Meeting, Peers, joined
from raydp_ml.training.torch_spec import Best, Checkpoint, Epoch, Outcome, TorchSpec
from raydp_ml.training.torch_tensors import Batch, Forward, Rows, TensorSource, read_rows

# Losses are looked at, and agreed on with the other workers, once in so many batches.
_LOOK_EVERY = 256
_LEAST_EVALUATION_ROWS = 1024
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


class _Evaluation:
    """Rows to evaluate on, as far as this worker holds them."""

    def __init__(
        self, source: TensorSource, rows: Rows, index: np.ndarray, weight: np.ndarray | None
    ) -> None:
        self.source = source
        self.index = torch.from_numpy(index.astype(np.int64))
        self.weight = float(len(index) if weight is None else weight[index].sum(dtype=np.float64))
        self.spread = np.zeros(0)
        target = rows.target[index].astype(np.float64)
        self._target = target if target.ndim == 2 else target[:, None]
        self._weights = np.ones(len(index)) if weight is None else weight[index].astype(np.float64)

    def agree(self, peers: Peers, regression: bool) -> None:
        """Find the weight of all workers' rows, and for R² the spread of their targets."""
        sums = np.concatenate([[self.weight], self._weights @ self._target])
        sums = peers.sum(sums)
        self.weight = float(sums[0])
        if regression and self.weight:
            centred = self._target - sums[1:] / self.weight
            self.spread = peers.sum(self._weights @ centred**2)
        del self._target, self._weights


class _Training:
    """The state of one training on one worker."""

    def __init__(
        self, parts: Sequence[Part], spec: TorchSpec, peers: Peers, device: torch.device
    ) -> None:
        self.spec = spec
        self.peers = peers
        self.device = device
        self.loss = Loss(spec)
        self.history: list[dict[str, Any]] = []
        self.best = Best()
        self.first_epoch = 0
        self._read(parts)
        torch.manual_seed(derived_seed(spec.seed, 0, peers.rank))
        self.module = copy.deepcopy(spec.module) if peers.size == 1 else spec.module
        self.module.to(device)
        self.forward = Forward(self.module, spec.inputs)
        self.network = self._distributed()
        self.optimizer = self._optimizer()
        self.scheduler: Any = self._scheduler()
        self.scaler = torch.amp.GradScaler(device.type) if self._half() == torch.float16 else None
        self.last_checkpoint = time.monotonic()

    # ------------------------------------------------------------- before the first epoch

    def _read(self, parts: Sequence[Part]) -> None:
        spec, peers = self.spec, self.peers
        rows = read_rows(parts[0].read(), parts[0].layout, spec)
        chosen = np.ones(len(rows), bool) if rows.validation is None else ~rows.validation
        marked = np.flatnonzero(~chosen).astype(np.uint32)
        if rows.weight is not None:
            # A row that weighs nothing is as if it were not there.
            chosen &= rows.weight > 0
        index = np.flatnonzero(chosen).astype(np.uint32)
        sizes = [0] * peers.size
        sizes[peers.rank] = len(index)
        sizes = [int(size) for size in peers.sum(np.array(sizes))]
        numbers = global_numbers(
            row_hashes([*rows.inputs, rows.target], rows.weight, index),
            peers.rank,
            sizes,
            peers.share if peers.size > 1 else None,
        )
        total = sum(sizes)
        held_out = round(spec.validation_fraction * total)
        held = np.zeros(0, np.uint32)
        if spec.validation_fraction:
            self._require_split(total, held_out)
            index, numbers, held = split_rows(index, numbers, total, held_out, spec.seed)
            total -= held_out
        weight = self._weights(rows, index)
        self.source = TensorSource(rows, weight, spec, self.device)
        self.shuffle = Shuffle(index, numbers, total, min(spec.batch_size, total), spec.seed)
        self.weight = weight
        self.evaluations = []
        for part in parts[1:]:
            more = read_rows(part.read(), part.layout, spec)
            its_weight = self._weights(more, None)
            source = TensorSource(more, its_weight, spec, self.device)
            self.evaluations.append(_Evaluation(source, more, np.arange(len(more)), its_weight))
        for extra, wanted in ((marked, spec.evaluates_validation), (held, len(held) or held_out)):
            if wanted:
                self.evaluations.append(_Evaluation(self.source, rows, extra, weight))
        for evaluation in self.evaluations:
            evaluation.agree(peers, spec.task == "regression")

    def _require_split(self, total: int, held_out: int) -> None:
        if not 0 < held_out < total:
            raise SchemaError(
                f"early_stopping holds out validation_fraction={self.spec.validation_fraction:g} "
                f"of the {total} training rows, which makes {held_out}. Give more rows, or pass "
                "eval_set."
            )

    def _weights(self, rows: Rows, index: np.ndarray | None) -> np.ndarray | None:
        """Return the weights of rows times those of their classes.

        The classes are counted among the training rows, given by `index`; for other rows the
        weights found then are used.
        """
        if self.spec.class_weight is None:
            return rows.weight
        if index is not None:
            by_class = self.spec.class_weight
            if isinstance(by_class, str):
                classes = len(self.spec.classes)  # type: ignore[arg-type]
                weights = None if rows.weight is None else rows.weight[index]
                counts = np.bincount(rows.target[index], weights, minlength=classes)
                counts = self.peers.sum(counts.astype(np.float64))
                by_class = counts.sum() / (classes * np.maximum(counts, 1e-300))
            self._by_class = np.asarray(by_class, dtype=np.float64)
        found = self._by_class[rows.target]
        return (found if rows.weight is None else found * rows.weight).astype(np.float32)

    def _distributed(self) -> Any:
        """Try the module on a few rows, then wrap it for the gang."""
        unused = self._try_module()
        network: Any = self.module
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
        batch = self.source.take(torch.zeros(0, dtype=torch.int64))
        training = self.module.training
        # Running statistics of normalisations stay as they are, and one row is enough for them.
        self.module.eval()
        output = self.loss.shaped(self.forward(batch.inputs), len(batch.target))
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

    def _scheduler(self) -> Any:
        if self.spec.scheduler is None:
            return None
        cls, arguments = self.spec.scheduler
        if cls is OneCycleLR and not {"total_steps", "epochs"} & set(arguments):
            arguments = {**arguments, "total_steps": self.spec.max_epochs * self.shuffle.batches}
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

    def _epoch(self, epoch: int) -> dict[str, Any]:
        start = time.perf_counter()
        rate = float(self.optimizer.param_groups[0]["lr"])
        # Dropout too goes on after a restart as it would have.
        torch.manual_seed(derived_seed(self.spec.seed, epoch + 1, self.peers.rank))
        rows, bounds = self.shuffle.epoch(epoch)
        divisors = self._divisors(rows, bounds)
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
            "rows_per_second": self.shuffle.total / seconds,
        }

    def _divisors(self, rows: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """Return the weight of each global batch, over all workers."""
        if self.weight is None:
            return self.shuffle.sizes().astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(self.weight[rows], dtype=np.float64)])
        return self.peers.sum(np.diff(sums[bounds]))

    def _train(
        self, epoch: int, rows: torch.Tensor, bounds: list[int], divisors: np.ndarray
    ) -> float:
        """Take one step for each batch; return the mean loss of the rows."""
        self.module.train()
        half = self._half()
        total = 0.0
        per_batch = isinstance(self.scheduler, _PER_BATCH)
        norms = [item for item in self.module.modules() if isinstance(item, _BatchNorm)]
        clip = self.spec.gradient_clip
        parameters = [item for item in self.module.parameters() if item.requires_grad]
        # Gradients are averaged over the workers, and a batch's loss is a sum over them.
        scales = (self.peers.size / divisors).tolist()
        for first in range(0, len(divisors), _LOOK_EVERY):
            last = min(first + _LOOK_EVERY, len(divisors))
            losses = torch.zeros(last - first, device=self.device)
            for index in range(first, last):
                chosen = rows[bounds[index] : bounds[index + 1]]
                if norms:
                    # Batch normalisation fails on a single row: it takes the running statistics.
                    for item in norms:
                        item.train(len(chosen) != 1)
                batch = self.source.take(chosen)
                loss = self._loss_of(batch, half)
                losses[index - first] = loss.detach()
                self._step(loss * scales[index], parameters, clip)
                if per_batch:
                    self.scheduler.step()
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

    def _step(self, loss: torch.Tensor, parameters: list[torch.Tensor], clip: float | None) -> None:
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
            f"{epoch + 1}, batch {batch + 1} of {self.shuffle.batches}. {self._advice()}"
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
        found: dict[str, float] = {}
        self.module.eval()
        for number, evaluation in enumerate(self.evaluations):
            sums = self.peers.sum(self._sums(evaluation))
            name = f"validation_{number}"
            found[f"{name}_loss"] = float(sums[0] / evaluation.weight)
            if self.spec.task == "classification":
                found[f"{name}_accuracy"] = float(sums[1] / evaluation.weight)
            else:
                spread = evaluation.spread
                scores = 1.0 - sums[1:] / np.where(spread > 0, spread, np.nan)
                found[f"{name}_r2"] = float(np.mean(scores))
        return found

    @torch.no_grad()
    def _sums(self, evaluation: _Evaluation) -> np.ndarray:
        size = max(self.spec.batch_size, _LEAST_EVALUATION_ROWS)
        regression = self.spec.task == "regression"
        totals = np.zeros(1 + (max(1, self.spec.n_targets) if regression else 1))
        for index in evaluation.index.split(size) if len(evaluation.index) else ():
            batch = evaluation.source.take(index)
            output = self.loss.shaped(self.forward(batch.inputs), len(index))
            totals[0] += float(self.loss.total(output, batch.target, batch.weight))
            if regression:
                totals[1:] += residuals(output, batch.target, batch.weight).cpu().numpy()
            else:
                totals[1] += float(right_weight(self.spec, output, batch.target, batch.weight))
        return totals

    # ------------------------------------------------------------- between epochs

    def _watched(self, record: dict[str, Any]) -> float:
        """Return the loss that decides: of the last evaluation set, else of the training."""
        if not self.evaluations:
            return record["train_loss"]
        return record[f"validation_{len(self.evaluations) - 1}_loss"]

    def _note_best(self, epochs: int, record: dict[str, Any]) -> None:
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

    def _tell(self, epoch: int, record: dict[str, Any]) -> None:
        if self.peers.rank != 0:
            return
        if self._checkpoint_is_due(epoch + 1):
            report(self._checkpoint(epoch + 1))
            self.last_checkpoint = time.monotonic()
        if self.spec.reports_epochs:
            report(Epoch(epoch, record, self._weights_now() if self.spec.reports_models else None))

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
        return _on_cpu(self.module.state_dict())

    def release(self) -> None:
        """Let go of what holds the process group."""
        self.network = self.optimizer = self.scheduler = None  # type: ignore[assignment]


def _takes(cls: Any, name: str) -> bool:
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
