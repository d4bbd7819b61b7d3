"""Splits of Spark DataFrames: complete, of scikit-learn's sizes, and always the same rows."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pandas as pd
import pytest
import sklearn.model_selection

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    train_test_split,
)


def ids(part):
    return sorted(row["id"] for row in part.select("id").collect())


def folds(splitter, df, *names):
    """The fold of each row, in the order of the ids."""
    marked = splitter.fold_column(df, *names, name="of").select("id", "of").toPandas()
    return marked.sort_values("id").of.to_numpy()


def own_folds(splitter, frame, y=None, groups=None):
    """The same by scikit-learn."""
    found = np.full(len(frame), -1)
    for fold, (_, test) in enumerate(splitter.split(frame, y, groups)):
        found[test] = fold
    return found[np.argsort(frame.id.to_numpy())]


@pytest.mark.parametrize("n_splits", [2, 7])
def test_folds_are_of_equal_size_and_complete(df, n_splits):
    parts = [(ids(train), ids(test)) for train, test in KFold(n_splits).split(df)]
    every = list(range(600))
    assert all(sorted(train + test) == every for train, test in parts)
    assert sorted(row for _, test in parts for row in test) == every
    own = [len(test) for _, test in sklearn.model_selection.KFold(n_splits).split(np.zeros(600))]
    assert [len(test) for _, test in parts] == own


def test_a_row_stays_in_its_fold(df):
    splitter = KFold(4, shuffle=True, random_state=3)
    first = folds(splitter, df)
    assert len(set(first)) == 4
    columns = [f"`{name}`" for name in df.columns]
    computed_again = df.sparkSession.createDataFrame(df.toPandas(), df.schema)
    for other in (df.repartition(13), df.coalesce(1).sort("a"), computed_again.select(*columns)):
        np.testing.assert_array_equal(folds(splitter, other), first)
    assert (folds(KFold(4, shuffle=True, random_state=4), df) != first).mean() > 0.5
    np.testing.assert_array_equal(folds(KFold(4), df), folds(KFold(4), df))


def test_equal_rows_are_in_one_fold(spark):
    doubled = spark.range(100).selectExpr("id", "id * 2 AS x").crossJoin(spark.range(3).select())
    marked = KFold(5).fold_column(doubled).groupBy("id").agg({"fold": "approx_count_distinct"})
    assert {row[1] for row in marked.collect()} == {1}


@pytest.mark.parametrize("label", ["y", "kind", "shop"])
def test_strata_are_of_scikit_learns_sizes(df, frame, label):
    found = folds(StratifiedKFold(4), df, label)
    labels = frame.sort_values("id")[label].to_numpy()
    own = own_folds(sklearn.model_selection.StratifiedKFold(4), frame, frame[label])
    ours, theirs = (pd.crosstab(labels, fold).to_numpy() for fold in (found, own))
    assert abs(ours - theirs).max() <= 1
    np.testing.assert_array_equal(ours.sum(axis=1), theirs.sum(axis=1))
    assert np.ptp(ours, axis=1).max() <= 1
    assert np.ptp(ours.sum(axis=0)) <= 1


@pytest.mark.parametrize("shuffle", [{}, {"shuffle": True, "random_state": 5}])
def test_groups_are_in_scikit_learns_folds(df, frame, shuffle):
    own = sklearn.model_selection.GroupKFold(4, **shuffle)
    expected = own_folds(own, frame, None, frame.shop)
    np.testing.assert_array_equal(folds(GroupKFold(4, **shuffle), df, None, "shop"), expected)
    own = sklearn.model_selection.StratifiedGroupKFold(4, **shuffle)
    expected = own_folds(own, frame, frame.kind, frame.shop)
    found = folds(StratifiedGroupKFold(4, **shuffle), df, "kind", "shop")
    np.testing.assert_array_equal(found, expected)


def test_roles_name_label_and_groups(df):
    marked = raydp_ml.set_roles(df, label="kind", group="shop")
    found = folds(StratifiedGroupKFold(4), marked)
    np.testing.assert_array_equal(found, folds(StratifiedGroupKFold(4), df, "kind", "shop"))


def test_folds_of_a_column(df, frame):
    parts = [(ids(train), ids(test)) for train, test in PredefinedSplit("fold").split(df)]
    own = sklearn.model_selection.PredefinedSplit(frame.fold).split()
    of = frame.id.to_numpy()
    assert parts == [(sorted(of[train]), sorted(of[test])) for train, test in own]


def test_rows_that_are_in_no_test_fold(df):
    marked = df.selectExpr("id", "if(id < 50, -1, cast(id % 2 AS int)) AS f")
    parts = [(ids(train), ids(test)) for train, test in PredefinedSplit("f").split(marked)]
    assert [len(test) for _, test in parts] == [275, 275]
    assert all(set(range(50)) <= set(train) for train, _ in parts)


@pytest.mark.parametrize(
    "params", [{}, {"test_size": 40, "gap": 10}, {"max_train_size": 90, "n_splits": 3}]
)
def test_later_rows_are_tested(df, params):
    hours = df.selectExpr("id", "timestamp_seconds(id * 3600) AS t")
    found = TimeSeriesSplit(**params, time="t").split(hours)
    own = sklearn.model_selection.TimeSeriesSplit(**params).split(np.zeros(600))
    for (train, test), (own_train, own_test) in zip(found, own, strict=True):
        assert (ids(train), ids(test)) == (own_train.tolist(), own_test.tolist())


def test_rows_of_one_time_stay_together(df):
    for train, test in TimeSeriesSplit(3, time="day").split(df):
        latest, first = (
            part.selectExpr(f"{of}(day)").first()[0] for part, of in ((train, "max"), (test, "min"))
        )
        assert latest < first


NEW_YORK = "America/New_York"


@pytest.mark.slow
def test_clocks_that_are_put_forward_change_no_order(df):
    """Times without a zone are in the order that they say, where the session's zone skips some."""
    config = df.sparkSession.conf
    zone = config.get("spark.sql.session.timeZone")
    config.set("spark.sql.session.timeZone", NEW_YORK)
    try:
        # From 1 to 5 o'clock; there was no 2 to 3 o'clock.
        start = "timestamp_ntz'2019-03-10 01:00:00.000001'"
        local = df.where("id < 48").selectExpr("id", f"{start} + id * interval '5' minute AS t")
        for rows in (10, 24, 30, 34):
            train, test = train_test_split(local, test_size=rows, time="t")
            assert (ids(train), ids(test)) == (list(range(48 - rows)), list(range(48 - rows, 48)))
    finally:
        config.set("spark.sql.session.timeZone", zone)


@pytest.mark.slow
@pytest.mark.parametrize("splitter", [GroupKFold(2), StratifiedGroupKFold(2)])
def test_a_time_that_clocks_show_twice(df, monkeypatch, splitter):
    monkeypatch.setenv("TZ", NEW_YORK)
    time.tzset()
    try:
        # Half past one o'clock, twice, when clocks were put back.
        hours = df.selectExpr(
            "id", "id % 2 AS y", "timestamp_seconds(1572759000 + id % 4 * 3600) AS t"
        )
        tested = [ids(test) for _, test in splitter.split(hours, "y", "t")]
        trained = [ids(train) for train, _ in splitter.split(hours, "y", "t")]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert sorted(tested[0] + tested[1]) == list(range(600))
    assert trained == tested[::-1]
    assert len({frozenset(row % 4 for row in part) for part in tested}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 37])
def test_times_of_more_digits_than_a_double_has(df, step):
    """Nanoseconds since 1970, say, of which one double stands for 256."""
    nanoseconds = df.selectExpr("id", f"1550000000000000000L + id * {step}L AS t")
    for rows in (1, 100, 333):
        train, test = train_test_split(nanoseconds, test_size=rows, time="t")
        assert (ids(train), ids(test)) == (list(range(600 - rows)), list(range(600 - rows, 600)))
    params = {"n_splits": 3, "gap": 5, "max_train_size": 100}
    found = TimeSeriesSplit(**params, time="t").split(nanoseconds)
    own = sklearn.model_selection.TimeSeriesSplit(**params).split(np.zeros(600))
    for (train, test), (own_train, own_test) in zip(found, own, strict=True):
        assert (ids(train), ids(test)) == (own_train.tolist(), own_test.tolist())


def test_random_splits(df):
    splitter = ShuffleSplit(3, test_size=0.1, train_size=200, random_state=0)
    parts = [(ids(train), ids(test)) for train, test in splitter.split(df)]
    assert [(len(train), len(test)) for train, test in parts] == [(200, 60)] * 3
    assert all(not set(train) & set(test) for train, test in parts)
    assert len({tuple(test) for _, test in parts}) == 3
    assert parts == [(ids(a), ids(b)) for a, b in splitter.split(df.repartition(5))]


SIZES = [{}, {"test_size": 0.2}, {"test_size": 77}, {"train_size": 0.5, "test_size": 30}]


@pytest.mark.parametrize("sizes", SIZES)
def test_train_and_test(df, sizes):
    train, test = train_test_split(df, **sizes, random_state=1)
    own = sklearn.model_selection.train_test_split(np.arange(600), **sizes)
    assert train.columns == test.columns == df.columns
    assert (train.count(), test.count()) == tuple(map(len, own))
    assert not set(ids(train)) & set(ids(test))
    again = train_test_split(df.repartition(7), **sizes, random_state=1)
    assert [ids(part) for part in again] == [ids(train), ids(test)]


def test_train_and_test_by_strata(df, frame):
    train, test = train_test_split(df, test_size=0.25, stratify="shop", random_state=1)
    _, own = sklearn.model_selection.train_test_split(
        frame, test_size=0.25, stratify=frame["shop"], random_state=1
    )
    counts = test.toPandas()["shop"].value_counts().sort_index()
    assert abs(counts - own["shop"].value_counts().sort_index()).max() <= 1
    assert len(own) == test.count() == 600 - train.count()


def test_train_and_test_by_several_labels(df):
    """Each combination of labels is a stratum, as in scikit-learn."""
    labelled = df.selectExpr("id", "array(int(y = 'yes'), int(kind = 'x'), null) AS t")
    train, test = train_test_split(labelled, test_size=0.25, stratify="t", random_state=1)
    rows = np.array([row.t[:2] for row in labelled.collect()])
    _, own = sklearn.model_selection.train_test_split(
        rows, test_size=0.25, stratify=rows, random_state=1
    )
    found = np.unique([row.t[:2] for row in test.collect()], axis=0, return_counts=True)
    expected = np.unique(own, axis=0, return_counts=True)
    np.testing.assert_array_equal(found[0], expected[0])
    assert abs(found[1] - expected[1]).max() <= 1
    assert len(own) == test.count() == 600 - train.count()


def test_train_and_test_by_groups(df):
    train, test = train_test_split(df, test_size=0.3, groups="shop", random_state=2)
    ours, theirs = ({row[0] for row in part.select("shop").collect()} for part in (train, test))
    assert not ours & theirs
    n_groups = len(ours | theirs)
    assert len(theirs) == int(np.ceil(0.3 * n_groups))
    assert train.count() + test.count() == 600


def test_train_and_test_by_time(df):
    train, test = train_test_split(df, test_size=100, time="day")
    assert (train.count(), test.count()) == (500, 100)
    assert train.selectExpr("max(day)").first()[0] < test.selectExpr("min(day)").first()[0]
    assert test.selectExpr("max(day)").first()[0] == datetime.date(2020, 10, 26)


def test_roles_are_kept(df):
    for part in train_test_split(raydp_ml.set_roles(df, label="y"), stratify="y"):
        assert part.schema["y"].metadata == {"raydp_ml": {"role": "label"}}


def test_in_memory_as_in_scikit_learn(frame):
    ours = train_test_split(frame, random_state=0)
    own = sklearn.model_selection.train_test_split(frame, random_state=0)
    for a, b in zip(ours, own, strict=True):
        pd.testing.assert_frame_equal(a, b)
    for a, b in zip(
        TimeSeriesSplit(3).split(frame),
        sklearn.model_selection.TimeSeriesSplit(3).split(frame),
        strict=True,
    ):
        np.testing.assert_array_equal(a[1], b[1])


BAD = {
    "fewer rows than folds": (
        lambda df: KFold(5).split(df.limit(3)),
        ValueError,
        "Cannot have number of splits n_splits=5 greater than the number of samples",
    ),
    "fewer members than folds": (
        lambda df: StratifiedKFold(400).split(df, "y"),
        ValueError,
        "n_splits=400 cannot be greater than the number of members in each class",
    ),
    "fewer groups than folds": (
        lambda df: GroupKFold(50).split(df, None, "shop"),
        ValueError,
        "greater than the number of groups",
    ),
    "no groups": (
        lambda df: GroupKFold(2).split(df),
        ValueError,
        "'groups' parameter should not be None",
    ),
    "no such column": (lambda df: KFold(2).split(df, "yy"), SchemaError, "'yy'"),
    "groups with nulls": (
        lambda df: GroupKFold(2).split(df, None, "holes"),
        SchemaError,
        "null or NaN values",
    ),
    "labels with nulls": (
        lambda df: StratifiedKFold(2).split(df, "holes"),
        SchemaError,
        "null or NaN values",
    ),
    "strata of several labels": (
        lambda df: StratifiedKFold(2).split(df.selectExpr("array(shop, fold) AS t"), "t"),
        SchemaError,
        "'t' is of type array<int>.*binary or multiclass.*several labels are split by KFold",
    ),
    "strata of several labels in groups": (
        lambda df: StratifiedGroupKFold(2).split(
            df.selectExpr("shop", "array(fold) AS t"), "t", "shop"
        ),
        SchemaError,
        "'t' is of type array<int>",
    ),
    "groups of arrays": (
        lambda df: GroupKFold(2).split(df.selectExpr("array(shop) AS g"), None, "g"),
        SchemaError,
        "'g' is of type array<int>",
    ),
    "strata of bytes": (
        lambda df: train_test_split(df.selectExpr("binary(y) AS s"), stratify="s"),
        SchemaError,
        "'s' is of type binary",
    ),
    "folds with nulls": (
        lambda df: PredefinedSplit("f").split(df.selectExpr("if(id < 9, null, 1) AS f")),
        SchemaError,
        "hold 9 nulls",
    ),
    "one fold": (
        lambda df: PredefinedSplit("f").split(df.selectExpr("1 AS f")),
        ValueError,
        "requires at least one train/test split",
    ),
    "folds of text": (lambda df: PredefinedSplit("y").split(df), SchemaError, "whole number"),
    "an array of folds": (
        lambda df: PredefinedSplit([0, 1]).split(df),
        TypeError,
        "the name of one of its columns",
    ),
    "no time": (lambda df: TimeSeriesSplit(2).split(df), ValueError, "have no order"),
    "a time of text": (lambda df: TimeSeriesSplit(2, time="y").split(df), SchemaError, "cast it"),
    "y beside the rows": (
        lambda df: KFold(2).split(df, np.zeros(600)),
        TypeError,
        "the name of one of its columns",
    ),
    "no order": (lambda df: train_test_split(df, shuffle=False), ValueError, "needs time"),
    "too many to test": (
        lambda df: train_test_split(df, test_size=700),
        ValueError,
        "smaller than the number of samples 600",
    ),
    "a class of one row": (
        lambda df: train_test_split(df.selectExpr("id", "id = 5 AS s"), stratify="s"),
        ValueError,
        "have only 1 member",
    ),
    "two ways to split": (
        lambda df: train_test_split(df, stratify="y", groups="shop"),
        ValueError,
        "One of stratify, groups and time",
    ),
    "two frames": (lambda df: train_test_split(df, df), TypeError, "one Spark DataFrame"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(df, name):
    split, kind, text = BAD[name]
    with pytest.raises(kind, match=text):
        list(split(df))


def test_a_class_of_fewer_rows_than_folds(df):
    few = df.selectExpr("id", "if(id < 2, 'few', 'many') AS y")
    with pytest.warns(UserWarning, match="The least populated class in y has only 2 members"):
        parts = list(StratifiedKFold(3).split(few, "y"))
    assert len(parts) == 3
