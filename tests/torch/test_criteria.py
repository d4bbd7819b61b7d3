"""Losses with weights of their own: the steps and the values of a plain loop over torch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from raydp_ml.torch import TorchClassifier, TorchRegressor

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTS = torch.tensor([1.0, 4.0, 2.0])
STEPS = 10


class LogProbabilities(nn.Module):
    """What `NLLLoss` takes."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Linear(2, 3)

    def forward(self, X):
        return torch.log_softmax(self.scores(X), dim=1)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)).astype(np.float32)
    return X, np.digitize(X[:, 0] + rng.normal(size=200) / 2, [-0.8, 0.9])


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(weight=WEIGHTS),
        nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1),
        nn.CrossEntropyLoss(ignore_index=1),
        nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=0),
        nn.NLLLoss(weight=WEIGHTS),
        nn.NLLLoss(ignore_index=2),
        nn.MultiMarginLoss(weight=WEIGHTS),
        nn.MultiMarginLoss(reduction="none"),
    ],
    ids=lambda item: f"{type(item).__name__}-{'weight' if item.weight is not None else 'plain'}",
)
def test_the_mean_is_torchs(rows, criterion):
    X, y = rows
    torch.manual_seed(0)
    net = LogProbabilities() if isinstance(criterion, nn.NLLLoss) else nn.Linear(2, 3)
    # One batch of all rows, so that both take the same steps.
    params = {"optimizer": "sgd", "lr": 0.5, "batch_size": len(X), "max_epochs": STEPS}
    model = TorchClassifier(net, criterion=criterion, num_workers=0, **params)
    model.fit(X[:120], y[:120], eval_set=[(X[120:], y[120:])])

    loss_of = copy.deepcopy(criterion)
    loss_of.reduction = "mean"
    own = copy.deepcopy(net)
    optimizer = torch.optim.SGD(own.parameters(), lr=0.5)
    train_X, train_y = torch.from_numpy(X[:120]), torch.from_numpy(y[:120])
    held_X, held_y = torch.from_numpy(X[120:]), torch.from_numpy(y[120:])
    train, held = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(own(train_X), train_y)
        loss.backward()
        optimizer.step()
        train.append(loss.item())
        with torch.no_grad():
            held.append(loss_of(own(held_X), held_y).item())
    assert_allclose([record["train_loss"] for record in model.history_], train, rtol=1e-5)
    assert_allclose([record["validation_0_loss"] for record in model.history_], held, rtol=1e-5)
    with torch.no_grad():
        expected = torch.softmax(own(torch.from_numpy(X)), dim=1)
    assert_allclose(model.predict_proba(X), expected, atol=1e-5)


def test_weights_of_the_criterion_and_of_the_classes_are_one_thing(rows):
    X, y = rows
    params = {"max_epochs": 3, "batch_size": 32, "num_workers": 0, "random_state": 0}
    weight = np.random.default_rng(1).uniform(0.5, 2, size=len(X))
    by_class = TorchClassifier(class_weight={0: 1.0, 1: 4.0, 2: 2.0}, **params)
    by_loss = TorchClassifier(criterion="cross_entropy", criterion__weight=WEIGHTS, **params)
    assert_allclose(
        by_loss.fit(X, y, sample_weight=weight).predict_proba(X),
        by_class.fit(X, y, sample_weight=weight).predict_proba(X),
        atol=1e-5,
    )


def test_a_sum_is_no_mean(rows):
    X, y = rows
    with pytest.raises(InvalidParameterError, match=r"reduction='sum'.*mean over the rows"):
        TorchRegressor(criterion=nn.MSELoss(reduction="sum"), num_workers=0).fit(X, y)
