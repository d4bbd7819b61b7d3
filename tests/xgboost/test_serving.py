"""Plain rows in memory take a short way to the booster: the same predictions, the same errors."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from raydp_ml.xgboost.serving import plain_rows

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 3))
ROWS[::7, 1] = np.nan
FRAME = pd.DataFrame(
    {
        "a": ROWS[:, 0],
        "b": ROWS[:, 1].astype(np.float32),
        "c": RNG.integers(-(2**60), 2**60, 300),
        "d": ROWS[:, 2] > 0,
        "k": RNG.choice(["x", "y", "z", None], 300),
    }
)
Y = np.nan_to_num(ROWS).sum(axis=1) + (FRAME["k"] == "y")
NUMBERS = FRAME.drop(columns="k")
CATEGORIES = FRAME.assign(k=pd.Categorical(FRAME["k"]))
PARAMS = {"n_estimators": 20, "max_depth": 4}


def the_long_way(model, X):
    import pyarrow as pa

    return model.predict(pa.Table.from_pandas(X))


@pytest.mark.parametrize("frame", [NUMBERS, CATEGORIES, FRAME, NUMBERS[["a"]], NUMBERS[["c"]]])
def test_frames(frame):
    model = XGBRegressor(enable_categorical=True, **PARAMS).fit(frame, Y)
    new = frame.copy()
    if "k" in frame:
        new["k"] = np.where(new.index % 5 == 0, "never seen", FRAME["k"])
        new["k"] = new["k"].astype(frame["k"].dtype if frame is FRAME else "category")
    wanted = the_long_way(model, new)
    assert_array_equal(model.predict(new), wanted)
    assert_array_equal(
        np.concatenate([model.predict(new[i : i + 1]) for i in range(20)]), wanted[:20]
    )
    assert plain_rows(model, new) is not None


def test_the_label_in_the_frame_is_set_aside():
    model = XGBRegressor(**PARAMS).fit(NUMBERS.assign(y=Y), "y")
    assert_array_equal(model.predict(NUMBERS.assign(y=Y)), model.predict(NUMBERS))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, ">f8", np.float16])
def test_arrays(dtype):
    matrix = np.abs(np.nan_to_num(ROWS) * 50).astype(dtype)
    model = XGBClassifier(**PARAMS).fit(matrix, Y > 0)
    wanted = model.to_xgboost().predict_proba(matrix.astype(matrix.dtype.newbyteorder("=")))
    assert_array_equal(model.predict_proba(matrix).astype(np.float32), wanted)
    assert_array_equal(model.predict_proba(matrix[:1]).astype(np.float32), wanted[:1])
    # Rows that are views, in either order.
    assert_array_equal(model.predict_proba(matrix[::3]).astype(np.float32), wanted[::3])
    assert_array_equal(
        model.predict_proba(np.asfortranarray(matrix)[:9]), model.predict_proba(matrix[:9])
    )


def test_a_missing_value_of_the_users_own():
    frame = FRAME[["a", "k"]].assign(a=FRAME["a"].round())
    model = XGBRegressor(missing=0.0, enable_categorical=True, **PARAMS).fit(frame, Y)
    assert_array_equal(model.predict(frame), the_long_way(model, frame))
    model = XGBRegressor(missing=0.0, **PARAMS).fit(frame[["a"]], Y)
    assert_array_equal(model.predict(frame[["a"]]), the_long_way(model, frame[["a"]]))


def test_all_else_goes_the_long_way_with_its_own_words():
    named = XGBRegressor(**PARAMS).fit(NUMBERS, Y)
    unnamed = XGBRegressor(**PARAMS).fit(ROWS, Y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        named.predict(NUMBERS.to_numpy(dtype=float))
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(NUMBERS[["b", "a", "c", "d"]])
    with pytest.raises(ValueError, match="X has 2 features, but XGBRegressor is expecting 3"):
        unnamed.predict(ROWS[:, :2])
    with pytest.raises(ValueError, match="infinity"):
        unnamed.predict(np.full((1, 3), np.inf))
    with pytest.raises(ValueError, match="Expected 2D array"):
        unnamed.predict(ROWS[0])
    with pytest.raises(ValueError, match="0 sample"):
        unnamed.predict(ROWS[:0])
    with pytest.raises(ValueError, match="0 sample"):
        named.predict(NUMBERS[:0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named.predict(NUMBERS.astype({"a": "Float64"}))
