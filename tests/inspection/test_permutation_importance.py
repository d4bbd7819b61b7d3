"""Permutation importance on Spark DataFrames is scikit-learn's own for the collected rows."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.inspection

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.inspection import permutation_importance
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

FEATURES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def rows(spark):
    made = spark.range(400).selectExpr(
        "rand(1) AS a",
        "if(rand(7) < 0.1, null, rand(2)) AS b",
        "rand(3) AS c",
        "1.0D + id % 3 AS w",
    )
    return made.selectExpr(
        "*", "3 * a + coalesce(b, 0) AS y", "if(a > 0.5, 'high', 'low') AS k"
    ).cache()


def assert_same(ours, own):
    for name in ("importances", "importances_mean", "importances_std"):
        np.testing.assert_allclose(ours[name], own[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("piped", [False, True])
def test_regression(rows, weighted, piped):
    model = XGBRegressor(n_estimators=10, num_workers=0)
    model = make_pipeline(StandardScaler(), model) if piped else model
    model.fit(rows.select(*FEATURES, "y"), "y")
    frame = rows.toPandas()
    weights = {"sample_weight": "w"} if weighted else {}
    ours = permutation_importance(model, rows, "y", n_repeats=3, random_state=0, **weights)
    own = sklearn.inspection.permutation_importance(
        model,
        frame[FEATURES],
        frame.y,
        n_repeats=3,
        random_state=0,
        sample_weight=frame.w if weighted else None,
    )
    assert_same(ours, own)
    assert ours.importances_mean.argmax() == 0


def test_several_metrics_of_a_sample(rows):
    model = XGBClassifier(n_estimators=10, num_workers=0).fit(rows.select(*FEATURES, "k"), "k")
    marked = raydp_ml.set_roles(rows, label="k")
    given = {"scoring": ["roc_auc", "accuracy"], "random_state": 1, "max_samples": 150}
    ours = permutation_importance(model, marked, **given)
    frame = rows.toPandas()
    own = sklearn.inspection.permutation_importance(model, frame[FEATURES], frame.k, **given)
    assert set(ours) == {"roc_auc", "accuracy"}
    for name in ours:
        assert_same(ours[name], own[name])


def test_blocks_and_weights_of_the_role(rows):
    model = XGBRegressor(n_estimators=10, num_workers=0).fit(rows.select(*FEATURES, "y"), "y")
    with raydp_ml.from_spark(rows.select(*FEATURES, "y")) as blocks:
        ours = permutation_importance(model, blocks, "y", random_state=0, n_repeats=2)
    given = {"random_state": 0, "n_repeats": 2}
    frame = rows.toPandas()
    assert_same(
        ours, sklearn.inspection.permutation_importance(model, frame[FEATURES], frame.y, **given)
    )
    # They go to the scores that take them.
    marked = raydp_ml.set_roles(rows, sample_weight="w", label="y")
    asked = ["neg_max_error", "r2"]
    for scoring in ("neg_max_error", asked):
        ours = permutation_importance(model, marked, scoring=scoring, **given)
        own = sklearn.inspection.permutation_importance(
            model,
            frame[FEATURES],
            frame.y,
            scoring=scoring,
            sample_weight=None if scoring == "neg_max_error" else frame.w,
            **given,
        )
        for name in asked if scoring == asked else [None]:
            assert_same(ours if name is None else ours[name], own if name is None else own[name])


def test_elements_of_a_vector(rows):
    from pyspark.ml.feature import VectorAssembler

    assembled = VectorAssembler(inputCols=["a", "c"], outputCol="v").transform(rows)
    model = XGBRegressor(n_estimators=10, num_workers=0).fit(assembled.select("v", "y"), "y")
    ours = permutation_importance(model, assembled, "y", random_state=0)
    frame = rows.toPandas()
    own = sklearn.inspection.permutation_importance(
        model, frame[["a", "c"]].to_numpy(), frame.y, random_state=0
    )
    assert_same(ours, own)


def test_bad_input(rows):
    model = XGBRegressor(n_estimators=1, num_workers=0).fit(rows.select(*FEATURES, "y"), "y")
    with pytest.raises(SchemaError, match="'b'"):
        permutation_importance(model, rows.drop("b"), "y")
    with pytest.raises(ValueError, match="needs a label"):
        permutation_importance(model, rows)
    with pytest.raises(SchemaError, match="no rows"):
        permutation_importance(model, rows.where("a > 2"), "y")
    for some in (2.0, 0, 0.0):
        with pytest.raises(ValueError, match="'max_samples' parameter"):
            permutation_importance(model, rows, "y", max_samples=some)
    with pytest.raises(ValueError, match="max_samples must be <= n_samples"):
        permutation_importance(model, rows, "y", max_samples=401)
