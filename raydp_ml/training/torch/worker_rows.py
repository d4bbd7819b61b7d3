"""The rows of one worker, ready to be trained and evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.torch.batches import (
    Shuffle,
    global_numbers,
    row_hashes,
    shares_of,
    split_rows,
)
from raydp_ml.training.torch.evaluation import Evaluation
from raydp_ml.training.torch.losses import Loss
from raydp_ml.training.torch.mapped import mapped_rows
from raydp_ml.training.torch.process_group import Peers
from raydp_ml.training.torch.spec import TorchSpec
from raydp_ml.training.torch.tensors import Rows, TensorSource, rows_of


class WorkerRows:
    """Reads the parts, holds out rows, and agrees with the other workers on the order of all.

    Parameters
    ----------
    parts : sequence of Part
        The training data, then the evaluation sets.
    spec : TorchSpec
    loss : Loss
        Is told the weights of the classes.
    peers : Peers
    device : torch.device

    Attributes
    ----------
    source : TensorSource
    shuffle : Shuffle
        Of the rows of `source` to train on.
    evaluations : list of Evaluation
        The sets that were given, then rows of the training data.

    Raises
    ------
    SchemaError
        If no row can be held out, or rows to evaluate on weigh nothing.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        spec: TorchSpec,
        loss: Loss,
        peers: Peers,
        device: torch.device,
    ) -> None:
        self._spec = spec
        self._peers = peers
        rows = _rows(parts[0], spec)
        # A row that weighs nothing is as if it were not there.
        chosen = np.ones(len(rows), bool) if rows.weight is None else rows.weight > 0
        index = np.flatnonzero(chosen).astype(np.uint32)
        sizes = [0] * peers.size
        sizes[peers.rank] = len(index)
        self._sizes = [int(size) for size in peers.sum(np.array(sizes))]
        self._share = peers.share if peers.size > 1 else None
        # Held by no name here, the hashes go as soon as they have been used.
        numbers = global_numbers(
            row_hashes([*rows.inputs, rows.target], rows.weight, index),
            peers.rank,
            self._sizes,
            self._share,
        )
        total = sum(self._sizes)
        held = None
        if spec.validation_fraction:
            index, numbers, held, total = self._hold_out(rows, index, numbers, total)
        loss.weigh_classes(self._class_weights(rows, index))
        self._divisors = loss.divisors(rows.target, rows.weight)
        self.source = TensorSource(rows, spec, device)
        self.shuffle = Shuffle(index, numbers, total, min(spec.batch_size, total), spec.seed)
        self.evaluations = []
        for number, part in enumerate(parts[1:]):
            more = _rows(part, spec)
            source = TensorSource(more, spec, device)
            what = f"rows of evaluation set {number}"
            every = np.arange(len(more))
            self.evaluations.append(Evaluation(more, every, source, loss, peers, what))
        if held is not None:
            what = "rows held out for validation"
            self.evaluations.append(Evaluation(rows, held, self.source, loss, peers, what))

    def batch_divisors(self, rows: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """Return what the losses of each global batch are divided by, over all workers.

        Parameters
        ----------
        rows, bounds : ndarray
            What `Shuffle.epoch` returned.
        """
        if self._divisors is None:
            return self.shuffle.sizes().astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(self._divisors[rows], dtype=np.float64)])
        return self._peers.sum(np.diff(sums[bounds]))

    def _hold_out(
        self, rows: Rows, index: np.ndarray, numbers: np.ndarray, total: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return the rows to train on and their numbers, the rows held out, and the new total."""
        spec, peers = self._spec, self._peers
        classes = None
        counts = np.array([total])
        if spec.classes is not None:
            # In proportion to the classes, as scikit-learn's networks hold out theirs.
            classes = rows.target[index]
            counts = peers.sum(np.bincount(classes, minlength=len(spec.classes)))
        held_out = shares_of(counts, round(spec.validation_fraction * total))
        if not held_out.sum():
            raise SchemaError(
                f"early_stopping holds out validation_fraction={spec.validation_fraction:g} "
                f"of the {total} training rows, which makes none. Give more rows, or pass "
                "eval_set."
            )

        number = partial(global_numbers, rank=peers.rank, sizes=self._sizes, share=self._share)
        left, left_numbers, held = split_rows(
            index, numbers, counts, held_out, spec.seed, classes, number
        )
        return left, left_numbers, held, total - int(held_out.sum())

    def _class_weights(self, rows: Rows, index: np.ndarray) -> np.ndarray | None:
        """Return the weights of the classes, which "balanced" counts among the training rows."""
        spec = self._spec
        if spec.class_weight is None or not isinstance(spec.class_weight, str):
            return spec.class_weight
        classes = len(spec.classes)  # type: ignore[arg-type]
        weights = None if rows.weight is None else rows.weight[index]
        counts = np.bincount(rows.target[index], weights, minlength=classes)
        counts = self._peers.sum(counts.astype(np.float64))
        by_class: np.ndarray = counts.sum() / (classes * np.maximum(counts, 1e-300))
        return by_class


def _rows(part: Part, spec: TorchSpec) -> Rows:
    if spec.external:
        return mapped_rows(part, spec)
    return rows_of(part.read(), part.layout, spec)
