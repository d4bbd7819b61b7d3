"""Scores in several ranges, few points of long curves, and the same without our Java part."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as plain

from raydp_ml import metrics
from raydp_ml.exceptions import SchemaError
from raydp_ml.spark_jobs import ranked

ROWS = 2_500_000
"""More than one range of scores holds."""


@pytest.fixture(scope="module")
def scored(spark):
    made = spark.range(ROWS, numPartitions=3).selectExpr(
        "cast(rand(1) < 0.4 as int) AS label",
        "round(rand(2), 6) * 0.5 + 0.4 * rand(3) AS s",
        "cast(id % 3 as double) AS w",
    )
    return made.selectExpr("label", "s + label * 0.1 AS s", "w").cache()


@pytest.mark.slow
@pytest.mark.parametrize("weight", [None, "w"])
def test_areas_of_several_ranges(scored, weight):
    rows = scored.toPandas()
    found = metrics.report(
        scored, ["roc_auc", "average_precision"], y_score="s", sample_weight=weight
    )
    weights = None if weight is None else rows["w"]
    for name, function in (
        ("roc_auc", plain.roc_auc_score),
        ("average_precision", plain.average_precision_score),
    ):
        want = function(rows["label"], rows["s"], sample_weight=weights)
        assert found[name] == pytest.approx(want, rel=1e-9)


@pytest.mark.slow
def test_points_of_a_long_curve_are_points_of_the_whole_one(scored):
    rows = scored.toPandas()
    with pytest.warns(UserWarning, match="distinct scores: its points, each of them exact"):
        few = metrics.roc_curve(scored, y_score="s", max_points=500)
    assert 400 < len(few[0]) <= 502
    fpr, tpr, thresholds = plain.roc_curve(rows["label"], rows["s"], drop_intermediate=False)
    places = {threshold: i for i, threshold in enumerate(thresholds.tolist())}
    at = [places[threshold] for threshold in few[2].tolist()]
    np.testing.assert_allclose(few[0], fpr[at], rtol=1e-12)
    np.testing.assert_allclose(few[1], tpr[at], rtol=1e-12)
    assert few[0][-1] == few[1][-1] == 1


def test_without_our_java_part(spark, scored, monkeypatch):
    few = scored.limit(2000).cache()
    limited = metrics.report(few, ASKED, y_score="s", sample_weight="w")
    # What Spark Connect has: no JVM.
    monkeypatch.setattr(ranked, "java_object", lambda *_: None)
    again = metrics.report(few, ASKED, y_score="s", sample_weight="w")
    for one, other in zip(limited.values(), again.values(), strict=True):
        for left, right in zip(np.atleast_1d(one), np.atleast_1d(other), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12)


ASKED = {
    "area": metrics.roc_auc_score,
    "precision": "average_precision",
    "curve": metrics.roc_curve,
}


def test_negative_weights_have_no_curve(spark):
    df = spark.createDataFrame([(0, 0.5, 1.0), (1, 0.75, -1.0)], "label int, s double, w double")
    with pytest.raises(SchemaError, match="'w' holds negative values"):
        metrics.roc_auc_score(df, y_score="s", sample_weight="w")


@pytest.mark.slow
def test_groups(spark):
    generator = np.random.default_rng(0)
    gains = generator.integers(0, 4, (40, 5)).astype(float)
    scores = generator.integers(0, 4, (40, 5)) / 4
    weights = generator.integers(1, 4, 40) / 2
    rows = [
        (float(gains[g, i]), float(scores[g, i]), f"q{g}", float(weights[g]))
        for g in range(40)
        for i in range(5)
    ]
    df = spark.createDataFrame(rows, "label double, s double, g string, w double").repartition(7)
    for name in ("ndcg_score", "dcg_score"):
        for options in ({}, {"k": 3}):
            got = getattr(metrics, name)(df, y_score="s", group="g", sample_weight="w", **options)
            want = getattr(plain, name)(gains, scores, sample_weight=weights, **options)
            assert got == pytest.approx(want, rel=1e-9)
    with pytest.raises(SchemaError, match="groups have one row only"):
        metrics.ndcg_score(
            df.withColumn("g", df["s"] + df["w"] * 100 + df["label"]),
            None,
            "s",
            group="g",
            sample_weight="w",
        )
    with pytest.raises(ValueError, match="negative y_true"):
        metrics.ndcg_score(df.withColumn("label", -df["label"]), None, "s", group="g")
