"""Categories and labels keep their exact values: decimals, and integers beyond 2**53."""

from __future__ import annotations

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.errors import PySparkException
from sklearn import preprocessing as plain
from sklearn.base import clone
from sklearn.feature_selection import chi2, f_classif
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml import feature_selection, impute
from raydp_ml.compose import ColumnTransformer
from raydp_ml.exceptions import SchemaError
from raydp_ml.pipeline import FeatureUnion, make_union
from raydp_ml.preprocessing import (
    FunctionTransformer,
    LabelEncoder,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from tests.parity import as_keys, assert_parity

BIG = 1_700_000_000_000_000_000
NAMES = ["id", "wide", "holes", "price", "fine"]


@pytest.fixture(scope="module")
def df(spark):
    """Ids of 4 values, far beyond 2**53, some beside nulls; fractions; and a label."""
    made = spark.range(40).selectExpr(
        f"cast({BIG} as decimal(38,0)) + id % 4 AS id",
        f"{BIG}L + id % 4 AS wide",
        f"if(id % 5 = 0, null, {BIG}L + id % 4) AS holes",
        "cast(id % 4 AS decimal(10,2)) / 10 AS price",
        f"cast({BIG} + id % 3 AS decimal(38,10)) / 7 AS fine",
        "id % 7 * 1.0D AS y",
    )
    return made.coalesce(1).cache()


def rows_of(df):
    """Rows whose integers beside nulls are exact, which ``toPandas`` makes doubles."""
    frame = pd.DataFrame([tuple(row) for row in df.collect()], columns=df.columns, dtype=object)
    return frame.where(frame.notna(), np.nan).astype({n: np.int64 for n in ("wide",) if n in frame})


def test_features(df, tmp_path):
    X, rows = df.select(NAMES), rows_of(df.select(NAMES))
    ours, theirs = OrdinalEncoder().fit(X), plain.OrdinalEncoder().fit(rows)
    assert [len(found) for found in ours.categories_] == [4, 4, 5, 4, 3]
    for mine, other in zip(ours.categories_, theirs.categories_, strict=True):
        assert mine.dtype == other.dtype
        assert mine.tolist()[:4] == other.tolist()[:4]
    want = theirs.transform(rows)
    ours.save(tmp_path / "saved")
    for encoder in (ours, raydp_ml.load(tmp_path / "saved"), pickle.loads(pickle.dumps(ours))):
        made = encoder.transform(X)
        assert_array_equal(made.toPandas(), want)
        assert_array_equal(encoder.transform(rows), want)
    back = [tuple(row) for row in ours.inverse_transform(made).collect()]
    assert back == [tuple(row) for row in X.collect()]
    hot = OneHotEncoder(sparse_output=False)
    assert_array_equal(
        hot.fit(X).transform(X).toPandas(),
        plain.OneHotEncoder(sparse_output=False).fit_transform(rows),
    )


@pytest.mark.parametrize(
    "encoder",
    [OrdinalEncoder(), OneHotEncoder(sparse_output=False), TargetEncoder(cv=2)],
    ids=lambda encoder: type(encoder).__name__,
)
def test_a_float_that_stands_for_several_categories_is_refused(df, encoder):
    """toPandas makes doubles of integers beside nulls."""
    X = df.select("holes", "y")
    encoder = type(encoder)(**encoder.get_params()).fit(X, "y")
    frame = X.toPandas()[["holes"]]
    assert frame.holes.dtype == np.float64
    with pytest.raises(SchemaError, match="stands for several of the categories"):
        encoder.transform(frame)
    with pytest.raises(SchemaError, match="stands for several of the categories"):
        encoder.transform(X.selectExpr("double(holes) AS holes"))
    made = encoder.transform(X).drop("y").toPandas()
    assert_array_equal(made, encoder.transform(rows_of(X)[["holes"]]))


def test_rows_of_other_types_find_them(spark, df):
    """Decimals are found as integers and as floats, and numbers as decimals, on both sides."""
    X = df.select("id", "price")
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    encoder = OrdinalEncoder(**unknown).fit(X)
    new = [(BIG + 2, 0.1, 1), (BIG + 4, 0.3, 2), (5, 0.25, 0)]
    want = np.array([[2, 1], [-1, 3], [-1, -1]])
    frame = spark.createDataFrame(new, "id bigint, price double, w int").coalesce(1)
    assert_array_equal(encoder.transform(frame).toPandas()[["id", "price"]], want)
    assert_array_equal(encoder.transform(frame.toPandas()[["id", "price"]]), want)
    mixed = [[Decimal(BIG + 2), Decimal("0.100")], [BIG + 4, Decimal("0.3")], [5, 0.25]]
    mixed = pd.DataFrame(mixed, columns=["id", "price"], dtype=object)
    assert_array_equal(encoder.transform(mixed), want)
    casts = "cast(id AS decimal(30,5)) AS id", "cast(price AS decimal(3,2)) AS price"
    assert_array_equal(encoder.transform(frame.selectExpr(*casts)).toPandas(), want)
    numbers = OrdinalEncoder(**unknown).fit(frame.select("price", "w"))
    decimals = frame.selectExpr("cast(price AS decimal(5,3)) AS price", "w + 0.5 AS w")
    want = [[0, -1], [2, -1], [1, -1]]
    assert_array_equal(numbers.transform(decimals).toPandas(), want)
    assert_array_equal(numbers.transform(decimals.toPandas()), want)
    # As floats, decimals that are one double cannot be told apart.
    floats = frame.selectExpr(f"{BIG}.0D AS id", "0.0D AS price")
    for given in (floats, floats.toPandas()):
        with pytest.raises(SchemaError, match="stands for several of the categories"):
            encoder.transform(given)


def test_given_for_decimals(df):
    X = df.select("id", "price")
    given = {"categories": [[BIG + 3, BIG, BIG + 1, BIG + 2], [0.3, 0, 0.1, Decimal("0.2")]]}
    encoder = OrdinalEncoder(**given).fit(X)
    assert encoder.categories is given["categories"]
    exact = [[Decimal(value) for value in given["categories"][0]]]
    exact.append([Decimal(str(value)) for value in given["categories"][1]])
    assert_parity(encoder, plain.OrdinalEncoder(categories=exact), X, collect=as_keys)
    hot = OneHotEncoder(drop=[BIG + 1, 0.3], sparse_output=False).fit(X)
    want = plain.OneHotEncoder(drop=[Decimal(BIG + 1), Decimal("0.3")], sparse_output=False)
    assert_array_equal(hot.transform(X).toPandas(), want.fit_transform(X.toPandas()))
    with pytest.raises(ValueError, match=r"Found unknown categories \[Decimal\('0.30*'\)\]"):
        OrdinalEncoder(categories=[given["categories"][0], [0, 0.1, 0.2]]).fit(X)


def test_many_decimals(spark):
    df = spark.range(300).selectExpr(f"cast({BIG} AS decimal(38,0)) + id * 7 % 300 AS id")
    made = OrdinalEncoder().fit(df).transform(df).toPandas()["id"]
    assert_array_equal(made, np.arange(300) * 7 % 300)


def test_labels(df):
    for name in ("id", "wide", "price"):
        y = df.select(name)
        rows = y.toPandas()[name]
        ours, theirs = LabelEncoder().fit(y), plain.LabelEncoder().fit(rows)
        assert ours.classes_.dtype == theirs.classes_.dtype
        assert_array_equal(ours.classes_, theirs.classes_)
        made = ours.transform(y)
        want = theirs.transform(rows)
        assert_array_equal(made.toPandas()[name], want)
        assert_array_equal(ours.transform(rows), want)
        assert ours.inverse_transform(made).collect() == y.collect()
    assert_array_equal(ours.transform([0.1, 0.3]), [1, 3])
    with pytest.raises(ValueError, match="previously unseen labels"):
        ours.transform([0.15])
    with pytest.raises(PySparkException, match="previously unseen labels: 9"):
        ours.transform(y.selectExpr("price + 9 AS price")).collect()


def test_targets(df):
    rows = rows_of(df)
    X = ["id", "holes", "price"]
    ours = TargetEncoder().fit(df.select(*X, "y"), "y")
    theirs = plain.TargetEncoder(target_type="multiclass").fit(rows[X], rows.y.astype(float))
    assert_allclose(np.concatenate(ours.encodings_), np.concatenate(theirs.encodings_))
    # scikit-learn takes no Decimals for labels of itself.
    for label in ("id", "wide"):
        ours = TargetEncoder().fit(df.select("price", label), label)
        codes = rows[label].astype(object) - BIG
        theirs = plain.TargetEncoder().fit(rows[["price"]], codes.astype(int))
        assert [int(value) - BIG for value in ours.classes_] == theirs.classes_.tolist()
        assert_allclose(np.concatenate(ours.encodings_), np.concatenate(theirs.encodings_))


def test_labels_of_selectors(df):
    rows = rows_of(df)
    labels = (rows["wide"] - BIG).to_numpy()
    holes = plain.OneHotEncoder().fit_transform(rows[["holes"]])
    for label in ("id", "wide"):
        made = feature_selection.SelectKBest(k=1).fit(df.select("y", label), label)
        assert_allclose(made.scores_, f_classif(rows[["y"]].astype(float), labels)[0])
        pipe = make_pipeline(OneHotEncoder(), feature_selection.SelectKBest(chi2, k=1))
        pipe.fit(df.select("holes", label), label)
        assert_allclose(pipe[-1].scores_, chi2(holes, labels)[0], atol=1e-9)


def test_most_frequent(df):
    """The most frequent of decimals that are one double, and the least of those alike."""
    rows = df.selectExpr("if(y = 6, cast(2 AS decimal(38,0)), id + 4 * int(y)) AS id", "price")
    made = impute.SimpleImputer(strategy="most_frequent").fit(rows)
    assert_array_equal(made.statistics_, [2.0, 0.0])


@pytest.mark.slow
@pytest.mark.parametrize("given", [[None, "a", "z"], ["a", None, "z"], ["a", "z", None]], ids=str)
def test_none_among_the_categories_given_for_strings(spark, given):
    """scikit-learn takes None in any place, as one more string; Spark's null is it."""
    df = spark.createDataFrame([("a",), (None,), ("z",), ("a",)], "s string").coalesce(1)
    X = df.toPandas().astype(object)
    for ours, theirs in (
        (OneHotEncoder(categories=[given], sparse_output=False), plain.OneHotEncoder),
        (OneHotEncoder(categories=[given], sparse_output=False, drop=[None]), plain.OneHotEncoder),
        (OneHotEncoder(categories=[given], sparse_output=False, drop=["z"]), plain.OneHotEncoder),
        (OrdinalEncoder(categories=[given]), plain.OrdinalEncoder),
    ):
        want = theirs(**ours.get_params()).fit(X)
        ours.fit(df)
        assert [c.tolist() for c in ours.categories_] == [given]
        expected = want.transform(X)
        assert ours.transform(df).toPandas().to_numpy().tolist() == expected.tolist()
        for gap in (None, np.nan):
            assert ours.transform(X.where(X.notna(), gap)).tolist() == expected.tolist()
        back = ours.inverse_transform(ours.transform(df)).toPandas()["s"]
        assert [None if pd.isna(v) else v for v in back] == ["a", None, "z", "a"]
    unseen = spark.createDataFrame([("a",)], "s string")
    OneHotEncoder(categories=[given]).fit(unseen)
    with pytest.raises(ValueError, match="unknown categories"):
        OneHotEncoder(categories=[["a", "z"]]).fit(df)


@pytest.mark.parametrize("carry", ["blocks", "dataset", "arrow"])
def test_integers_beside_nulls_are_exact_however_they_come(spark, df, carry):
    """pandas has doubles for them, of which two integers beyond 2**53 may be one."""
    X = df.select("holes", "wide")
    with raydp_ml.from_spark(X) as blocks:
        data = {"blocks": lambda: blocks, "dataset": blocks.to_dataset, "arrow": blocks.to_arrow}
        held = data[carry]()
        rows = rows_of(X)
        for ours, theirs in (
            (OrdinalEncoder(), plain.OrdinalEncoder()),
            (OneHotEncoder(sparse_output=False), plain.OneHotEncoder(sparse_output=False)),
        ):
            want = theirs.fit(rows).transform(rows)
            on_spark = clone(ours).fit(X)
            fitted = ours.fit(held)
            for mine, spark_s, other in zip(
                fitted.categories_, on_spark.categories_, theirs.categories_, strict=True
            ):
                assert mine.dtype == spark_s.dtype == other.dtype
                assert mine.tolist()[:4] == spark_s.tolist()[:4] == other.tolist()[:4]
                assert len(mine) == len(other)
            for encoder in (fitted, on_spark):
                assert_array_equal(encoder.transform(held), want)
                assert_array_equal(encoder.transform(X).toPandas(), want)
        # What computes has doubles, as before.
        doubles = X.toPandas()
        assert doubles.dtypes.tolist() == [np.float64, np.int64]
        assert_array_equal(
            StandardScaler().fit_transform(held), plain.StandardScaler().fit_transform(doubles)
        )


def test_integers_beside_nulls_are_exact_in_compositions(spark):
    big = 2**53
    table = pa.table(
        {"k": [big, big + 1, None, big], "x": [1.0, 2.0, None, 4.0], "s": list("abca")}
    )
    rows = pd.DataFrame({"k": np.array([big, big + 1, np.nan, big], dtype=object)})
    want = plain.OrdinalEncoder().fit_transform(rows).ravel()
    assert want.tolist()[:2] == [0, 1]

    def numbers(frame):
        return frame.select_dtypes("number").columns.tolist()

    both = ColumnTransformer(
        [
            ("keys", make_pipeline(OrdinalEncoder()), numbers),
            ("hot", OneHotEncoder(sparse_output=False), ["s"]),
        ],
        remainder="drop",
    )
    made = both.fit_transform(table)
    assert_array_equal(made[:, 0], want)
    assert made.dtype == np.float64
    assert_array_equal(both.transform(table), made)
    assert both.named_transformers_["keys"][0].categories_[0].tolist()[:2] == [big, big + 1]
    rest = ColumnTransformer([("hot", OneHotEncoder(), ["s"])], remainder=OrdinalEncoder())
    assert_array_equal(rest.fit_transform(table)[:, 3], want)
    passed = ColumnTransformer([("hot", OneHotEncoder(), ["s"])], remainder="passthrough")
    assert passed.fit_transform(table).dtype == np.float64
    union = FeatureUnion([("one", OrdinalEncoder()), ("two", OrdinalEncoder())])
    assert_array_equal(union.fit_transform(table.select(["k"])), np.column_stack([want, want]))
    # Those that compute have doubles, also beside and within those that compare.
    mixed = FeatureUnion(
        [
            ("one", OrdinalEncoder()),
            ("two", StandardScaler()),
            ("three", FunctionTransformer(np.sqrt)),
        ]
    )
    made = mixed.fit_transform(table.select(["k"]))
    assert made.dtype == np.float64
    assert_array_equal(made[:, 0], want)
    doubles = rows.astype(float)
    assert_array_equal(made[:, 1], plain.StandardScaler().fit_transform(doubles).ravel())
    assert_array_equal(made[:, 2], np.sqrt(doubles.to_numpy().ravel()))
    inner = ColumnTransformer(
        [("keys", OrdinalEncoder(), ["k"]), ("scaled", StandardScaler(), ["k", "x"])]
    )
    for step in (inner, make_pipeline(inner, MaxAbsScaler()), make_union(inner)):
        nested = ColumnTransformer([("inner", step, numbers), ("hot", OneHotEncoder(), ["s"])])
        made = nested.fit_transform(table)
        assert made[0, 0] != made[1, 0]
        assert_array_equal(nested.transform(table), made)


def test_a_float_in_memory_that_stands_for_several_integers_is_refused(spark):
    big = 2**53
    df = spark.createDataFrame([(big + i,) for i in range(4)], "x bigint").coalesce(1)
    floats = pd.DataFrame({"x": [float(big), float(big + 2)]})
    for encoder in (OrdinalEncoder().fit(df), OrdinalEncoder().fit(df.toPandas())):
        assert encoder.categories_[0].dtype == np.int64
        for X in (floats, floats.astype(object)):
            with pytest.raises(SchemaError, match=f"{float(big)!r} stands for several"):
                encoder.transform(X)
        with pytest.raises(SchemaError, match=f"{float(big)!r} stands for several"):
            encoder.transform(spark.createDataFrame(floats))
        # One that only one of them rounds to is known, as are integers.
        assert encoder.transform(floats[1:]).tolist() == [[2.0]]
        assert encoder.transform(df.toPandas()).ravel().tolist() == [0, 1, 2, 3]
