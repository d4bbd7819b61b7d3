"""Callbacks, checkpoints, lost workers; saving and loading."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.pipeline import make_pipeline
from torch import nn

import raydp_ml
from raydp_ml.exceptions import SchemaError, TrainingError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.training.torch.checkpoint import read_checkpoint
from tests.torch.networks import Dies
from tests.xgboost.test_callbacks import Recorder as BoostingRecorder

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = {"max_epochs": 6, "random_state": 0, "lr": 0.02, "batch_size": 64}


class Recorder(BoostingRecorder):
    """Notes every epoch; asks to stop after one."""

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if context.task_name == "epoch":
            self.models.append(fitted_estimator)
            return len(self.models) == self.stop_after
        return False


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)).astype(np.float32)
    return X, X[:, 0] - X[:, 1] ** 2


def weights(model):
    return torch.cat([item.flatten() for item in model.module_.state_dict().values()]).numpy()


@pytest.mark.parametrize("workers", [0, 2])
def test_each_epoch_is_told_and_a_stop_ends_training_after_it(ray_cluster, data, workers):
    X, y = data
    recorder = Recorder()
    model = TorchRegressor(num_workers=workers, **PARAMS).set_callbacks(recorder).fit(X, y)
    assert len(recorder.models) == 6
    assert recorder.torn_down
    assert_allclose(weights(recorder.models[-1]), weights(model))
    assert abs(weights(recorder.models[0]) - weights(model)).max() > 1e-3
    stopped = TorchRegressor(num_workers=workers, **PARAMS)
    stopped.set_callbacks(Recorder(stop_after=4)).fit(X, y)
    assert len(stopped.history_) == 4
    assert_allclose(weights(stopped), weights(recorder.models[3]), atol=1e-6)


def test_progress_bar_and_scoring_monitor(data, capsys):
    X, y = data
    monitor = ScoringMonitor(scoring="r2")
    model = TorchRegressor(num_workers=0, **PARAMS)
    model.set_callbacks(monitor, ProgressBar()).fit(X, y)
    scores = [row["r2"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 6
    assert scores[-1] == pytest.approx(model.score(X, y), abs=1e-6)
    assert scores[-1] > scores[0]
    shown = capsys.readouterr().out
    assert "TorchRegressor - fit" in shown
    assert "100%" in shown


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_goes_on_from_a_checkpoint(data, tmp_path, optimizer):
    X, y = data
    path = tmp_path / "deep" / "checkpoint"
    params = {
        **PARAMS,
        "num_workers": 0,
        "optimizer": optimizer,
        "dropout": 0.2,
        "lr_scheduler": "StepLR",
        "lr_scheduler__step_size": 2,
        "early_stopping": True,
    }
    whole = TorchRegressor(**params).fit(X, y)
    TorchRegressor(**{**params, "max_epochs": 3}, checkpoint_path=path).fit(X, y)
    assert sorted(file.name for file in path.iterdir()) == [
        "checkpoint.json",
        "tensors.safetensors",
    ]
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint"]
    assert read_checkpoint(path)[0].epochs == 3
    resumed = TorchRegressor(**{**params, "random_state": 9}, checkpoint_path=path)
    resumed.fit(X, y, resume_from=path)
    assert_allclose(weights(resumed), weights(whole), atol=1e-6)
    assert [record["epoch"] for record in resumed.history_] == [1, 2, 3, 4, 5, 6]
    assert resumed.best_epoch_ == whole.best_epoch_
    for left, right in zip(resumed.history_, whole.history_, strict=True):
        assert left["train_loss"] == pytest.approx(right["train_loss"], rel=1e-5)
        assert left["lr"] == pytest.approx(right["lr"])
    again = TorchRegressor(**params).fit(X, y, resume_from=path)
    assert_allclose(weights(again), weights(resumed))


def test_lazy_layers_go_on_and_come_back(data, tmp_path):
    X, y = data
    path = tmp_path / "checkpoint"
    params = {**PARAMS, "num_workers": 0, "module__out_features": 1}
    whole = TorchRegressor(nn.LazyLinear, **params).fit(X, y)
    short = TorchRegressor(nn.LazyLinear, **{**params, "max_epochs": 2}, checkpoint_path=path)
    short.fit(X, y)
    resumed = TorchRegressor(nn.LazyLinear, **params).fit(X, y, resume_from=path)
    assert_allclose(weights(resumed), weights(whole), atol=1e-6)
    with pytest.raises(SchemaError, match="checkpoint of another module"):
        TorchRegressor(nn.LazyLinear, **{**params, "module__out_features": 2}).fit(
            X, np.c_[y, y], resume_from=path
        )
    whole.save(tmp_path / "model")
    again = raydp_ml.load(tmp_path / "model", module=nn.LazyLinear)
    assert_array_equal(again.predict(X), whole.predict(X))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("MultiStepLR", {"milestones": [1, 3]}),
        ("ExponentialLR", {"gamma": 0.7}),
        ("CosineAnnealingLR", {"T_max": 6}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2}),
        ("LinearLR", {"total_iters": 4}),
        ("PolynomialLR", {"total_iters": 5}),
        ("LambdaLR", {"lr_lambda": lambda epoch: 0.6**epoch}),
        ("ReduceLROnPlateau", {"patience": 0, "threshold": 0.5}),
        ("OneCycleLR", {"max_lr": 0.05, "epochs": 6, "steps_per_epoch": 7}),
        ("CyclicLR", {"base_lr": 0.001, "max_lr": 0.05, "step_size_up": 5}),
    ],
)
def test_schedulers_go_on_from_a_checkpoint(data, tmp_path, name, given):
    X, y = data
    path = tmp_path / "checkpoint"
    nested = {f"lr_scheduler__{key}": value for key, value in given.items()}
    params = {**PARAMS, "num_workers": 0, "lr_scheduler": name, **nested}
    whole = TorchRegressor(**params).fit(X, y)
    TorchRegressor(**{**params, "max_epochs": 3}, checkpoint_path=path).fit(X, y)
    resumed = TorchRegressor(**params).fit(X, y, resume_from=path)
    rates = [record["lr"] for record in whole.history_]
    assert len(set(rates)) > 1
    assert_allclose([record["lr"] for record in resumed.history_], rates)
    assert_allclose(weights(resumed), weights(whole), atol=1e-6)


def test_checkpoint_every(data, tmp_path):
    X, y = data
    path = tmp_path / "checkpoint"
    TorchRegressor(num_workers=0, checkpoint_every=4, checkpoint_path=path, **PARAMS).fit(X, y)
    assert read_checkpoint(path)[0].epochs == 4


class ReadsCheckpoints(Recorder):
    """Notes how many epochs the checkpoint on the disk holds when an epoch is told."""

    def __init__(self, path):
        super().__init__()
        self.path, self.epochs = path, []

    def on_fit_task_end(self, estimator, context, **about):
        if context.task_name == "epoch":
            self.epochs.append(read_checkpoint(self.path)[0].epochs if self.path.exists() else 0)
        return False


def test_a_checkpoint_holds_no_epoch_that_was_not_told(data, tmp_path):
    # Training goes on after the checkpoint: what it holds would not be told again.
    X, y = data
    path = tmp_path / "checkpoint"
    model = TorchRegressor(num_workers=0, checkpoint_every=1, checkpoint_path=path, **PARAMS)
    recorder = ReadsCheckpoints(path)
    model.set_callbacks(recorder).fit(X, y)
    assert recorder.epochs == [0, 1, 2, 3, 4, 5]
    assert read_checkpoint(path)[0].epochs == 6


def test_checkpoints_of_other_fits(data, tmp_path):
    X, y = data
    path = tmp_path / "checkpoint"
    params = {**PARAMS, "num_workers": 0}
    TorchRegressor(checkpoint_path=path, **params).fit(X, y)
    with pytest.raises(SchemaError, match=r"checkpoint of another module: .*layers.0.weight"):
        TorchRegressor(hidden_layer_sizes=7, **params).fit(X, y, resume_from=path)
    with pytest.raises(SchemaError, match="checkpoint of a fit with the features"):
        TorchRegressor(**params).fit(pd.DataFrame(X, columns=list("abc")), y, resume_from=path)
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        TorchRegressor(**params).fit(X, y, resume_from=tmp_path / "nowhere")
    (path / "checkpoint.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a checkpoint that this raydp_ml can read"):
        TorchRegressor(**params).fit(X, y, resume_from=path)
    other = tmp_path / "photos"
    other.mkdir()
    with pytest.raises(FileExistsError, match="is no checkpoint of raydp_ml, so it is left"):
        TorchRegressor(checkpoint_path=other, **params).fit(X, y)


@pytest.mark.slow
def test_a_lost_worker_goes_on_from_the_checkpoint(ray_cluster, data, tmp_path):
    X, y = data
    params = {**PARAMS, "num_workers": 2, "module__n_features": 3, "checkpoint_every": 1}
    marks = tmp_path / "marks"
    marks.touch()
    undisturbed = TorchRegressor(Dies, module__marks=marks, **params).fit(X, y)
    marks.unlink()
    path = tmp_path / "checkpoint"
    model = TorchRegressor(Dies, module__marks=marks, checkpoint_path=path, **params)
    recorder = Recorder()
    model.set_callbacks(recorder).fit(X, y)
    assert marks.read_text() == "x"
    assert_allclose(weights(model), weights(undisturbed), atol=1e-6)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5, 6]
    assert len(recorder.models) == 6
    assert read_checkpoint(path)[0].epochs == 6
    always = TorchRegressor(
        Dies, module__marks=tmp_path / "always", module__always=True, max_retries=0, **params
    )
    with pytest.raises(TrainingError, match="lost 1 times, and max_retries=0 allows no further"):
        always.fit(X, y)


# --------------------------------------------------------------------- save and load


def test_models_come_back_whole(data, tmp_path):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["kind"] = np.where(y > 0, "up", "down")
    labels = np.digitize(y, [-1, 0])
    params = {**PARAMS, "num_workers": 0}
    models = [
        (TorchRegressor(early_stopping=True, **params).fit(X, y), X),
        (TorchRegressor(criterion=nn.HuberLoss, criterion__delta=2.0, **params).fit(X, y), X),
        (TorchRegressor(optimizer=torch.optim.SGD, **params).fit(X, np.c_[y, -y]), X),
        (TorchRegressor(enable_categorical=True, **params).fit(frame, y), frame),
        (TorchClassifier(class_weight={0: 2.0}, **params).fit(X, labels), X),
        (TorchClassifier(criterion="bce_with_logits", **params).fit(X, frame["kind"]), X),
    ]
    for index, (model, given) in enumerate(models):
        path = tmp_path / f"model{index}"
        model.save(path)
        assert sorted(file.name for file in path.iterdir()) == [
            "estimator.json",
            "module.safetensors",
        ]
        again = raydp_ml.load(path)
        assert_array_equal(again.predict(given), model.predict(given))
        assert set(vars(again)) == set(vars(model))
        assert again.history_ == model.history_
        assert again.get_params().keys() == model.get_params().keys()
        assert_array_equal(weights(again), weights(model))
        if isinstance(model, TorchClassifier):
            assert_array_equal(again.predict_proba(given), model.predict_proba(given))
    assert raydp_ml.load(tmp_path / "model0").best_epoch_ == models[0][0].best_epoch_


def test_modules_of_one_s_own_are_given_when_loading(data, tmp_path):
    X, y = data
    params = {**PARAMS, "num_workers": 0, "module__in_features": 3, "module__out_features": 1}
    frame = pd.DataFrame(X, columns=list("abc"))
    pipe = make_pipeline(StandardScaler(), TorchRegressor(nn.Linear, **params)).fit(frame, y)
    path = tmp_path / "pipe"
    raydp_ml.save(pipe, path)
    with pytest.raises(ValueError, match=r"runs no code that a file names.*module=Linear"):
        raydp_ml.load(path)
    again = raydp_ml.load(path, module=nn.Linear)
    assert_array_equal(again.predict(frame), pipe.predict(frame))
    with pytest.raises(ValueError, match="do not fit the module"):
        raydp_ml.load(path, module=nn.Linear(3, 2))
    description = json.loads((path / "step_1" / "estimator.json").read_text())
    # A module that the file names is not even imported.
    description["params"]["module"] = {"$dict": [["own_module", "os.system"]]}
    (path / "step_1" / "estimator.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"trained with the module os.system"):
        raydp_ml.load(path)
    lambdas = TorchRegressor(criterion=lambda o, t: (o - t) ** 2, num_workers=0, **PARAMS)
    with pytest.raises(ValueError, match="Cannot save the parameter 'criterion'"):
        lambdas.fit(X, y).save(tmp_path / "no")
