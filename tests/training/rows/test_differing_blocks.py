"""Datasets whose blocks differ, and evaluation sets that do: what xgboost makes of one frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray
import xgboost

from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBRegressor

OPTIONS = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=400), "b": rng.integers(0, 50, 400)})
    return frame.assign(y=frame.a * 3 + frame.b % 7)


@pytest.fixture(scope="module")
def plain(rows):
    model = xgboost.XGBRegressor(**OPTIONS)
    half = rows.iloc[200:]
    return model.fit(rows[["a", "b"]], rows.y, eval_set=[(half[["a", "b"]], half.y)], verbose=False)


def blocks_of(rows):
    """A Dataset: other order, another integer, and nothing but null in a column of one block."""
    first, second = (
        pa.Table.from_pandas(half, preserve_index=False) for half in (rows[:200], rows[200:])
    )
    narrow = first.schema.get_field_index("b")
    first = first.set_column(narrow, "b", first["b"].cast(pa.int8()))
    empty = rows[:0].assign(b=None)
    return ray.data.from_arrow([first, second.select(["y", "b", "a"])]).union(
        ray.data.from_arrow(pa.Table.from_pandas(empty, preserve_index=False))
    )


def test_blocks_that_differ_train_as_one_table(spark, rows, plain):  # Ray Data has CPUs there
    model = XGBRegressor(**OPTIONS, num_workers=1)
    model.fit(blocks_of(rows), "y", eval_set=[(blocks_of(rows[200:]), "y")])
    predicted = model.predict(rows[["a", "b"]])
    np.testing.assert_allclose(predicted, plain.predict(rows[["a", "b"]]), rtol=1e-5)
    (scores,) = model.evals_result_.values()
    (wanted,) = plain.evals_result().values()
    np.testing.assert_allclose(scores["rmse"], wanted["rmse"], rtol=1e-5)
    scaler = StandardScaler().fit(blocks_of(rows))
    order = list(scaler.feature_names_in_)
    assert sorted(order) == ["a", "b", "y"]
    np.testing.assert_allclose(scaler.mean_, rows[order].mean())


def test_evaluation_sets_go_by_name_and_must_be_of_the_same_kind(rows, plain):
    half = pa.Table.from_pandas(rows[200:], preserve_index=False)

    def fit(evaluation):
        model = XGBRegressor(**OPTIONS, num_workers=0)
        return model.fit(rows, "y", eval_set=[(evaluation, "y")]).evals_result_

    (wanted,) = plain.evals_result().values()
    narrow = half.set_column(1, "b", half["b"].cast(pa.int8()))
    for evaluation in (half.select(["y", "b", "a"]), narrow):
        (scores,) = fit(evaluation).values()
        np.testing.assert_allclose(scores["rmse"], wanted["rmse"], rtol=1e-6)
    for other in (half["a"].cast(pa.string()), pa.array([[1.0]] * len(half))):
        with pytest.raises(SchemaError, match=r"'a' of the evaluation set 0 is of type (str|list)"):
            fit(half.set_column(0, "a", other))
