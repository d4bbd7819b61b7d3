"""Modules that the tests train; the actors import them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Recording(nn.Module):
    """A linear model that writes each batch that it is trained on to a folder."""

    def __init__(self, folder, n_features, n_outputs=1):
        super().__init__()
        self.folder = str(folder)
        self.layers = nn.Sequential(nn.Linear(n_features, 8), nn.Tanh(), nn.Linear(8, n_outputs))

    def forward(self, X):
        if self.training:
            np.save(Path(self.folder) / f"{time.monotonic_ns()}-{os.getpid()}.npy", X.numpy())
        return self.layers(X)


def recorded(folder):
    """The batches in the order of training, for one process."""
    files = sorted(folder.glob("*.npy"), key=lambda file: int(file.name.split("-")[0]))
    return [np.load(file) for file in files]


class Fails(nn.Module):
    """Raises in a chosen forward pass of one rank."""

    def __init__(self, n_features, at=5, rank=1):
        super().__init__()
        self.layer = nn.Linear(n_features, 1)
        self.at, self.rank, self.calls = at, rank, 0

    def forward(self, X):
        self.calls += 1
        if self.calls == self.at and torch.distributed.get_rank() == self.rank:
            raise KeyError("own fault")
        return self.layer(X)


class Dies(nn.Module):
    """Kills the process of rank 1 in a chosen forward pass, once or always."""

    def __init__(self, marks, n_features, at=30, always=False):
        super().__init__()
        self.layer = nn.Linear(n_features, 1)
        self.marks, self.at, self.always, self.calls = str(marks), at, always, 0

    def forward(self, X):
        self.calls += 1
        done = Path(self.marks).exists() and not self.always
        if self.calls == self.at and not done and torch.distributed.get_rank() == 1:
            with open(self.marks, "a") as file:
                file.write("x")
            os.kill(os.getpid(), 9)
        return self.layer(X)


class TwoTowers(nn.Module):
    """Takes an image and an id by name."""

    def __init__(self, pixels, ids):
        super().__init__()
        self.image = nn.Linear(pixels, 4)
        self.table = nn.Embedding(ids, 4)
        self.last = nn.Linear(8, 1)

    def forward(self, *, image, shop):
        assert image.dtype == torch.float32
        assert shop.dtype == torch.int64
        return self.last(torch.cat([self.image(image), self.table(shop[:, 0])], dim=1))


class Normed(nn.Module):
    """Normalises over the rows of a batch."""

    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(n_features), nn.Linear(n_features, 1))

    def forward(self, X):
        return self.layers(X)


class HalfUsed(nn.Module):
    """Has a layer that its forward leaves out."""

    def __init__(self, n_features):
        super().__init__()
        self.used = nn.Linear(n_features, 1)
        self.idle = nn.Linear(n_features, 1)

    def forward(self, X):
        return self.used(X)


class Ids(nn.Module):
    """Takes ids by name."""

    def __init__(self, ids):
        super().__init__()
        self.table = nn.Embedding(ids, 1)

    def forward(self, *, shop):
        return self.table(shop[:, 0])


class Overwrites(nn.Module):
    """Changes what it is given in place."""

    def __init__(self, n_features):
        super().__init__()
        self.layer = nn.Linear(n_features, 1)

    def forward(self, X):
        return self.layer(X.mul_(2.0))
