"""The same training on GPUs, where there are some."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from raydp_ml.torch import TorchClassifier, TorchRegressor

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
pytestmark = pytest.mark.skipif(not GPUS, reason="there is no CUDA device")

PARAMS = {"optimizer": "sgd", "lr": 0.02, "max_epochs": 3, "batch_size": 64, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(501, 3)).astype(np.float32)
    return X, X[:, 0] - X[:, 1] ** 2


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_gpu_trains_as_a_cpu_does(ray_cluster, data, workers):
    if workers > GPUS:
        pytest.skip(f"there are {GPUS} CUDA devices, and nccl needs one for each worker")
    X, y = data
    weight = np.random.default_rng(0).uniform(0.5, 2, 501)
    plain = TorchRegressor(num_workers=0, **PARAMS).fit(X, y, sample_weight=weight)
    fast = TorchRegressor(num_workers=workers, gpus_per_worker=1, **PARAMS)
    fast.fit(X, y, sample_weight=weight, eval_set=[(X, y)])
    for left, right in zip(plain.module_.parameters(), fast.module_.parameters(), strict=True):
        assert right.device.type == "cpu"
        assert_allclose(left.detach(), right.detach(), atol=1e-4)
    assert fast.history_[-1]["validation_0_r2"] == pytest.approx(fast.score(X, y), abs=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision(data, precision):
    X, y = data
    model = TorchClassifier(
        num_workers=0,
        gpus_per_worker=1,
        mixed_precision=precision,
        max_epochs=60,
        lr=0.01,
        gradient_clip=1.0,
        random_state=0,
    )
    assert model.fit(X, y > 0).score(X, y > 0) > 0.95
