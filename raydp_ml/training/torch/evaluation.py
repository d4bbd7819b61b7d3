"""Sets of rows to evaluate on: loss and metric, over the rows of all workers."""

from __future__ import annotations

import numpy as np
import torch

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.torch.losses import Loss, residuals, right_weight
from raydp_ml.training.torch.process_group import Peers
from raydp_ml.training.torch.tensors import Forward, Rows, TensorSource

_LEAST_ROWS = 1024


class Evaluation:
    """One such set, as far as this worker holds it.

    Parameters
    ----------
    rows : Rows
    index : ndarray of int
        Which of them.
    source : TensorSource
        Of all `rows`.
    loss : Loss
    peers : Peers
        All must make the evaluation at the same time.
    what : str
        What an error calls it.

    Raises
    ------
    SchemaError
        If the rows weigh nothing.
    """

    def __init__(
        self,
        rows: Rows,
        index: np.ndarray,
        source: TensorSource,
        loss: Loss,
        peers: Peers,
        what: str,
    ) -> None:
        self._source = source
        self._loss = loss
        self._peers = peers
        self._spec = loss.spec
        self._index = torch.from_numpy(index.astype(np.int64))
        target = rows.target[index]
        given = None if rows.weight is None else rows.weight[index]
        weight = np.ones(len(index)) if given is None else given.astype(np.float64)
        divisors = loss.divisors(target, given)
        sums = [len(index) if divisors is None else divisors.sum(dtype=np.float64), weight.sum()]
        self._loss_weight, self._weight = peers.sum(np.array(sums, np.float64)).tolist()
        if not self._loss_weight:
            raise SchemaError(
                f"The {what} weigh nothing, so that there is no loss to evaluate. Give some of "
                "them, and their classes, a positive weight."
            )
        self._spread = np.zeros(0)
        if self._spec.task == "regression":
            values = target.reshape(len(target), max(1, self._spec.n_targets)).astype(np.float64)
            mean = peers.sum(weight @ values) / self._weight
            self._spread = peers.sum(weight @ (values - mean) ** 2)

    def scores(self, forward: Forward) -> dict[str, float]:
        """Return "loss", weighted as in training, and "r2" or "accuracy" as ``score`` has it.

        Parameters
        ----------
        forward : Forward
            Of the module, in evaluation mode.
        """
        sums = self._peers.sum(self._sums(forward))
        loss = float(sums[0] / self._loss_weight)
        if self._spec.task == "classification":
            return {"loss": loss, "accuracy": float(sums[1] / self._weight)}
        spread = np.where(self._spread > 0, self._spread, np.nan)
        return {"loss": loss, "r2": float(np.mean(1.0 - sums[1:] / spread))}

    @torch.no_grad()
    def _sums(self, forward: Forward) -> np.ndarray:
        size = max(self._spec.batch_size, _LEAST_ROWS)
        regression = self._spec.task == "regression"
        totals = np.zeros(1 + (max(1, self._spec.n_targets) if regression else 1))
        for index in self._index.split(size) if len(self._index) else ():
            batch = self._source.take(index)
            output = self._loss.shaped(forward(batch.inputs), len(index))
            totals[0] += float(self._loss.total(output, batch.target, batch.weight))
            if regression:
                totals[1:] += residuals(output, batch.target, batch.weight).cpu().numpy()
            else:
                totals[1] += float(right_weight(self._spec, output, batch.target, batch.weight))
        return totals
