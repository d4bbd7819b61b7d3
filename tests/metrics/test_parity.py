"""Metrics of frames that hypothesis thinks of are scikit-learn's of the same rows."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from raydp_ml import metrics
from raydp_ml.exceptions import SchemaError
from tests.metrics.frames import binary, multiclass, numbers, spread

SOME = settings(
    max_examples=3,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],  # To find a smaller frame takes minutes.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(SOME, max_examples=40, derandomize=False)
PARTS = st.sampled_from([1, 7, 40])
SINGLE = {"max_error", "calibration_curve"}
"""Metrics without weights."""


def of(name, **options):
    return partial(getattr(metrics, name), **options)


CLASSES = [
    *("accuracy_score", "balanced_accuracy_score", "cohen_kappa_score", "confusion_matrix"),
    *("matthews_corrcoef", "hamming_loss", "zero_one_loss", "classification_report"),
    *("precision_recall_fscore_support", "multilabel_confusion_matrix"),
    of("accuracy_score", normalize=False),
    of("zero_one_loss", normalize=False),
    of("balanced_accuracy_score", adjusted=True),
    of("cohen_kappa_score", weights="quadratic"),
    of("confusion_matrix", normalize="true"),
    of("classification_report", output_dict=True),
    *(
        of(name, average=average)
        for name in ("precision_score", "recall_score", "f1_score", "jaccard_score")
        for average in ("micro", "macro", "weighted", None)
    ),
    of("fbeta_score", beta=2, average="macro", zero_division=1),
]
BINARY = [
    *CLASSES,
    *("roc_auc_score", "log_loss", "d2_log_loss_score", "top_k_accuracy_score"),
    *("roc_curve", "precision_recall_curve", "calibration_curve", "brier_score_loss"),
    *("average_precision_score", "d2_brier_score", "det_curve", "f1_score"),
    of("roc_auc_score", max_fpr=0.3),
    of("log_loss", normalize=False),
    of("roc_curve", drop_intermediate=False),
    of("precision_recall_curve", drop_intermediate=True),
    of("calibration_curve", strategy="quantile", n_bins=3),
    of("top_k_accuracy_score", k=1),
]
MULTICLASS = [
    *CLASSES,
    *("log_loss", "brier_score_loss", "d2_log_loss_score", "d2_brier_score"),
    *("top_k_accuracy_score", "average_precision_score"),
    *(
        of(name, average=average, **options)
        for name, options in (
            ("roc_auc_score", {"multi_class": "ovr"}),
            ("average_precision_score", {}),
        )
        for average in ("micro", "macro", "weighted", None)
    ),
    of("roc_auc_score", multi_class="ovo"),
    of("roc_auc_score", multi_class="ovo", average="weighted"),
    of("top_k_accuracy_score", k=1),
]
NUMBERS = [
    *("r2_score", "explained_variance_score", "max_error", "median_absolute_error"),
    *("mean_absolute_error", "mean_squared_error", "root_mean_squared_error"),
    *("mean_absolute_percentage_error", "mean_squared_log_error", "root_mean_squared_log_error"),
    *("mean_pinball_loss", "mean_poisson_deviance", "mean_gamma_deviance"),
    *("d2_absolute_error_score", "d2_pinball_score"),
    of("r2_score", force_finite=False),
    of("mean_squared_error", multioutput="raw_values"),
    of("mean_pinball_loss", alpha=0.2),
    of("d2_pinball_score", alpha=0.25),
    of("d2_tweedie_score", power=0),
    *(of("mean_tweedie_deviance", power=power) for power in (-1, 0, 1.5, 3)),
]


def answer(call):
    """What a call returns or raises, and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = call()
        except (ValueError, NotImplementedError, ZeroDivisionError) as error:
            value = error
    return value, {(w.category, str(w.message)) for w in caught}


def wanted(metric, frame, weighted):
    """scikit-learn's answer."""
    options = metric.keywords if isinstance(metric, partial) else {}
    name = metric.func.__name__ if isinstance(metric, partial) else metric
    function = getattr(sklearn.metrics, name, None) or sklearn.calibration.calibration_curve
    takes = metrics._metric.DEFINITIONS[name].takes
    guess = frame["s" if takes == "score" else "p"]
    guess = np.array(guess.tolist()) if guess.dtype == object and takes == "score" else guess
    if weighted and name not in SINGLE:
        options = {**options, "sample_weight": frame["w"]}
    return answer(lambda: function(frame["y"], guess, **options))


def loosest(metric):
    """Logarithms of single precision are scikit-learn's of frames of such scores."""
    name = metric.func.__name__ if isinstance(metric, partial) else metric
    return name in {"log_loss", "d2_log_loss_score", "brier_score_loss", "d2_brier_score"}


def assert_same(got, want, rtol, what):
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want), what
        for one, other in zip(got, want, strict=True):
            assert_same(one, other, rtol, what)
    elif isinstance(want, dict):
        assert got.keys() == want.keys(), what
        for key in want:
            assert_same(got[key], want[key], rtol, what)
    elif want is None or isinstance(want, str):
        assert got == want, what
    else:
        assert np.shape(got) == np.shape(want), what
        assert np.asarray(got).dtype.kind == np.asarray(want).dtype.kind, what
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol / 1e3, err_msg=what)


def check(spark, made, asked, parts, weighted):
    """Compare one report, and what scikit-learn refuses, metric by metric."""
    frame, schema = made
    df = spread(spark, frame, schema, parts)
    single = "s float" in schema
    answers = {i: wanted(metric, frame, weighted) for i, metric in enumerate(asked)}
    fine = {i: a for i, (a, _) in answers.items() if not isinstance(a, Exception)}
    columns = {"y_true": "y", "y_pred": "p", "sample_weight": "w" if weighted else None}
    if "s" in frame:
        columns["y_score"] = "s"
    got, warned = answer(lambda: metrics.report(df, {i: asked[i] for i in fine}, **columns))
    assert not isinstance(got, Exception), got
    for i, value in fine.items():
        rtol = 1e-5 if single and loosest(asked[i]) else 1e-9
        assert_same(got[i], value, rtol, str(asked[i]))
    ours = {warning for warning in warned if "divide" not in warning[1]}
    theirs = {warning for i in fine for warning in answers[i][1] if "divide" not in warning[1]}
    assert ours == theirs
    refused = [i for i, (a, _) in answers.items() if isinstance(a, Exception)]
    # A few of them, since each takes jobs of its own.
    for i in refused[len(frame) % 3 :: 3][:2]:
        error, _ = answer(lambda i=i: metrics.report(df, [asked[i]], **columns))
        assert type(error) is type(answers[i][0]), (asked[i], error)
        assert str(error) == str(answers[i][0]), asked[i]
    df.unpersist()


@SOME
@given(binary(), PARTS, st.booleans())
def test_two_classes(spark, made, parts, weighted):
    check(spark, made, BINARY, parts, weighted)


@SOME
@given(multiclass(), PARTS, st.booleans())
def test_several_classes(spark, made, parts, weighted):
    check(spark, made, MULTICLASS, parts, weighted)


@SOME
@given(numbers(), PARTS, st.booleans())
def test_numbers(spark, made, parts, weighted):
    check(spark, made, NUMBERS, parts, weighted)


@pytest.mark.parametrize("parts", [1, 7, 200])
def test_partitions(spark, parts):
    frame = pd.DataFrame({"y": [0, 1, 1, 0, 1] * 60, "p": [0, 1, 0, 0, 1] * 60})
    frame["s"] = (np.arange(300) * 7 % 16) / 16
    frame["w"] = np.arange(300) % 4 / 2
    asked = ["f1_score", "roc_auc_score", "average_precision_score", "log_loss", "roc_curve"]
    check(spark, (frame, "y int, p int, s double, w double"), asked, parts, True)


@pytest.mark.slow
@MANY
@given(st.one_of(binary(), multiclass(), numbers()), PARTS, st.booleans())
def test_many_frames(spark, made, parts, weighted):
    wide = "array" in made[1]
    asked = NUMBERS if "s" not in made[0] else MULTICLASS if wide else BINARY
    check(spark, made, asked, parts, weighted)


@pytest.mark.parametrize("column", ["y", "p", "s", "w"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_missing_and_infinite_values_are_refused(spark, column, value):
    rows = [(0.0, 0.0, 0.5, 1.0), (1.0, 1.0, 0.25, 1.0)]
    frame = spark.createDataFrame(rows, "y double, p double, s double, w double")
    bad = frame.withColumn(
        column, sql_case(column, value) if value is not None else sql_case(column, None)
    )
    with pytest.raises(SchemaError, match=f"{column!r}|sample_weight"):
        metrics.report(
            bad, ["f1", "log_loss"], y_true="y", y_pred="p", y_score="s", sample_weight="w"
        )


def sql_case(column, value):
    from pyspark.sql import functions

    return functions.when(functions.col("s") == 0.5, functions.lit(value)).otherwise(
        functions.col(column)
    )
