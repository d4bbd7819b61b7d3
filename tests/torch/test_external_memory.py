"""Rows that lie in files train the network that rows in memory do, bit for bit."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from numpy.testing import assert_array_equal

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.training.rows import data_sets

SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 3, "batch_size": 64, "random_state": 0}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(2000, 3)), columns=["a", "b", "c"])
    made["kind"] = pd.Categorical(rng.choice(["x", "y", "z"], 2000))
    made["y"] = made.a + (made.kind == "x") + 0.1 * rng.normal(size=2000)
    made["label"] = np.where(made.y > 1, "high", np.where(made.y > 0, "mid", "low"))
    made["w"] = rng.integers(0, 4, size=2000) / 2
    return made


@pytest.fixture
def small_slices(monkeypatch):
    """Some thirty slices, where one would do."""
    monkeypatch.setattr(data_sets, "SLICE_BYTES", 4000)


def assert_equal(external, plain):
    """The same weights, losses and scores."""
    timed = {"seconds", "rows_per_second"}
    for one, other in zip(external.history_, plain.history_, strict=True):
        assert {k: v for k, v in one.items() if k not in timed} == {
            k: v for k, v in other.items() if k not in timed
        }
    states = [model.module_.state_dict() for model in (external, plain)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def in_memory(cls, how, X, y, w=None, **params):
    model = cls(**SMALL, enable_categorical=True, external_memory=how, num_workers=0, **params)
    return model.fit(X, y, sample_weight=w)


@pytest.mark.parametrize(
    "columns", [["a", "b", "c", "kind"], ["kind"]], ids=["numbers and categories", "categories"]
)
def test_in_memory(frame, small_slices, columns):
    X = frame[columns]
    for cls, y in ((TorchRegressor, frame.y), (TorchClassifier, frame.label)):
        for params in ({}, {"early_stopping": True, "validation_fraction": 0.2}):
            assert_equal(*(in_memory(cls, how, X, y, frame.w, **params) for how in (True, False)))


def test_arrays_and_several_targets(frame, small_slices):
    X = frame[["a", "b", "c"]].to_numpy(np.float32)
    Y = frame[["y", "w"]].to_numpy()
    sets = {"eval_set": [(X[:300], Y[:300])]}
    models = [
        TorchRegressor(**SMALL, external_memory=how, num_workers=0).fit(X, Y, **sets)
        for how in (True, False)
    ]
    assert_equal(*models)
    assert_array_equal(models[0].predict(X), models[1].predict(X))


def test_bad_input(frame, small_slices):
    X = frame[["a", "b", "c"]]
    wrong = X.assign(c=np.where(X.index == 1500, np.nan, X.c))
    with pytest.raises(SchemaError, match=r"of 2000 rows: 'c' \(1 null\)"):
        in_memory(TorchRegressor, True, wrong, frame.y)


@pytest.mark.parametrize("workers", [1, 2])
def test_on_spark(spark, frame, workers):
    df = spark.createDataFrame(frame.assign(kind=frame.kind.astype(str), place=range(2000)))
    df = df.selectExpr("* except (label)", "place % 5 = 0 AS held").repartition(7)
    df = raydp_ml.set_roles(df, ignore=["place"], validation="held", sample_weight="w")
    blocks = raydp_ml.from_spark(df)  # whose rows are in the same order for both
    assert_equal(
        *(
            TorchRegressor(
                **SMALL, enable_categorical=True, external_memory=how, num_workers=workers
            ).fit(blocks, "y")
            for how in (True, False)
        )
    )


def test_no_file_is_left(frame, small_slices, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = psutil.Process().num_fds()
    in_memory(TorchRegressor, True, frame[["a", "b", "c"]], frame.y, frame.w)
    assert os.listdir(tmp_path) == []
    assert psutil.Process().num_fds() <= files
