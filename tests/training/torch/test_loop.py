"""The training loop against loops written by hand, and two real actors against one process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import train_test_split
from torch import nn

from raydp_ml.torch import TorchClassifier, TorchRegressor
from tests.torch.networks import HalfUsed, Normed, Recording, recorded

pytestmark = pytest.mark.usefixtures("one_thread")

SGD = {"optimizer": "sgd", "optimizer__momentum": 0.9, "lr": 0.02, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(501, 3)).astype(np.float32)
    return X, X[:, 0] - X[:, 1] ** 2 + rng.normal(size=501).astype(np.float32) / 10


def weights(model):
    return {name: item.numpy() for name, item in model.module_.state_dict().items()}


def assert_same_weights(left, right, atol):
    assert set(left) == set(right)
    for name in left:
        assert_allclose(left[name], right[name], atol=atol, rtol=0)


@pytest.mark.parametrize("way", ["plain", "weights", "clip", "adam"])
def test_a_loop_written_by_hand(data, tmp_path, way):
    X, y = data
    by_first = {row[0].item(): index for index, row in enumerate(X)}
    weight = np.random.default_rng(1).uniform(0.1, 3, len(X)).astype(np.float32)
    first = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    network = Recording(tmp_path, 3)
    network.layers.load_state_dict(first.state_dict())
    params = {**SGD, "batch_size": 64, "max_epochs": 3, "num_workers": 0}
    if way == "clip":
        params["gradient_clip"] = 0.5
    if way == "adam":
        params = {**params, "optimizer": "adam", "lr": 0.01}
        del params["optimizer__momentum"]
    sample_weight = weight if way == "weights" else None
    model = TorchRegressor(network, **params).fit(X, y, sample_weight=sample_weight)

    optimizer = torch.optim.SGD(first.parameters(), lr=0.02, momentum=0.9)
    if way == "adam":
        optimizer = torch.optim.Adam(first.parameters(), lr=0.01)
    seen, losses = [], []
    for batch in recorded(tmp_path):
        rows = [by_first[value] for value in batch[:, 0].tolist()]
        seen += rows
        target = torch.from_numpy(y[rows])
        per_row = (first(torch.from_numpy(batch))[:, 0] - target) ** 2
        of = torch.from_numpy(weight[rows]) if way == "weights" else torch.ones(len(rows))
        loss = (per_row * of).sum() / of.sum()
        optimizer.zero_grad()
        loss.backward()
        if way == "clip":
            nn.utils.clip_grad_norm_(first.parameters(), 0.5)
        optimizer.step()
        losses.append((loss.item(), of.sum().item()))
    # Three epochs, each over every row once, in batches of 64 and a last of 53, in other orders.
    assert [len(batch) for batch in recorded(tmp_path)] == ([64] * 7 + [53]) * 3
    epochs = np.array(seen).reshape(3, 501)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(501))
    assert (epochs[0] != epochs[1]).mean() > 0.9
    assert_same_weights(
        {name.removeprefix("layers."): item for name, item in weights(model).items()},
        {name: item.numpy() for name, item in first.state_dict().items()},
        atol=1e-6,
    )
    for record, part in zip(model.history_, np.array(losses).reshape(3, 8, 2), strict=True):
        want = (part[:, 0] * part[:, 1]).sum() / part[:, 1].sum()
        assert record["train_loss"] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("kind", ["regression", "weights", "classification", "balanced"])
def test_two_workers_equal_one_process(ray_cluster, data, kind):
    X, y = data
    params = {**SGD, "batch_size": 64, "max_epochs": 1, "activation": "tanh"}
    given = {}
    if kind in ("classification", "balanced"):
        y = np.digitize(y, [-1.5, 0.5])
        cls = TorchClassifier
        params["class_weight"] = "balanced" if kind == "balanced" else None
    else:
        cls = TorchRegressor
        if kind == "weights":
            given["sample_weight"] = np.arange(501) % 4
    alone = cls(num_workers=0, **params).fit(X, y, **given, eval_set=[(X[:99], y[:99])])
    both = cls(num_workers=2, **params).fit(X, y, **given, eval_set=[(X[:99], y[:99])])
    assert_same_weights(weights(alone), weights(both), atol=1e-5)
    for name in alone.history_[0].keys() - {"seconds", "rows_per_second"}:
        assert alone.history_[0][name] == pytest.approx(both.history_[0][name], rel=1e-5)
    if not given:
        # The order of the rows in X changes nothing.
        order = np.random.default_rng(0).permutation(len(X))
        other = cls(num_workers=0, **params).fit(X[order], y[order])
        assert_same_weights(weights(alone), weights(other), atol=1e-5)


def test_batches_of_which_a_worker_holds_no_row(ray_cluster, data):
    """Batches of 2 rows: one in two lies on one worker alone."""
    X, y = data
    params = {**SGD, "batch_size": 2, "max_epochs": 1}
    alone = TorchRegressor(num_workers=0, **params).fit(X[:101], y[:101])
    both = TorchRegressor(num_workers=2, **params).fit(X[:101], y[:101])
    assert_same_weights(weights(alone), weights(both), atol=1e-5)


def test_a_parameter_that_idles(ray_cluster, data):
    X, y = data
    params = {**SGD, "batch_size": 64, "max_epochs": 2}
    alone = TorchRegressor(HalfUsed, num_workers=0, **params).fit(X, y)
    both = TorchRegressor(HalfUsed, num_workers=2, **params).fit(X, y)
    assert_same_weights(weights(alone), weights(both), atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_batch_normalisation_of_single_rows(ray_cluster, data, workers):
    X, _ = data
    model = TorchRegressor(
        Normed, num_workers=workers, batch_size=50, max_epochs=30, lr=0.02, random_state=0
    )
    linear = 2 * X[:, 0] - X[:, 1]
    assert model.fit(X[:101], linear[:101]).score(X, linear) > 0.95  # the last batch has one row


def test_class_weights_equal_row_weights(data):
    X, y = data
    labels = np.where(y > 0.5, "hi", "lo")
    params = {**SGD, "batch_size": 64, "max_epochs": 2, "num_workers": 0}
    # Weights of rows are part of a row, and so of the order. In one batch that plays no part.
    whole = {**params, "batch_size": 501}
    by_class = TorchClassifier(class_weight={"hi": 3.0}, **whole).fit(X, labels)
    by_row = TorchClassifier(**whole)
    by_row.fit(X, labels, sample_weight=np.where(labels == "hi", 3.0, 1.0))
    assert_same_weights(weights(by_class), weights(by_row), atol=1e-6)
    balanced = TorchClassifier(class_weight="balanced", **whole).fit(X, labels)
    counts = {name: (labels == name).sum() for name in ("hi", "lo")}
    named = {name: 501 / (2 * count) for name, count in counts.items()}
    by_hand = TorchClassifier(class_weight=named, **whole).fit(X, labels)
    assert_same_weights(weights(balanced), weights(by_hand), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 64, 501])
def test_a_class_that_weighs_nothing(data, tmp_path, batch_size):
    """As torch's own criterion with weights of classes; a batch of that class teaches nothing."""
    X, y = data
    labels = np.digitize(y, [-1, 0])
    by_first = {row[0].item(): label for row, label in zip(X, labels, strict=True)}
    first = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
    network = Recording(tmp_path, 3, 3)
    network.layers.load_state_dict(first.state_dict())
    params = {"optimizer": "sgd", "lr": 0.02, "max_epochs": 1, "num_workers": 0}
    model = TorchClassifier(
        network, class_weight={0: 0.0, 2: 3.0}, batch_size=batch_size, **params
    ).fit(X, labels)
    optimizer = torch.optim.SGD(first.parameters(), lr=0.02)
    by_class = torch.tensor([0.0, 1.0, 3.0])
    for batch in recorded(tmp_path):
        target = torch.tensor([by_first[value] for value in batch[:, 0].tolist()])
        if by_class[target].sum() == 0:
            continue
        optimizer.zero_grad()
        output = first(torch.from_numpy(batch))
        nn.functional.cross_entropy(output, target, weight=by_class).backward()
        optimizer.step()
    got = {name.removeprefix("layers."): item for name, item in weights(model).items()}
    assert_same_weights(got, {n: item.numpy() for n, item in first.state_dict().items()}, 1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_held_out_in_proportion_to_the_classes(ray_cluster, data, workers):
    """So few rows of a class that plain chance would often leave none."""
    X, y = data
    labels = np.where(np.arange(501) < 20, "few", np.where(y > 0, "hi", "lo"))
    params = {"max_epochs": 3, "validation_fraction": 0.2, "early_stopping": True, "lr": 0.01}
    fits = [
        TorchClassifier(num_workers=count, random_state=0, **params).fit(X, labels)
        for count in (0, workers)
    ]
    assert_same_weights(*(weights(model) for model in fits), atol=1e-5)
    alone, other = (model.history_[-1] for model in fits)
    assert other["validation_0_loss"] == pytest.approx(alone["validation_0_loss"], rel=1e-5)
    assert other["validation_0_accuracy"] == pytest.approx(alone["validation_0_accuracy"])


def test_held_out_rows_are_of_all_classes(data, tmp_path):
    X, y = data
    labels = np.where(np.arange(501) < 20, 0, np.where(y > 0, 1, 2))
    by_first = {row[0].item(): label for row, label in zip(X, labels, strict=True)}
    counts = np.bincount(labels)
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        TorchClassifier(
            Recording(folder, 3, 3),
            max_epochs=1,
            early_stopping=True,
            validation_fraction=0.2,
            num_workers=0,
            random_state=seed,
        ).fit(X, labels)
        trained = [by_first[row[0].item()] for batch in recorded(folder) for row in batch]
        _, left = train_test_split(labels, test_size=100, stratify=labels, random_state=seed)
        assert_array_equal(counts - np.bincount(trained), np.bincount(left))


def test_weights_equal_repetition_in_one_batch(data):
    X, y = data
    counts = np.random.default_rng(0).integers(0, 4, 100)
    params = {**SGD, "batch_size": 1000, "max_epochs": 50, "num_workers": 0}
    weighted = TorchRegressor(**params).fit(X[:100], y[:100], sample_weight=counts)
    repeated = TorchRegressor(**params)
    repeated.fit(np.repeat(X[:100], counts, axis=0), np.repeat(y[:100], counts))
    assert_same_weights(weights(weighted), weights(repeated), atol=1e-5)


def test_evaluation_is_exact(data):
    from sklearn.metrics import accuracy_score, mean_squared_error, r2_score

    X, y = data
    weight = np.random.default_rng(0).uniform(0.1, 2, 400)
    far = y + 1000
    model = TorchRegressor(max_epochs=2, num_workers=0, lr=0.01, batch_size=50, random_state=0)
    model.fit(X[:400], far[:400], sample_weight=weight, eval_set=[(X[400:], far[400:])])
    predicted = model.predict(X[400:])
    last = model.history_[-1]
    assert last["validation_0_loss"] == pytest.approx(
        mean_squared_error(far[400:], predicted), rel=1e-5
    )
    assert last["validation_0_r2"] == pytest.approx(r2_score(far[400:], predicted), rel=1e-5)
    labels = np.digitize(y, [-1, 0])
    model = TorchClassifier(max_epochs=2, num_workers=0, random_state=0)
    model.fit(X[:400], labels[:400], eval_set=[(X[400:], labels[400:])])
    assert model.history_[-1]["validation_0_accuracy"] == pytest.approx(
        accuracy_score(labels[400:], model.predict(X[400:]))
    )


def test_class_weights_are_in_the_loss_and_not_in_the_accuracy(data):
    X, y = data
    labels = np.digitize(y, [-1, 0])
    by_class = {0: 5.0, 1: 0.5}
    params = {"max_epochs": 2, "num_workers": 0, "random_state": 0}
    model = TorchClassifier(class_weight=by_class, **params)
    model.fit(X[:400], labels[:400], eval_set=[(X[400:], labels[400:])])
    last = model.history_[-1]
    assert last["validation_0_accuracy"] == pytest.approx(model.score(X[400:], labels[400:]))
    with torch.no_grad():
        output = model.to_torch()(torch.from_numpy(X[400:]))
    weight = torch.tensor([5.0, 0.5, 1.0])
    want = nn.functional.cross_entropy(output, torch.from_numpy(labels[400:]), weight=weight)
    assert last["validation_0_loss"] == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_lazy_layers(ray_cluster, data, workers):
    """Their first weights are drawn before workers begin, and so are the same for all."""
    X, y = data
    lazy = {"module": nn.LazyLinear, "module__out_features": 1, **SGD, "batch_size": 64}
    model = TorchRegressor(num_workers=workers, max_epochs=2, **lazy).fit(X, y)
    one = TorchRegressor(num_workers=0, max_epochs=2, **lazy).fit(X, y)
    assert_same_weights(weights(model), weights(one), atol=1e-5)
    assert type(model.module_) is nn.Linear
    given = TorchRegressor(nn.LazyLinear(1), num_workers=workers, max_epochs=200, random_state=0)
    linear = 2 * X[:, 0] - X[:, 1]
    assert given.set_params(lr=0.05).fit(X, linear).score(X, linear) > 0.99


def test_early_stopping_keeps_the_best_weights(data):
    X, y = data
    noise = np.random.default_rng(1).normal(size=len(y)).astype(np.float32) * 2
    params = {"lr": 0.02, "num_workers": 0, "random_state": 0, "batch_size": 32}
    model = TorchRegressor(max_epochs=300, early_stopping=True, patience=4, tol=0.0, **params).fit(
        X[:200], (y + noise)[:200], eval_set=[(X[200:], y[200:])]
    )
    losses = [record["validation_0_loss"] for record in model.history_]
    assert model.best_epoch_ == np.argmin(losses) + 1
    assert len(losses) == model.best_epoch_ + 4
    assert model.best_score_ == min(losses)
    short = TorchRegressor(max_epochs=model.best_epoch_, **params)
    short.fit(X[:200], (y + noise)[:200])
    assert_same_weights(weights(model), weights(short), atol=1e-6)
    held_out = TorchRegressor(max_epochs=3, early_stopping=True, validation_fraction=0.2, **params)
    held_out.fit(X, y)
    assert "validation_0_r2" in held_out.history_[0]


def test_schedulers(data):
    X, y = data
    params = {"num_workers": 0, "max_epochs": 4, "lr": 0.1, "random_state": 0}
    model = TorchRegressor(lr_scheduler="StepLR", lr_scheduler__step_size=2, **params).fit(X, y)
    assert_allclose([record["lr"] for record in model.history_], [0.1, 0.1, 0.01, 0.01])
    plateau = TorchRegressor(
        lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau,
        lr_scheduler__patience=0,
        lr_scheduler__threshold=1e9,
        lr_scheduler__threshold_mode="abs",
        **params,
    ).fit(X, y)
    assert [record["lr"] for record in plateau.history_][-1] < 0.1
    cycle = TorchRegressor(lr_scheduler="one_cycle_lr", lr_scheduler__max_lr=0.1, **params)
    rates = [record["lr"] for record in cycle.fit(X, y).history_]
    assert rates[0] < rates[1]
    assert rates[-1] < rates[1]


def test_mixed_precision_and_dropout(data):
    X, y = data
    params = {"num_workers": 0, "max_epochs": 60, "lr": 0.01, "random_state": 0, "batch_size": 64}
    mixed = TorchRegressor(mixed_precision=True, **params).fit(X, y)
    assert mixed.score(X, y) > 0.9
    assert next(mixed.module_.parameters()).dtype == torch.float32
    with_dropout = [TorchRegressor(dropout=0.2, **params).fit(X, y) for _ in range(2)]
    assert_same_weights(*(weights(model) for model in with_dropout), atol=0)
    plain = TorchRegressor(**params).fit(X, y)
    assert abs(weights(plain)["layers.0.weight"] - weights(mixed)["layers.0.weight"]).max() > 1e-4
    assert with_dropout[0].history_[-1]["train_loss"] > plain.history_[-1]["train_loss"]


def test_the_process_s_random_numbers_and_threads_stay(data):
    X, y = data
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    network = nn.Linear(3, 1)
    torch.manual_seed(5)
    before = network.weight.clone()
    TorchRegressor(network, max_epochs=2, num_workers=0).fit(X, y)
    assert_allclose(torch.rand(3), want)
    assert torch.get_num_threads() == threads
    assert torch.equal(network.weight, before)  # an instance is copied


@pytest.mark.slow
def test_a_compiled_module(data):
    """The compiler fuses operations, which changes the last bits."""
    X, y = data
    params = {**SGD, "batch_size": 64, "max_epochs": 2, "num_workers": 0}
    plain = TorchRegressor(**params).fit(X, y)
    compiled = TorchRegressor(compile=True, **params).fit(X, y)
    assert_same_weights(weights(plain), weights(compiled), atol=1e-5)
