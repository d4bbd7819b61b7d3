"""Parameters and inputs that cannot work: refused early, with what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from raydp_ml.exceptions import SchemaError
from raydp_ml.torch import TorchClassifier, TorchRegressor
from tests.torch.networks import Ids

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = {"max_epochs": 2, "num_workers": 0, "random_state": 0}
OF_IDS = {"module": Ids, "module__ids": 5, "inputs": {"shop": (["shop"], "int64")}}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc"))
    return frame, frame["a"] - frame["b"]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"optimizer": "sgd", "optimizer__momentum": -1},
            r"optimizer SGD cannot be made .*Invalid momentum value: -1.*optimizer__\*",
        ),
        ({"optimizer": nn.Linear}, "must be the name of a torch.optim.*Optimizer.* Got Linear"),
        ({"optimizer": lambda parameters, lr: None}, "a function that makes one. Got <lambda>"),
        ({"lr_scheduler": "StepLR"}, "lr_scheduler StepLR cannot be made .*'step_size'"),
        ({"lr_scheduler": "OneCycleLR"}, "lr_scheduler OneCycleLR cannot be made .*'max_lr'"),
        ({"lr_scheduler": nn.Linear}, "name of a torch.optim.lr_scheduler.LRScheduler.*Linear"),
        (
            {"module": nn.Linear, "module__out_features": 1},
            r"module Linear\(.*missing a required argument: 'in_features'.*module__\*",
        ),
        ({"hidden_layer_sizes": (10, 0)}, "must be a whole number of at least 1"),
        ({"hidden_layer_sizes": (-3,)}, "must be a whole number of at least 1"),
        ({"hidden_layer_sizes": (3.7,)}, r"Got \(3.7,\) instead"),
    ],
)
def test_before_any_row_is_looked_at(params, text):
    with pytest.raises(InvalidParameterError, match=text):
        TorchRegressor(**PARAMS, **params).fit(None, None)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "x"])
def test_class_weights_must_be_numbers(weight):
    with pytest.raises(InvalidParameterError, match="finite numbers of at least 0"):
        TorchClassifier(class_weight={"hi": weight}, **PARAMS).fit(None, None)


def test_class_weights_that_leave_no_class(data):
    X, y = data
    with pytest.raises(InvalidParameterError, match="leaves no class to learn from"):
        TorchClassifier(class_weight={0: 0, 1: 0}, **PARAMS).fit(X, (y > 0).astype(int))


def test_rows_to_evaluate_on_that_weigh_nothing(data):
    X, y = data
    model = TorchClassifier(class_weight={1: 0.0}, **PARAMS)
    with pytest.raises(SchemaError, match="evaluation set 0 weigh nothing"):
        model.fit(X, y > 0, eval_set=[(X[y > 0], y[y > 0] > 0)])


def test_optimizers_and_schedulers_that_functions_make(data):
    X, y = data
    params = {**PARAMS, "lr": 0.1, "max_epochs": 4}
    made = TorchRegressor(
        optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2),
        **params,
    ).fit(X, y)
    named = TorchRegressor(
        optimizer="sgd",
        optimizer__momentum=0.9,
        lr_scheduler="step_lr",
        lr_scheduler__step_size=2,
        **params,
    ).fit(X, y)
    assert_allclose(made.predict(X), named.predict(X), atol=1e-6)


def test_inputs_that_the_module_does_not_take(data):
    X, y = data
    ids = pd.DataFrame({"shop": np.arange(200) % 5})
    cases = [
        (ids, {**OF_IDS, "inputs": {"store": (["shop"], "int64")}}, r"forward\(.*shop.*'store'"),
        (ids, {**OF_IDS, "inputs": None}, r"inputs=\{'argument': \['column', ...\], ...\}"),
        (ids, {**OF_IDS, "inputs": {}}, "names none"),
        (ids, {**OF_IDS, "inputs": {"shop": 3}}, "must be a column's name.* Got 3 instead"),
        (X.to_numpy(), OF_IDS, "X has no column names"),
    ]
    for given, params, text in cases:
        with pytest.raises(SchemaError, match=text):
            TorchRegressor(**PARAMS, **params).fit(given, y)


def test_ids_must_be_whole(data):
    _, y = data
    ids = pd.DataFrame({"shop": np.arange(200) % 5})
    with pytest.raises(SchemaError, match=r"'shop' .*int64, .* not whole \(200 of 200"):
        TorchRegressor(**PARAMS, **OF_IDS).fit(ids + 0.5, y)
    model = TorchRegressor(**PARAMS, **OF_IDS).fit(ids, y)
    with pytest.raises(SchemaError, match=r"null, infinite or not whole \(1 of 3"):
        model.predict(pd.DataFrame({"shop": [1, None, 2]}))
    assert_allclose(model.predict(ids.astype(float)), model.predict(ids))


def test_numbers_too_large_for_float32(data):
    X, y = data
    with pytest.raises(SchemaError, match=r"too large for float32, of 200 rows: 'b' \(200\)"):
        TorchRegressor(**PARAMS).fit(X.assign(b=1e300), y)
    with pytest.raises(SchemaError, match=r"label .*holds 1 beyond single precision.*Scale"):
        TorchRegressor(**PARAMS).fit(X, y.where(y < y.max(), 1e300))


def test_no_rows_to_predict(data):
    X, y = data
    for fitted, rows in ((X, X[:0]), (X.to_numpy(), X.to_numpy()[:0])):
        model = TorchRegressor(**PARAMS).fit(fitted, y)
        with pytest.raises(ValueError, match=r"0 sample\(s\) \(shape=\(0, 3\)\) .*TorchRegressor"):
            model.predict(rows)
