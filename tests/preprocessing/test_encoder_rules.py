"""What encoders refuse, drop and warn of, as scikit-learn's own do on the same rows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pyspark.errors import PySparkException
from sklearn import preprocessing as plain

from raydp_ml.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder, TargetEncoder
from tests.parity import as_keys, assert_same_attributes, matrix

OHE, ORD = OneHotEncoder, OrdinalEncoder
STRINGS = ["a"] * 5 + ["b"] * 20 + ["c"] * 10 + ["d"] * 3
NUMBERS = [3] * 4 + [1] * 20 + [2] * 14
HOLES = [None if i % 9 == 0 else x for i, x in enumerate(STRINGS)]
DATA = {"s": STRINGS, "n": NUMBERS, "h": HOLES, "one": ["x"] * 38}

SAME = [
    (OHE, "sn", {"categories": [["d", "zz", "c", "b", "a"], [0, 1, 2, 3]]}),
    (OHE, "sn", {"categories": [["b", "a"], [1, 2]], "handle_unknown": "ignore"}),
    (OHE, "sn", {"categories": [["b", "a"], [1, 2]], "handle_unknown": "warn"}),
    (OHE, "s", {"categories": [["b", "a"]], "handle_unknown": "ignore", "drop": "first"}),
    (
        OHE,
        "s",
        {"categories": [["b", "c"]], "handle_unknown": "infrequent_if_exist", "drop": ["c"]},
    ),
    (OHE, "s", {"categories": [["c", "d", "a", "b", "z"]], "min_frequency": 6}),
    (OHE, "h", {"categories": [["a", "b", "c", "d", np.nan]], "drop": [np.nan]}),
    (OHE, "h", {"max_categories": 3, "drop": ["b"]}),
    (OHE, "sn", {"drop": ["b", 1], "max_categories": 2}),
    (OHE, ["s", "one"], {"drop": "first"}),
    (OHE, ["one", "h"], {"drop": "if_binary"}),
    (ORD, "sn", {"categories": [["d", "zz", "c", "b", "a"], [0, 1, 2, 3]]}),
    (ORD, "h", {"categories": [["b", "a", "d", "c", np.nan]], "encoded_missing_value": -1}),
    (
        ORD,
        "h",
        {"categories": [["b", "a"]], "handle_unknown": "use_encoded_value", "unknown_value": -1},
    ),
]
REFUSED = [
    (OHE, "s", {"categories": [["a", "b"]]}),
    (ORD, "sn", {"categories": [["a", "b", "c", "d"], [1, 2]]}),
    (OHE, "s", {"categories": [["a"], ["b"]]}),
    (ORD, "sn", {"categories": [["a"]]}),
    (OHE, "n", {"categories": [[3, 1, 2]]}),
    (ORD, "n", {"categories": [[3, 1, 2]]}),
    (OHE, "s", {"categories": [["a", "b", "a"]]}),
    (ORD, "h", {"categories": [["a", np.nan, "b", "c", "d"]]}),
    (OHE, "s", {"categories": [[b"a", b"b"]]}),
    (OHE, "h", {"categories": [["a", "b", "c", "d"]]}),
    (OHE, "s", {"drop": ["zz"]}),
    (OHE, "s", {"drop": ["a", "b"]}),
    (OHE, "h", {"drop": ["zz"]}),
    (OHE, "s", {"drop": [np.nan]}),
    (ORD, "s", {"unknown_value": 2}),
    (ORD, "s", {"handle_unknown": "use_encoded_value"}),
    (ORD, "s", {"handle_unknown": "use_encoded_value", "unknown_value": 2}),
    (ORD, "s", {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "dtype": int}),
    (ORD, "h", {"dtype": int}),
    (ORD, "h", {"encoded_missing_value": 1}),
    (OHE, "s", {"handle_unknown": "perhaps"}),
    (OHE, "s", {"min_frequency": 0}),
    (OHE, "s", {"drop": "second"}),
    (OHE, "s", {"feature_name_combiner": 5}),
]


@pytest.fixture(scope="module")
def df(spark):
    rows = list(zip(*DATA.values(), strict=True))
    return spark.createDataFrame(rows, "s string, n int, h string, one string").coalesce(1).cache()


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "names", "params"), SAME)
def test_the_same(df, cls, names, params):
    params = {"sparse_output": False, **params} if cls is OHE else params
    X = df.select(*names)
    ours, theirs = cls(**params), getattr(plain, cls.__name__)(**params)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # PySpark 4.0 closes sockets late
        want = theirs.fit_transform(as_keys(X))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # PySpark 4.0 closes sockets late
        made = ours.fit_transform(X)
    assert [str(item.message) for item in heard] == [str(item.message) for item in told]
    assert all(item.filename == __file__ for item in heard)
    assert_same_attributes(ours, theirs)
    assert made.columns == list(theirs.get_feature_names_out())
    assert_allclose(matrix(made, want.shape[1]), want)
    if told or {"min_frequency", "max_categories"} & set(params):
        return
    back = ours.inverse_transform(made).toPandas()
    for mine, other in zip(back.to_numpy().T, theirs.inverse_transform(want).T, strict=True):
        assert [None if x != x else x for x in mine] == [None if x != x else x for x in other]


@pytest.mark.parametrize(("cls", "names", "params"), REFUSED)
def test_the_same_errors(df, cls, names, params):
    X = df.select(*names)
    with pytest.raises((ValueError, TypeError)) as wanted:
        getattr(plain, cls.__name__)(**params).fit(as_keys(X))
    with pytest.raises(type(wanted.value)) as got:
        cls(**params).fit(X)
    assert sorted(str(got.value)) == sorted(str(wanted.value))  # (sets have no order)


def test_none_stands_for_missing_where_it_is_given(df):
    X = df.select("h")
    given = [["a", "b", "c", "d", None]]
    encoder = OHE(categories=given, drop=[None], sparse_output=False).fit(X)
    assert list(encoder.get_feature_names_out()) == ["h_a", "h_b", "h_c", "h_d"]
    assert encoder.categories is given
    assert encoder.drop == [None]
    assert matrix(encoder.transform(X), 4).sum() == sum(value is not None for value in HOLES)


def test_an_infrequent_category_cannot_be_dropped(df):
    for encoder in (OHE(drop=["d"], min_frequency=4), OHE(drop=["d", 3], max_categories=2)):
        X = df.select(["s", "n"][: len(encoder.drop)])
        for rows in (X, X.toPandas()):
            with pytest.raises(
                ValueError, match="Unable to drop category 'd' from feature 0 becau"
            ):
                encoder.fit(rows)


def test_rows_without_a_category(spark, df):
    X = df.select("s", "one")
    rows = [(1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.2, 0.7, 0.1, 1.0)]
    names = "s_a double, s_b double, s_c double, s_d double, one_x double"
    hot = spark.createDataFrame(rows, names).coalesce(1)
    encoder = OHE(sparse_output=False).fit(X)
    with pytest.raises(PySparkException, match=r"Samples can not be inverted when drop=None"):
        encoder.inverse_transform(hot).collect()
    for unknown in ("ignore", "infrequent_if_exist", "warn"):
        encoder = OHE(sparse_output=False, handle_unknown=unknown).fit(X)
        want = encoder.inverse_transform(np.array(rows)).tolist()
        assert [list(row) for row in encoder.inverse_transform(hot).collect()] == want
    bad = hot.withColumn("s_b", hot["s_b"] * float("nan"))
    with pytest.raises(PySparkException, match="Input X contains NaN"):
        encoder.inverse_transform(bad).collect()


def test_features_of_one_category(df):
    for names in (["s", "one"], ["one", "s"], ["one"]):
        X = df.select(*names, "n")
        encoder = OHE(drop="first", sparse_output=False).fit(X.drop("n"))
        made = encoder.transform(X)
        back = encoder.inverse_transform(made)
        assert back.select(*names).collect() == X.select(*names).collect()
        assert "n" in back.columns


def test_numbers_that_are_no_code(spark):
    encoder = OrdinalEncoder().fit(spark.createDataFrame([("a",), ("b",)], "s string"))
    codes = spark.createDataFrame([(1.9,), (0.0,), (None,)], "s double").coalesce(1)
    assert [row.s for row in encoder.inverse_transform(codes).collect()] == ["b", "a", None]
    for bad in (2.0, -1.0):
        with pytest.raises(PySparkException, match="is out of bounds for column 0 with 2 categor"):
            encoder.inverse_transform(codes.selectExpr(f"{bad}D AS s")).collect()


def test_none_and_nan_are_one_in_memory(df):
    """What Spark gives for null is None, which scikit-learn's own tell from NaN."""
    X = df.select("h", "n")
    raw = X.toPandas()
    assert raw["h"].isna().any()
    for encoder in (OHE(sparse_output=False), ORD(encoded_missing_value=-1)):
        made = encoder.fit(X).transform(X).toPandas()
        assert_allclose(encoder.transform(raw), made)
        assert_allclose(encoder.transform(as_keys(X)), made)
    target = TargetEncoder().fit(X, "n")
    assert_allclose(target.transform(raw[["h"]]), target.transform(X).drop("n").toPandas())


def test_binary_targets_of_three_classes(df):
    ours = TargetEncoder(target_type="binary").fit(df.select("s", "n"), "n")
    theirs = plain.TargetEncoder(target_type="binary").fit(np.array([STRINGS]).T, NUMBERS)
    assert_allclose(ours.encodings_[0], theirs.encodings_[0])


def test_label_encoder_is_scikit_learns():
    encoder = LabelEncoder()
    assert not hasattr(encoder, "set_output")
    assert encoder.fit_transform(y=["b", "a"]).tolist() == [1, 0]
