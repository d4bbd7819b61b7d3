"""What a fitted module says about rows: the same functions in memory and in Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.training.torch.rows import Input

if TYPE_CHECKING:
    import torch

_ROWS = 8192
# With fewer rows, other kernels multiply matrices, whose last bits differ.
_LEAST_ROWS = 32


def module_output(
    module: torch.nn.Module, inputs: Sequence[Input], arrays: Sequence[np.ndarray]
) -> np.ndarray:
    """Run a module over rows.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, on the CPU.
    inputs : sequence of Input
    arrays : sequence of ndarray of shape (n, width)

    Returns
    -------
    ndarray of shape (n,) or (n, n_outputs)
    """
    import torch

    from raydp_ml.training.torch.tensors import Forward

    forward = Forward(module, inputs)
    rows = len(arrays[0])
    parts = []
    with torch.inference_mode():
        for start in range(0, rows, _ROWS):
            chunks = [torch.from_numpy(array[start : start + _ROWS]) for array in arrays]
            size = len(chunks[0])
            if size < _LEAST_ROWS:
                chunks = [chunk[torch.arange(_LEAST_ROWS) % size] for chunk in chunks]
            parts.append(forward(chunks)[:size].float().numpy())
    return np.concatenate(parts)


def class_shares(output: np.ndarray, one_logit: bool) -> np.ndarray:
    """Turn a classifier's output into probabilities.

    Parameters
    ----------
    output : ndarray of shape (n,), (n, 1) or (n, n_classes)
    one_logit : bool
        Whether the output is one logit, of the second class. Otherwise it is a logit for each
        class, or the logarithm of its probability.

    Returns
    -------
    ndarray of shape (n, n_classes), dtype float64
    """
    output = output.astype(np.float64)
    if one_logit:
        positive = 1.0 / (1.0 + np.exp(-output.reshape(-1)))
        return np.column_stack((1.0 - positive, positive))
    powers = np.exp(output - output.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
