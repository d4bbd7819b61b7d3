"""Bad input and faults end in a typed error that says what to do; nobody hangs."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from pyspark.sql import functions
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from raydp_ml.exceptions import ResourceError, SchemaError, TrainingError
from raydp_ml.torch import TorchClassifier, TorchRegressor
from tests.torch.networks import Fails

PARAMS = {"max_epochs": 2, "num_workers": 2, "random_state": 0}
ALONE = {**PARAMS, "num_workers": 0}


@pytest.fixture(scope="module")
def df(spark):
    rows = [(float(i), i * 2, "ab"[i % 2], float(i % 3)) for i in range(20)]
    made = spark.createDataFrame(rows, ["fare", "tip", "kind", "y"]).cache()
    # The first fit of a process starts Spark's writer and the actors.
    TorchRegressor(**PARAMS).fit(made.drop("kind"), "y")
    yield made
    made.unpersist()


def jobs(spark):
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(None))


@pytest.mark.parametrize(
    ("change", "fit", "text"),
    [
        (lambda d: d.drop("kind"), {"y": "fair"}, r"no column 'fair'.* Did you mean 'fare'\?"),
        (lambda d: d, {"y": "y"}, "'kind' of type string .*enable_categorical=True"),
        (lambda d: d.select("y"), {"y": "y"}, "No feature is left"),
        (lambda d: d.select("fare", "kind"), {"y": "kind"}, "use TorchClassifier for classes"),
    ],
)
def test_before_any_job(spark, df, change, fit, text):
    data, before = change(df), jobs(spark)
    with pytest.raises(SchemaError, match=text):
        TorchRegressor(**PARAMS).fit(data, **fit)
    assert jobs(spark) == before


@pytest.mark.parametrize("workers", [0, 2])
def test_null_and_nan_are_refused_with_columns_and_counts(df, workers):
    data = df.drop("kind").withColumns(
        {
            "fare": functions.expr("if(fare < 3, null, if(fare < 5, double('NaN'), fare))"),
            "tip": functions.expr("if(tip > 30, null, tip)"),
            "ok": functions.lit(1.0),
        }
    )
    text = r"20 rows: 'fare' \(3 null, 2 NaN\), 'tip' \(4 null\)\. Impute them \(raydp_ml.impute"
    with pytest.raises(SchemaError, match=text):
        TorchRegressor(**{**PARAMS, "num_workers": workers}).fit(data, "y")
    whole = data.select("ok", functions.expr("if(fare is null, null, y)").alias("y"))
    with pytest.raises(SchemaError, match=r"label 'y' .* holds 3 null of 20 values"):
        TorchRegressor(**PARAMS).fit(whole, "y")
    lists = df.select("y", functions.expr("array(fare, if(tip > 30, null, fare))").alias("x"))
    with pytest.raises(SchemaError, match=r"'x' \(4 null\)"):
        TorchRegressor(**PARAMS).fit(lists, "y")
    infinite = df.select("y", functions.expr("if(tip > 30, double('inf'), fare)").alias("x"))
    with pytest.raises(SchemaError, match=r"'x' \(4 infinite\)"):
        TorchRegressor(**PARAMS).fit(infinite, "y")


@pytest.mark.slow
def test_no_rows_and_fewer_rows_than_workers(df):
    data = df.drop("kind")
    with pytest.raises(SchemaError, match="training data has no rows"):
        TorchRegressor(**PARAMS).fit(data.where("fare < 0"), "y")
    one = data.where("fare = 7")
    model = TorchRegressor(lr=0.1, **{**PARAMS, "max_epochs": 200}).fit(one, "y")
    assert_allclose(model.predict(one).first()["prediction"], one.first()["y"], atol=0.05)
    alone = TorchRegressor(lr=0.1, **{**ALONE, "max_epochs": 200}).fit(one, "y")
    for left, right in zip(model.module_.parameters(), alone.module_.parameters(), strict=True):
        assert_allclose(left.detach(), right.detach(), atol=1e-4)
    with pytest.raises(SchemaError, match=r"validation_fraction=0.1 of the 1 training rows"):
        TorchRegressor(early_stopping=True, **PARAMS).fit(one, "y")


@pytest.mark.parametrize("params", [PARAMS, ALONE])
def test_a_module_that_returns_the_wrong_shape(df, params):
    data = df.drop("kind")
    linear = {"module__in_features": 2, "module__out_features": 3}
    with pytest.raises(TrainingError, match=r"tensor of shape \(2, 3\) for 2 rows.*Check its last"):
        TorchRegressor(nn.Linear, **linear, **params).fit(data, "y")
    with pytest.raises(TrainingError, match=r"shape \(2, 2\).*scores of shape \(2, 3\)"):
        TorchClassifier(nn.Linear, **{**linear, "module__out_features": 2}, **params).fit(data, "y")
    with pytest.raises(TrainingError, match=r"must return a tensor.*Got tuple instead"):
        TorchRegressor(nn.LSTM, module__input_size=2, module__hidden_size=1, **params).fit(
            data, "y"
        )


@pytest.mark.parametrize("params", [PARAMS, ALONE])
def test_a_module_of_another_number_of_features(df, params):
    layer = {"module__in_features": 7, "module__out_features": 1}
    text = r"forward fails on inputs of shape \(2, 2\): .*shapes cannot be multiplied.*first layer"
    with pytest.raises(TrainingError, match=text):
        TorchRegressor(nn.Linear, **layer, **params).fit(df.drop("kind"), "y")


@pytest.mark.parametrize("params", [PARAMS, ALONE])
def test_a_loss_that_becomes_nan(df, params):
    text = r"The loss became (NaN|infinite) in epoch \d+, batch \d+ of 5\. Lower the learning rate"
    with pytest.raises(TrainingError, match=text):
        TorchRegressor(optimizer="sgd", lr=1e18, batch_size=4, **params).fit(df.drop("kind"), "y")


def test_weights_that_the_last_step_spoils():
    """One batch in one epoch: no loss is looked at after the step."""
    X, y = np.full((10, 2), 1e30), np.full(10, 1e8)
    with pytest.raises(TrainingError, match=r"weights '.*' are not finite after epoch 1.*Lower"):
        TorchRegressor(
            nn.Linear,
            module__in_features=2,
            module__out_features=1,
            criterion="l1",
            optimizer="sgd",
            lr=1e30,
            max_epochs=1,
            num_workers=0,
        ).fit(X, y)


def test_a_label_that_does_not_fit_the_criterion(df):
    data = df.drop("kind")
    with pytest.raises(TrainingError, match=r"CrossEntropyLoss does not fit.*TorchClassifier"):
        TorchRegressor(criterion="cross_entropy", **PARAMS).fit(data, "y")
    with pytest.raises(
        TrainingError, match=r"MSELoss does not fit.*int64 of shape.*TorchRegressor"
    ):
        TorchClassifier(criterion="mse", **PARAMS).fit(data, "y")
    with pytest.raises(InvalidParameterError, match="for two classes, and the label has 3"):
        TorchClassifier(criterion="bce_with_logits", **PARAMS).fit(data, "y")

    def mean(output, target):
        return ((output - target) ** 2).mean()

    weighted = data.withColumn("w", functions.col("fare") + 1)
    with pytest.raises(TrainingError, match="one number for all rows, which cannot be weighted"):
        TorchRegressor(criterion=mean, **ALONE).fit(weighted, "y", sample_weight="w")
    plain = TorchRegressor(criterion=mean, **PARAMS).fit(data, "y")
    usual = TorchRegressor(**PARAMS).fit(data, "y")
    for left, right in zip(plain.module_.parameters(), usual.module_.parameters(), strict=True):
        assert_allclose(left.detach(), right.detach(), atol=1e-6)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_exception_on_one_worker_reaches_the_user_and_nobody_hangs(df, rank):
    model = TorchRegressor(Fails, module__rank=rank, batch_size=4, **PARAMS)
    start = time.monotonic()
    with pytest.raises(TrainingError) as caught:
        model.fit(df.drop("kind"), "y")
    assert time.monotonic() - start < 14  # less than a gang waits before it ends its workers
    first = str(caught.value).splitlines()[0]
    assert first == f"Worker {rank} of 2 failed: KeyError: 'own fault'"
    assert isinstance(caught.value.__cause__, KeyError)
    # The gang still works.
    TorchRegressor(**PARAMS).fit(df.drop("kind"), "y")


def test_typos_name_the_nearest(df):
    data = df.drop("kind")
    with pytest.raises(TypeError, match=r"unexpected parameter 'max_epoch'.*mean 'max_epochs'\?"):
        TorchRegressor(max_epoch=3)
    with pytest.raises(TypeError, match=r"unexpected parameter 'modul__x'"):
        TorchRegressor(modul__x=3)
    cases = [
        ({"optimizer__betta": (0.9, 0.9)}, "optimizer__betta.*mean 'optimizer__betas'"),
        ({"criterion": "huber", "criterion__dleta": 1}, "mean 'criterion__delta'"),
        ({"criterion": "hubber"}, "no criterion 'hubber'. Did you mean 'HuberLoss'"),
        ({"optimizer": "addam"}, "no optimizer 'addam'. Did you mean 'Adam'"),
        ({"lr_scheduler": "Step"}, "no lr_scheduler 'Step'. Did you mean 'StepLR'"),
        ({"lr_scheduler__gamma": 1}, "without an lr_scheduler"),
        (
            {"lr_scheduler": "StepLR", "lr_scheduler__stepsize": 1},
            "mean 'lr_scheduler__step_size'",
        ),
        ({"module": nn.Linear, "module__in_feature": 1}, "mean 'module__in_features'"),
        ({"module__hidden": 3}, "for a module of your own"),
        ({"module": nn.Linear(2, 1), "module__x": 3}, "is an instance, which takes no module__x"),
        ({"criterion__reduction": "sum"}, "criterion__reduction cannot be set"),
        ({"optimizer": "lbfgs"}, "LBFGS evaluates the loss several times"),
        ({"batch_size": 0}, "'batch_size' parameter of TorchRegressor must be"),
    ]
    for params, text in cases:
        with pytest.raises(InvalidParameterError, match=text):
            TorchRegressor(**{**ALONE, **params}).fit(data, "y")
    with pytest.raises(SchemaError, match=r"asks for the column 'faer'.*Did you mean 'fare'"):
        TorchRegressor(nn.Identity, inputs={"input": "faer"}, **ALONE).fit(data, "y")
    with pytest.raises(SchemaError, match=r"must be of the dtype .* Got 'int8' instead"):
        TorchRegressor(nn.Identity, inputs={"input": (["fare"], "int8")}, **ALONE).fit(data, "y")
    with pytest.raises(SchemaError, match="default network has none but its features"):
        TorchRegressor(inputs={"X": "fare"}, **ALONE).fit(data, "y")


def test_nested_parameters_are_parameters():
    model = TorchRegressor(optimizer="sgd", optimizer__momentum=0.5, module__size=3)
    assert model.get_params()["optimizer__momentum"] == 0.5
    copied = clone(model).set_params(optimizer__momentum=0.7, lr=0.5)
    assert copied.get_params()["optimizer__momentum"] == 0.7
    assert copied.lr == 0.5
    assert model.get_params()["optimizer__momentum"] == 0.5
    assert "optimizer__momentum=0.5" in repr(model)
    assert copied.get_params()["module__size"] == 3


def test_nested_parameters_can_be_searched():
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = X[:, 0] - X[:, 1]
    params = {"optimizer": "sgd", "max_epochs": 5, "num_workers": 0, "random_state": 0}
    grid = {"optimizer__momentum": [0.0, 0.9]}
    search = GridSearchCV(TorchRegressor(lr=0.01, **params), grid, cv=2).fit(X, y)
    want = [
        cross_val_score(TorchRegressor(lr=0.01, optimizer__momentum=m, **params), X, y, cv=2).mean()
        for m in (0.0, 0.9)
    ]
    assert_allclose(search.cv_results_["mean_test_score"], want, atol=1e-6)
    assert abs(want[0] - want[1]) > 0.01


def test_other_frames_and_before_fit(df):
    data = df.drop("kind")
    with pytest.raises(NotFittedError):
        TorchRegressor().predict(df)
    model = TorchRegressor(**PARAMS).fit(data, "y")
    with pytest.raises(SchemaError, match=r"needs the columns \['tip'\].*mean 'tips'"):
        model.predict(df.withColumnRenamed("tip", "tips"))
    with pytest.raises(SchemaError, match=r"already has a column 'prediction'"):
        model.predict(model.predict(df))
    rows = pd.DataFrame({"fare": [1.0, np.nan], "tip": [1, 2]})
    with pytest.raises(SchemaError, match=r"of 2 rows: 'fare' \(1\)\..*SimpleImputer"):
        model.predict(rows)
    with pytest.raises(ValueError, match="contains NaN"):
        TorchRegressor(**ALONE).fit(rows.to_numpy(), [1, 2])
    with pytest.raises(SchemaError, match="class_weight names the classes"):
        TorchClassifier(class_weight={7: 2}, **ALONE).fit(data, "y")
    with pytest.raises(SchemaError, match="one class only"):
        TorchClassifier(**PARAMS).fit(data.where("y = 1"), "y")


def test_resources(df):
    data = df.drop("kind")
    with pytest.raises(ResourceError, match="can hold at most"):
        TorchRegressor(num_workers=1000).fit(data, "y")
    with pytest.raises(ValueError, match="'float16' needs a GPU"):
        TorchRegressor(mixed_precision="float16", **ALONE).fit(data, "y")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="finds no CUDA device"):
            TorchRegressor(gpus_per_worker=1, **ALONE).fit(data, "y")
        with pytest.raises(ResourceError, match="1 GPU"):
            TorchRegressor(gpus_per_worker=1, **PARAMS).fit(data, "y")
