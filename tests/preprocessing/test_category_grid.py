"""Encoders' parameters x kinds of columns x what is missing, beside scikit-learn's own."""

from __future__ import annotations

import warnings
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import preprocessing as plain

from raydp_ml.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from tests.parity import as_keys, assert_same_attributes, matrix

# For each kind: values that `fit` sees, and one that it does not see.
KINDS = {
    "string": (["a", "None", "ü'\\", "b"], "zz"),
    "int": ([3, -1, 0, 7], 99),
    "bigint": ([3, -1, 0, 7], 99),
    "float": ([0.1, -1.5, 2.0, 7.25], 99.5),
    "double": ([0.1, -1.5, 2.0, 7.25], 99.5),
    "boolean": ([True, False], None),
    "decimal(10,2)": (
        [Decimal("0.10"), Decimal("-1.50"), Decimal("2.00"), Decimal("7.25")],
        Decimal("99.00"),
    ),
}
NAN = float("nan")
MISSING = {"none": [], "null": [None], "nan": [NAN], "both": [None, NAN], "all": None}
COLUMNS = [
    (kind, gaps)
    for kind in KINDS
    for gaps in MISSING
    if kind in {"float", "double"} or gaps in {"none", "null", "all"}
]
NAMES = [f"{kind.split('(')[0]}_{gaps}" for kind, gaps in COLUMNS]
SCHEMA = ", ".join(f"{name} {kind}" for name, (kind, _) in zip(NAMES, COLUMNS, strict=True))

ONE_HOT = [
    {"handle_unknown": "ignore"},
    {"handle_unknown": "infrequent_if_exist", "min_frequency": 12},
    {"drop": "first"},
    {"drop": "first", "handle_unknown": "ignore"},
    {"drop": "if_binary", "handle_unknown": "infrequent_if_exist", "max_categories": 3},
    {"max_categories": 1, "handle_unknown": "warn"},
    {"min_frequency": 0.3},
    {"drop": "if_binary", "min_frequency": 0.2},
    {"drop": "first", "min_frequency": 12, "handle_unknown": "ignore"},
    {"max_categories": 2, "drop": "first"},
]
ENCODED = {"handle_unknown": "use_encoded_value"}
ORDINAL = [
    {**ENCODED, "unknown_value": -1},
    {**ENCODED, "unknown_value": np.nan, "encoded_missing_value": -2},
    {"encoded_missing_value": 17},
    {**ENCODED, "unknown_value": -1, "encoded_missing_value": -1},
    {**ENCODED, "unknown_value": 8, "min_frequency": 12, "encoded_missing_value": -3},
    {**ENCODED, "unknown_value": -1, "max_categories": 2},
    {"max_categories": 3, "min_frequency": 0.1},
]
TARGET = [{}, {"smooth": 3.0}, {"smooth": 0.0}, {"target_type": "continuous"}]


def drawn(rng, kind, gaps):
    values = KINDS[kind][0]
    if gaps == "all":
        return None
    if gaps != "none" and rng.random() < 0.25:
        return MISSING[gaps][int(rng.integers(len(MISSING[gaps])))]
    shares = np.arange(len(values), 0, -1)
    return values[int(rng.choice(len(values), p=shares / shares.sum()))]


@pytest.fixture(scope="module")
def frames(spark):
    """The rows of `fit`, and rows beside which some are unknown; each with what pandas has."""
    rng = np.random.default_rng(3)
    seen = [tuple(drawn(rng, *column) for column in COLUMNS) for _ in range(60)]
    new = [tuple(KINDS[kind][1] for kind, _ in COLUMNS), (None,) * len(COLUMNS)]
    labels = zip(
        map(int, rng.random(62) < 0.4),
        map(float, rng.normal(size=62)),
        (f"c{place}" for place in rng.integers(0, 3, 62)),
        strict=True,
    )
    labels = list(labels)
    made = []
    for rows in (seen, seen + new):
        rows = [(*row, *label) for row, label in zip(rows, labels, strict=False)]
        df = (
            spark.createDataFrame(rows, f"{SCHEMA}, y2 int, y double, y3 string")
            .coalesce(1)
            .cache()
        )
        made += [df, as_keys(df)]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("params", ONE_HOT[:3])
def test_one_hot(frames, params):
    check(frames, OneHotEncoder, {"sparse_output": False, **params})


@pytest.mark.parametrize("params", ORDINAL[:2])
def test_ordinal(frames, params):
    check(frames, OrdinalEncoder, params)


@pytest.mark.parametrize("label", ["y2", "y3"])
def test_target(frames, label):
    check(frames, TargetEncoder, {}, label)


@pytest.mark.grid
@pytest.mark.parametrize("params", ONE_HOT[3:])
def test_one_hot_more(frames, params):
    check(frames, OneHotEncoder, {"sparse_output": False, **params})
    check(frames, OneHotEncoder, params)


@pytest.mark.grid
@pytest.mark.parametrize("params", ORDINAL[2:])
def test_ordinal_more(frames, params):
    check(frames, OrdinalEncoder, params)


@pytest.mark.grid
@pytest.mark.parametrize("params", TARGET)
def test_target_more(frames, params):
    check(frames, TargetEncoder, params, "y2")
    check(frames, TargetEncoder, params, "y")


def check(frames, cls, params, label=None):
    """Compare fitted attributes, and outputs and their inverse on Spark and in memory."""
    seen, seen_rows, more, more_rows = frames
    ours, theirs = cls(**params), getattr(plain, cls.__name__)(**params)
    label_args = [] if label is None else [label]
    ours.fit(seen.select(*NAMES, *label_args), *label_args)
    theirs.fit(seen_rows[NAMES], *([] if label is None else [seen_rows[label]]))
    assert_same_attributes(ours, theirs)
    if params.get("handle_unknown", "error") == "error" and label is None:
        more, more_rows = seen, seen_rows
    more, raw, rows = more.select(NAMES), more.select(NAMES).toPandas(), more_rows[NAMES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = dense(theirs.transform(rows))
        in_memory = [dense(ours.transform(X)) for X in (rows, raw)]
    made = ours.transform(more)
    names = [str(name) for name in theirs.get_feature_names_out()]
    assert [str(name) for name in ours.get_feature_names_out()] == names
    vector = cls is OneHotEncoder and ours.sparse_output
    assert made.columns == (["onehotencoder"] if vector else names)
    for got in (matrix(made, want.shape[1]), *in_memory):
        assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    # scikit-learn's own fails on infrequent categories beside missing ones.
    infrequent = cls is OrdinalEncoder and {"min_frequency", "max_categories"} & set(params)
    if label is None and not vector and not infrequent:
        back, want_back = ours.inverse_transform(made).toPandas(), theirs.inverse_transform(want)
        for name, column in zip(NAMES, want_back.T, strict=True):
            assert_array_equal(plainly(back[name]), plainly(column), err_msg=name)


def dense(made):
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=float)


def plainly(values):
    """Write values as text, numbers alike whatever their type, None for what is missing."""
    made = []
    for value in values:
        if value is None or value != value:
            made.append(None)
        elif isinstance(value, (bool, np.bool_)):
            made.append(str(value))
        else:
            with suppress(ValueError):
                value = f"{float(np.float32(value)):.6g}"
            made.append(value)
    return made
