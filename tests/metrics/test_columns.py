"""What a metric reads: columns by name, role or default, arrays, exact labels; what it refuses."""

from __future__ import annotations

import inspect
import pickle
import warnings
from decimal import Decimal
from functools import partial

import numpy as np
import pytest
from sklearn import metrics as plain
from sklearn.metrics import get_scorer, get_scorer_names

import raydp_ml
from raydp_ml import metrics
from raydp_ml.exceptions import SchemaError
from raydp_ml.metrics._report import scorer_metric

ROWS = [(0, 0, [0.75, 0.25], 1.0), (1, 1, [0.25, 0.75], 2.0), (1, 0, [0.5, 0.5], 1.0)]


@pytest.fixture(scope="module")
def df(spark):
    kinds = "label int, prediction int, probability array<double>, w double"
    return spark.createDataFrame(ROWS, kinds).cache()


def test_arrays_are_scikit_learns():
    y, p = [0, 1, 1], [0, 1, 0]
    assert metrics.accuracy_score(y, p) == plain.accuracy_score(y_true=y, y_pred=p)
    assert metrics.f1_score(y_true=y, y_pred=p) == plain.f1_score(y, p)
    with pytest.raises(TypeError, match="report takes a Spark DataFrame"):
        metrics.report([1], ["f1"])


def test_functions_describe_themselves():
    assert str(inspect.signature(metrics.accuracy_score)) == (
        "(df, y_true=None, y_pred='prediction', *, normalize=True, sample_weight=None)"
    )
    assert pickle.loads(pickle.dumps(metrics.roc_auc_score)) is metrics.roc_auc_score
    assert raydp_ml.metrics is metrics


def test_defaults_and_roles(df):
    y, p, s, w = (np.array(column) for column in zip(*ROWS, strict=True))
    assert metrics.accuracy_score(df) == plain.accuracy_score(y, p)
    assert metrics.roc_auc_score(df) == plain.roc_auc_score(y, s[:, 1])
    assert metrics.log_loss(df) == pytest.approx(plain.log_loss(y, s))
    marked = raydp_ml.set_roles(df.withColumnRenamed("label", "t"), label="t", sample_weight="w")
    want = plain.accuracy_score(y, p, sample_weight=w)
    assert metrics.accuracy_score(marked) == want
    # A metric without weights leaves them out.
    assert metrics.max_error(marked) == 1.0
    assert metrics.accuracy_score(df, sample_weight="w") == want


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_class_that_no_row_has(spark):
    rows = [("no", 0.3), ("yes", 0.8), ("no", 0.6), ("yes", 0.9)]
    df = spark.createDataFrame(rows, "label string, p double")
    y, p = map(list, zip(*rows, strict=True))
    for pos_label in ("no", "yes", "maybe"):
        for name in ("brier_score_loss", "d2_brier_score"):
            want = getattr(plain, name)(y, p, pos_label=pos_label)
            got = getattr(metrics, name)(df, y_proba="p", pos_label=pos_label)
            assert got == pytest.approx(want)
    assert want == -np.inf


def test_the_class_of_a_pair_of_probabilities(df):
    y, _, s, _ = (np.array(column) for column in zip(*ROWS, strict=True))
    got = metrics.average_precision_score(df, pos_label=0)
    assert got == pytest.approx(plain.average_precision_score(y, s[:, 0], pos_label=0))
    for one, other in zip(
        metrics.precision_recall_curve(df), plain.precision_recall_curve(y, s[:, 1]), strict=True
    ):
        np.testing.assert_allclose(one, other)


def test_vectors(df):
    from pyspark.ml.functions import array_to_vector

    vectors = df.withColumn("probability", array_to_vector("probability"))
    assert metrics.roc_auc_score(vectors) == metrics.roc_auc_score(df)


def test_labels_stay_exact(spark):
    rows = [(2**53 + 1, float(2**53), Decimal("0.1"), Decimal("0.10"), Decimal(1), 1)]
    kinds = "a bigint, b double, c decimal(3,1), d decimal(4,2), e decimal(5,0), f int"
    df = spark.createDataFrame(rows * 2, kinds)
    assert metrics.accuracy_score(df, "a", "b") == 0.0
    assert metrics.accuracy_score(df, "a", "a") == 1.0
    assert metrics.accuracy_score(df, "c", "d") == 1.0
    assert metrics.accuracy_score(df, "e", "f") == 1.0
    assert metrics.f1_score(df, "e", "f") == 1.0


def test_names_that_are_none(df):
    with pytest.raises(SchemaError, match=r"no column 'lable', given as the label.*'label'"):
        metrics.accuracy_score(df, "lable")
    with pytest.raises(SchemaError, match="no column 'guess', given as the y_pred"):
        metrics.accuracy_score(df, "label", "guess")
    with pytest.raises(TypeError, match="y_pred is the name of one of its columns"):
        metrics.accuracy_score(df, "label", [0, 1, 0])
    with pytest.raises(TypeError, match="unexpected keyword argument 'normalise'"):
        metrics.accuracy_score(df, normalise=False)
    with pytest.raises(ValueError, match=r"no metric 'f1_mcro'.*Did you mean"):
        metrics.report(df, ["f1_mcro"])


def test_a_function_of_the_same_name_is_another_metric(df):
    def f1_score(y, predicted, sample_weight=None):
        return 7.0

    for one in (f1_score, partial(f1_score, sample_weight=None)):
        with pytest.raises(ValueError, match=r"'f1_score' is no metric that is computed on Spark"):
            metrics.report(df, [one])
    for one in (plain.f1_score, metrics.f1_score, partial(plain.f1_score), "f1_score"):
        assert metrics.report(df, {"f1": one}) == {"f1": plain.f1_score([0, 1, 1], [0, 1, 0])}
    assert scorer_metric(plain.make_scorer(metrics.f1_score))[0].name == "f1_score"


def test_weights_of_a_metric_that_has_none(df):
    with pytest.raises(TypeError, match="max_error has no weights"):
        metrics.max_error(df, sample_weight="w")
    with pytest.raises(TypeError, match="weights of a report are those of all its metrics"):
        metrics.report(df, [partial(metrics.f1_score, sample_weight="w")])


def test_names_of_columns_are_of_spark(df):
    with pytest.raises(TypeError, match=r"f1_score takes a Spark DataFrame.* Got DataFrame and y_"):
        metrics.f1_score(df.toPandas(), y_true="label")
    with (
        raydp_ml.from_spark(df) as blocks,
        pytest.raises(TypeError, match=r"Got Blocks. Pass raydp_ml.to_spark\(data\)"),
    ):
        metrics.f1_score(blocks)


@pytest.mark.parametrize("curve", [metrics.roc_curve, metrics.precision_recall_curve])
def test_the_score_of_the_positive_class_where_only_one_occurs(df, curve):
    """Of labels that are sorted: the first score is the one of the lesser class."""
    several = df.selectExpr(
        "label", "if(label = 1, 'yes', 'no') AS t", "label = 1 AS b", "probability"
    )
    share = 1 - np.array([row[2][0] for row in ROWS])

    def thresholds(rows, label, positive):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the class that does not occur
            return set(curve(rows, label, pos_label=positive)[2].tolist()) - {np.inf}

    only_yes, only_no = several.where("label = 1"), several.where("label = 0")
    assert thresholds(only_yes, "t", "no") == {0.25, 0.5}
    assert thresholds(only_no, "t", "yes") == {0.25}
    assert thresholds(only_yes, "label", 1) == {share[1], share[2]}
    assert thresholds(only_yes, "label", 0) == {0.25, 0.5}
    assert thresholds(only_no, "label", 1) == {0.25}
    assert thresholds(only_no, "b", False) == {0.75}
    for rows, label, positive in ((only_yes, "t", "yes"), (only_no, "label", 0)):
        with pytest.raises(SchemaError, match=r"All rows are of the class .* Pass a column"):
            curve(rows, label, pos_label=positive)


def test_metrics_of_one_name_are_refused(df):
    macro = partial(metrics.f1_score, average="macro")
    with pytest.raises(ValueError, match="Two metrics bear the same name"):
        metrics.report(df, ["f1_score", macro])
    assert set(metrics.report(df, {"binary": "f1_score", "macro": macro})) == {"binary", "macro"}


def test_rows_that_cannot_be_scored(spark, df):
    with pytest.raises(SchemaError, match="no rows"):
        metrics.accuracy_score(df.where("label > 5"))
    with pytest.raises(SchemaError, match="no rows"):
        metrics.report(df.where("label > 5"), ["roc_auc", "log_loss", "r2"])
    with pytest.raises(SchemaError, match="one column holds strings, and the other does not"):
        metrics.accuracy_score(df.withColumn("prediction", df["prediction"].cast("string")))
    with pytest.raises(SchemaError, match="compares numbers, and the column 'prediction'"):
        metrics.r2_score(df.withColumn("prediction", df["prediction"].cast("string")))
    both = df.selectExpr("array(label, 0) AS `la``bel`", "array(prediction, 1) AS prediction")
    with pytest.raises(SchemaError, match=r"one at a time, as `la``bel`\[0\], or scikit-learn's"):
        metrics.accuracy_score(both, "la`bel")
    entries = both.selectExpr("`la``bel`[0] AS label", "prediction[0] AS prediction")
    assert metrics.accuracy_score(entries) == metrics.accuracy_score(df)
    with pytest.raises(ValueError, match="continuous"):
        metrics.accuracy_score(df.withColumn("prediction", df["prediction"] / 3))
    with pytest.raises(SchemaError, match="at least one non-zero"):
        metrics.accuracy_score(df.withColumn("w", df["w"] * 0), sample_weight="w")


@pytest.mark.parametrize("name", get_scorer_names())
def test_every_scorer_is_known_or_refused(name):
    clusters = {"adjusted_rand_score", "rand_score", "homogeneity_score", "completeness_score"}
    clusters |= {"v_measure_score", "fowlkes_mallows_score"}
    others = {"positive_likelihood_ratio", "neg_negative_likelihood_ratio"}
    if name in clusters | others or "mutual_info" in name or name.endswith("_samples"):
        return
    metric, options, sign = scorer_metric(name)
    scorer = get_scorer(name)
    assert f"make_scorer({metric.name}" in repr(scorer)
    assert (sign < 0) == ("greater_is_better=False" in repr(scorer))
    assert all(f"{key}={value}" in repr(scorer) for key, value in options.items())
    assert ("predict_proba" in repr(scorer)) == (metric.takes == "score")


def test_scorers_of_a_report(df):
    found = metrics.report(df, {"loss": "neg_log_loss", "f": "f1_macro"})
    assert found["loss"] == pytest.approx(-metrics.log_loss(df))
    assert found["f"] == metrics.f1_score(df, average="macro")
    with pytest.raises(ValueError, match="'rand_score' is not computed on Spark"):
        metrics.report(df, ["rand_score"])
