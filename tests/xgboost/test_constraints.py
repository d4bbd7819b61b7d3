"""Monotone and interaction constraints: by name, by place and as text, beside xgboost's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_array_equal
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.exceptions import SchemaError
from raydp_ml.xgboost import XGBRegressor

NAMES = ["a", "b[0]", "c<d"]
PARAMS = {"n_estimators": 6, "max_depth": 4, "random_state": 0}
RNG = np.random.default_rng(0)
# The effect of each falls here and rises there, so that each constraint shows.
X = RNG.normal(size=(400, 3))
Y = np.sin(3 * X[:, 0]) + np.sin(3 * X[:, 1]) * X[:, 2] + np.cos(2 * X[:, 2])

MONOTONE = [
    ({"a": 1, "c<d": -1}, (1, 0, -1)),
    ([1, 0, -1], (1, 0, -1)),
    (np.array([0, -1, 0]), (0, -1, 0)),
    ("(1,0,-1)", "(1,0,-1)"),
    ((1,), (1,)),
    ({}, ()),
]
INTERACTION = [
    ([["a", "c<d"]], "[[0, 2]]"),
    ([("a", "b[0]"), ["c<d"]], "[[0, 1], [2]]"),
    ([[0, 1], np.array([2])], "[[0, 1], [2]]"),
    ("[[0, 1], [2]]", "[[0, 1], [2]]"),
]
GIVEN = [
    *(({"monotone_constraints": ours}, {"monotone_constraints": own}) for ours, own in MONOTONE),
    *(
        ({"interaction_constraints": ours}, {"interaction_constraints": own})
        for ours, own in INTERACTION
    ),
]


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame(X, columns=NAMES).assign(y=Y)


@pytest.mark.parametrize(("ours", "own"), GIVEN)
def test_the_same_trees_as_xgboosts_own(frame, ours, own):
    wanted = xgboost.XGBRegressor(**PARAMS, **own).fit(X, Y)
    free = xgboost.XGBRegressor(**PARAMS).fit(X, Y)
    model = XGBRegressor(num_workers=0, **PARAMS, **ours).fit(frame[NAMES], Y)
    assert_array_equal(model.predict(frame[NAMES]), wanted.predict(X))
    if own != {"monotone_constraints": ()}:
        assert abs(wanted.predict(X) - free.predict(X)).max() > 0.01
    again = model.to_xgboost()
    assert_array_equal(again.predict(X), wanted.predict(X))


def test_on_spark(spark, frame):
    df = spark.createDataFrame(frame).coalesce(1)
    entries = functions.array(*(functions.col(f"`{name}`") for name in NAMES))
    vectors = df.select(array_to_vector(entries).alias("v"), "y")
    for ours, in_vectors in [
        ({"monotone_constraints": {"c<d": -1}}, {"monotone_constraints": {"v_2": -1}}),
        (
            {"interaction_constraints": [["a"], ["b[0]", "c<d"]]},
            {"interaction_constraints": [["v_0"], ["v_1", "v_2"]]},
        ),
    ]:
        wanted = XGBRegressor(num_workers=0, **PARAMS, **ours).fit(frame[NAMES], Y)
        for data, given in [(df, ours), (vectors, in_vectors)]:
            model = XGBRegressor(num_workers=1, **PARAMS, **given).fit(data, "y")
            found = model.predict(data).select("prediction").toPandas()["prediction"]
            assert_array_equal(found, wanted.predict(frame[NAMES]))


BAD = [
    ({"monotone_constraints": {"x": 1}}, SchemaError, r"names 'x', which is not a feature.*\['a'"),
    ({"monotone_constraints": {3: 1}}, SchemaError, "place 3, and there are 3 features"),
    ({"monotone_constraints": (1, 0, 0, 1)}, SchemaError, "4 values, and there are 3 features"),
    ({"monotone_constraints": {"a": 2}}, InvalidParameterError, r"1 \(rising\).*\{'a': 2\}"),
    ({"monotone_constraints": {"a": "up"}}, InvalidParameterError, "Got {'a': 'up'} instead"),
    ({"monotone_constraints": "(1,"}, InvalidParameterError, r"Got '\(1,' instead"),
    ({"monotone_constraints": "1"}, InvalidParameterError, "Got '1' instead"),
    (
        {"interaction_constraints": [["a", "A"]]},
        SchemaError,
        "names 'A', which is not a feature. The columns are",
    ),
    ({"interaction_constraints": [[0, 3]]}, SchemaError, "place 3, and there are 3 features"),
    ({"interaction_constraints": "[[0, -1]]"}, SchemaError, "place -1"),
    ({"interaction_constraints": ["a", "y"]}, InvalidParameterError, "sequence of sequences"),
    ({"interaction_constraints": "[[0, 1"}, InvalidParameterError, "sequence of sequences"),
    ({"interaction_constraints": [[0.5]]}, InvalidParameterError, "sequence of sequences"),
]


@pytest.mark.parametrize(("params", "error", "text"), BAD)
def test_what_fits_no_features_is_told_before_any_job(spark, frame, params, error, text):
    df = spark.createDataFrame(frame.head(5))
    tracker = spark.sparkContext.statusTracker()
    before = len(tracker.getJobIdsForGroup(None))
    with pytest.raises(error, match=text):
        XGBRegressor(num_workers=1, **params).fit(df, "y")
    assert len(tracker.getJobIdsForGroup(None)) == before
    with pytest.raises(error, match=text):
        XGBRegressor(num_workers=0, **params).fit(frame[NAMES], Y)


def test_names_want_an_x_with_names():
    with pytest.raises(SchemaError, match="'a', and the features of this X have no names"):
        XGBRegressor(num_workers=0, monotone_constraints={"a": 1}).fit(X, Y)
    assert XGBRegressor(num_workers=0, **PARAMS, monotone_constraints={0: 1}).fit(X, Y)
