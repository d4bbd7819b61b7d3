"""A worker's rows as contiguous tensors, and slices of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raydp_ml.training.rows.kept import made_once
from raydp_ml.training.rows.layout import Layout, label_of, one_array
from raydp_ml.training.torch.rows import Input, trained_arrays_of
from raydp_ml.training.torch.spec import TorchSpec

# A network needs rows also where a worker has none of a batch: zeros, which weigh nothing.
_STAND_INS = 2


@dataclass
class Batch:
    """Some rows, on the device.

    Attributes
    ----------
    inputs : list of Tensor
    target : Tensor
    weight : Tensor of shape (n,), or None
    """

    inputs: list[torch.Tensor]
    target: torch.Tensor
    weight: torch.Tensor | None


@dataclass
class Rows:
    """Arrays of one data set, as far as this worker holds it.

    Attributes
    ----------
    inputs : list of ndarray of shape (n, width)
    target : ndarray of shape (n,) or (n, n_targets)
        float32, or int64 for the positions of classes.
    weight : ndarray of shape (n,), dtype float32, or None
    """

    inputs: list[np.ndarray]
    target: np.ndarray
    weight: np.ndarray | None

    def __len__(self) -> int:
        return len(self.target)


def rows_of(table: pa.Table, layout: Layout, spec: TorchSpec) -> Rows:
    """Convert a table."""
    weight = None
    if layout.weight is not None:
        values = one_array(table.column(layout.weight)).cast(pa.float64())
        weight = values.to_numpy(zero_copy_only=False).astype(np.float32)
    labels = label_of(table, layout, spec.classes)
    assert labels is not None
    kind = np.int64 if spec.task == "classification" else np.float32
    target = np.ascontiguousarray(labels, dtype=kind)
    if spec.n_targets:
        target = target.reshape(len(table), spec.n_targets)
    del labels
    inputs = made_once(
        table,
        [feature.name for item in spec.inputs for feature in item.features],
        lambda: ("inputs", repr(spec.inputs), layout.named),
        lambda: trained_arrays_of(table, spec.inputs, layout.named),
    )
    return Rows(inputs, target, weight)


def _tensor(array: np.ndarray) -> torch.Tensor:
    with warnings.catch_warnings():
        # Nobody writes to it, since batches are copies.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


class TensorSource:
    """Takes batches from rows.

    Parameters
    ----------
    rows : Rows
    spec : TorchSpec
    device : torch.device
    """

    def __init__(self, rows: Rows, spec: TorchSpec, device: torch.device) -> None:
        self._device = device
        self._size = len(rows)
        self._on_gpu = device.type == "cuda"
        self._target = torch.from_numpy(rows.target)
        self._weight = None if rows.weight is None else torch.from_numpy(rows.weight)
        self._inputs = [_tensor(array) for array in rows.inputs]
        self._as_float = spec.one_logit

    def take(self, index: torch.Tensor) -> Batch:
        """Return the rows at some positions; for none of them, rows of zeros that weigh nothing.

        Parameters
        ----------
        index : Tensor of shape (n,), dtype int32 or int64
        """
        if len(index) == 0:
            return self._nothing()
        inputs = [self._moved(tensor.index_select(0, index)) for tensor in self._inputs]
        target = self._moved(self._target.index_select(0, index))
        weight = None
        if self._weight is not None:
            weight = self._moved(self._weight.index_select(0, index))
        return Batch(inputs, target.float() if self._as_float else target, weight)

    def _nothing(self) -> Batch:
        # Real rows where there are some, since a module may not take zeros.
        if self._size:
            batch = self.take(torch.arange(min(self._size, _STAND_INS)))
        else:
            target = self._moved(_zeros(self._target))
            inputs = [self._moved(_zeros(tensor)) for tensor in self._inputs]
            batch = Batch(inputs, target.float() if self._as_float else target, None)
        batch.weight = torch.zeros(len(batch.target), device=self._device)
        return batch

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        if not self._on_gpu:
            return tensor
        # Pinned memory is copied while the GPU computes, and torch uses it again only when done.
        return tensor.pin_memory().to(self._device, non_blocking=True)


class Forward:
    """Calls a module with the inputs that it takes."""

    def __init__(self, module: Callable[..., object], spec_inputs: Sequence[Input]) -> None:
        self.module = module
        self._names = [item.name for item in spec_inputs if item.name is not None]

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Any:
        """Return the module's output."""
        if self._names:
            return self.module(**dict(zip(self._names, inputs, strict=True)))
        return self.module(*inputs)


def _zeros(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(_STAND_INS, *tensor.shape[1:], dtype=tensor.dtype)
