"""A batch of Spark's rows predicts what XGBoost says of the same rows as an Arrow table."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from raydp_ml.training.rows.layout import Feature, Layout
from raydp_ml.xgboost.output import Asked
from raydp_ml.xgboost.predict import BoosterPredictor, number_matrix

ROWS = 500


@pytest.fixture(scope="module")
def booster():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=ROWS), rng.integers(0, 9, ROWS), rng.random(ROWS) < 0.5])
    X = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    y = np.nan_to_num(X) @ [1.0, 2.0, 3.0]
    data = xgboost.DMatrix(X, y, feature_names=["c0", "c1", "c2"])
    return xgboost.train({"nthread": 1}, data, num_boost_round=20)


def numbers(kind, seed=1, missing=0.0, scale=4.0):
    rng = np.random.default_rng(seed)
    values = pa.array((rng.random(ROWS) * scale).tolist()).cast(kind, safe=False)
    return pa.array(
        [None if rng.random() < missing else value for value in values.to_pylist()], kind
    )


@pytest.mark.parametrize(
    ("columns", "as_matrix"),
    [
        ([numbers(pa.float64()), numbers(pa.int64()), numbers(pa.int8())], True),
        ([numbers(pa.float64(), missing=0.3), numbers(pa.float32(), missing=0.3)], True),
        ([numbers(pa.float64()), numbers(pa.int64(), missing=0.3)], False),
        ([numbers(pa.bool_()), numbers(pa.bool_(), missing=0.3)], False),
        ([numbers(pa.float64(), scale=1e300), numbers(pa.int64(), scale=1e18)], True),
    ],
)
def test_a_batch_predicts_as_its_table(booster, columns, as_matrix):
    columns = [*columns, *[numbers(pa.float64(), seed=3)] * (3 - len(columns))]
    names = ["c0", "c1", "c2"]
    rows = pa.StructArray.from_arrays(columns, names)
    # Spark's batches may be slices of greater ones.
    sliced = pa.concat_arrays([rows[:7], rows])[7:]
    layout = Layout(tuple(Feature(name, "number") for name in names))
    predictor = BoosterPredictor(layout, "value", None, Asked(np.nan))
    plain = [c.cast(pa.uint8()) if pa.types.is_boolean(c.type) else c for c in columns]
    expected = booster.inplace_predict(pa.table(plain, names)).astype(np.float64)
    assert (number_matrix(rows, layout) is not None) == as_matrix
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert predictor.predict(booster, rows).to_numpy().tolist() == expected.tolist()
        assert predictor.predict(booster, sliced).to_numpy().tolist() == expected.tolist()


def test_categories_and_vectors_stay_a_table():
    rows = pa.StructArray.from_arrays([pa.array(["a", "b"])], ["c0"])
    layout = Layout((Feature("c0", "category", categories=("a", "b")),))
    assert number_matrix(rows, layout) is None
