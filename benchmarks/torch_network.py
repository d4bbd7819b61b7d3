"""The network and the label of the case ``torch``; it runs in the peer's environment too."""

from __future__ import annotations

from torch import nn

FEATURES = [f"x{i}" for i in range(30)]
LABEL = "sin(2 * x0) + x1 * x2 + 0.5 * x3 + abs(x4)"
BATCH = 4096
LEARNING_RATE = 0.003


def network() -> nn.Module:
    """Make a perceptron of three linear layers."""
    return nn.Sequential(
        nn.Linear(len(FEATURES), 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 1),
    )
