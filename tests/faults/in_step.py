"""PyTorch's way to the gate."""

from __future__ import annotations

import torch

from tests.faults.gate import Gate


class InStep(torch.nn.Module):
    """A linear model that comes to the gate in its fifth step."""

    def __init__(self, gate: Gate, in_features: int = 2, out_features: int = 1) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.gate = gate
        self.steps = 0

    def forward(self, X):
        self.steps += 1
        if self.steps == 5:
            self.gate()
        return self.linear(X)
