"""Constraints of the parameters of the PyTorch estimators."""

from __future__ import annotations

import os
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

_COUNT = Interval(Integral, 1, None, closed="left")
_AT_LEAST_0 = Interval(Real, 0, None, closed="left")

ACTIVATION_NAMES = {
    "relu",
    "tanh",
    "logistic",
    "identity",
    "gelu",
    "silu",
    "elu",
    "leaky_relu",
}

CONSTRAINTS: dict[str, list[object]] = {
    # Any callable makes a module; an instance is one as well.
    "module": [callable, None],
    "hidden_layer_sizes": ["array-like", _COUNT],
    "activation": [StrOptions(ACTIVATION_NAMES)],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "embedding_dim": [_COUNT, None],
    "inputs": [dict, None],
    "criterion": [str, callable, None],
    "optimizer": [str, callable],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [_AT_LEAST_0],
    "lr_scheduler": [str, callable, None],
    "batch_size": [_COUNT],
    "max_epochs": [_COUNT],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "early_stopping": ["boolean"],
    "patience": [_COUNT],
    "tol": [_AT_LEAST_0],
    "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
    "mixed_precision": ["boolean", StrOptions({"bfloat16", "float16"})],
    "compile": ["boolean"],
    "random_state": ["random_state"],
    "enable_categorical": ["boolean"],
    "num_workers": [Interval(Integral, 0, None, closed="left"), None],
    "cpus_per_worker": [_COUNT, None],
    "gpus_per_worker": [_AT_LEAST_0],
    "resources_per_worker": [dict, None],
    "checkpoint_every": [_COUNT, None],
    "checkpoint_path": [str, os.PathLike, None],
    "prediction_col": [str],
    "max_retries": [Interval(Integral, 0, None, closed="left")],
    "elastic": ["boolean"],
    "external_memory": ["boolean", None],
}
