"""Frames that hypothesis thinks of: nulls, NaN, constants, one row, empty and skewed partitions."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import impute as plain_impute
from sklearn import preprocessing as plain

from raydp_ml import impute, preprocessing
from raydp_ml.exceptions import SchemaError
from tests.parity import assert_parity

# Values far below the others would be lost in the squares of either side.
DOUBLES = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
KINDS = {
    "double": st.one_of(DOUBLES, st.just(float("nan")), st.none()),
    "int": st.integers(-1000, 1000),
    "boolean": st.booleans(),
    "decimal(10,2)": st.decimals(-1000, 1000, places=2),
}
CATEGORIES = {
    "string": st.one_of(st.text(max_size=3), st.none()),
    "double": st.sampled_from([0.5, -1.0, float("nan"), None]),
    "bigint": st.integers(2**53 - 2, 2**53 + 2),
    "boolean": st.one_of(st.booleans(), st.none()),
}
FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def frames(draw, kinds, least=1):
    """Rows of several columns of each kind, of which one is constant, and how they are spread."""
    names = [kind for kind in kinds for _ in range(2)]
    count = draw(st.integers(least, 25))
    rows = [tuple(draw(kinds[kind]) for kind in names) for _ in range(count)]
    constant = draw(st.integers(0, len(names) - 1))
    value = next((row[constant] for row in rows if row[constant] is not None), None)
    rows = [(*row[:constant], value, *row[constant + 1 :]) for row in rows]
    schema = ", ".join(f"c{i} {kind}" for i, kind in enumerate(names))
    return rows, schema, draw(st.sampled_from([1, 3, 40]))


def spread(spark, frame):
    rows, schema, parts = frame
    made = spark.createDataFrame(spark.sparkContext.parallelize(rows, parts), schema)
    return made.cache()


def is_whole(row):
    return all(value is not None and value == value for value in row)


@FEW
@given(frame=frames(KINDS))
@pytest.mark.filterwarnings("ignore")
def test_numbers(spark, frame):
    df = spread(spark, frame)
    for name in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        assert_parity(getattr(preprocessing, name)(), getattr(plain, name)(), df)
    params = {"strategy": "median", "add_indicator": True}
    assert_parity(impute.SimpleImputer(**params), plain_impute.SimpleImputer(**params), df)
    df.unpersist()


@FEW
@given(frame=frames({key: kind for key, kind in KINDS.items() if key != "double"}, least=2))
@pytest.mark.filterwarnings("ignore")
def test_whole_numbers(spark, frame):
    df = spread(spark, frame)
    for name, params in (
        ("KBinsDiscretizer", {"encode": "ordinal"}),
        ("PolynomialFeatures", {}),
        ("QuantileTransformer", {"n_quantiles": 7}),
    ):
        ours = getattr(preprocessing, name)(**params)
        assert_parity(ours, getattr(plain, name)(**params), df)
    df.unpersist()


@FEW
@given(frame=frames(CATEGORIES))
@pytest.mark.filterwarnings("ignore")
def test_categories(spark, frame):
    df = spread(spark, frame)
    params = {"sparse_output": False}
    assert_parity(preprocessing.OneHotEncoder(**params), plain.OneHotEncoder(**params), df)
    assert_parity(preprocessing.OrdinalEncoder(), plain.OrdinalEncoder(), df)
    df.unpersist()


@FEW
@given(frame=frames(KINDS), at=st.integers(0, 1))
def test_infinities_are_refused(spark, frame, at):
    rows, schema, parts = frame
    row = list(rows[0])
    row[at] = float("-inf")
    df = spread(spark, ([*rows, tuple(row)], schema, parts))
    with pytest.raises(SchemaError, match=rf"infinite values \(column: count\): \{{'c{at}': "):
        preprocessing.MinMaxScaler().fit(df)
    df.unpersist()


def test_decimals_are_doubles(spark):
    df = spark.createDataFrame([(Decimal("1.50"),), (Decimal("2.25"),)], "d decimal(5,2)")
    encoder = preprocessing.OneHotEncoder(sparse_output=False).fit(df)
    assert np.array_equal(encoder.categories_[0], [1.5, 2.25])
