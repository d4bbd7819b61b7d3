"""scikit-learn's splitters, which split Spark DataFrames as well."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import model_selection
from sklearn.utils import check_random_state

from raydp_ml.base import check_output_column, is_spark, require_column_name
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.exchange.columns import check_exists, from_spark_schema, quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import aggregate, select, where
from raydp_ml.model_selection._marks import (
    VALUE,
    Marked,
    folds_of,
    in_folds,
    in_parts,
    key_of,
    part_of,
    with_values,
)
from raydp_ml.model_selection._sizes import sizes_of
from raydp_ml.spark_jobs.expressions import number
from raydp_ml.spark_jobs.quantiles import order_statistics
from raydp_ml.spark_jobs.row_order import count_places, random_place, values_at
from raydp_ml.spark_jobs.summaries import check_labels, is_missing

if TYPE_CHECKING:
    from numpy.random import RandomState
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

__all__ = [
    "GroupKFold",
    "KFold",
    "PredefinedSplit",
    "ShuffleSplit",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "TimeSeriesSplit",
]

_PLACE = "__raydp_ml_place"

_EXACT = 1 << 53
"""Whole numbers below it are themselves as doubles."""


class SparkSplitter:
    """What the splitters share: ``split`` of a Spark DataFrame, and its folds as a column."""

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark the rows of a DataFrame for each split.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
        label, group : str or None
            Names of columns that exist.
        """
        raise NotImplementedError

    def _saved_params(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def split(
        self, X: Data | None = None, y: Values | None = None, groups: Values | None = None
    ) -> Iterator[Any]:
        """Split data into rows to train on and rows to test on.

        Parameters
        ----------
        X : Spark DataFrame, or as in scikit-learn
        y, groups : str or array-like of shape (n_samples,), default=None
            Columns' names for a Spark DataFrame; None takes the roles "label" and "group".

        Returns
        -------
        iterator of (train, test)
            Pairs of lazy DataFrames, or of arrays of the rows' numbers in memory.

        Raises
        ------
        SchemaError
            For a column that does not exist or holds missing values.
        ValueError
            As in scikit-learn, such as for fewer rows than folds.
        """
        X = blocks_as_frame(X)
        if not is_spark(X):
            # Not all of scikit-learn's take, or do without, each of them.
            given = {"y": y, "groups": groups}
            passed = {key: value for key, value in given.items() if value is not None}
            return super().split(X, **passed)  # type: ignore[misc]
        require_batch(X)
        marked = self.mark(X, *_named(X, y, groups))
        columns = [quoted(name) for name in X.columns]
        return (
            (
                select(train.of_frame(marked.frame), *columns),
                select(test.of_frame(marked.frame), *columns),
            )
            for train, test in marked.splits
        )

    def fold_column(
        self, df: DataFrame, y: str | None = None, groups: str | None = None, *, name: str = "fold"
    ) -> Any:
        """Add the number of the fold in which each row is tested.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
        y, groups : str, default=None
            As in ``split``.
        name : str, default="fold"
            The new column, of ints from 0; -1 for rows that are in no test fold.

        Returns
        -------
        pyspark.sql.DataFrame
            Lazily. ``PredefinedSplit(name)`` splits it in the same way.

        Raises
        ------
        SchemaError
            As ``split``, and where the column exists.
        ValueError
            For a splitter that tests a row more than once, or trains on part of the others.
        """
        require_batch(df)
        check_output_column(df, name, "name")
        marked = self.mark(df, *_named(df, y, groups))
        if len(marked.marks) != 1 or marked.splits[0][0].equal:
            raise ValueError(
                f"A row has no one fold in {type(self).__name__}, whose splits are no division of "
                "the rows. Take the pairs of DataFrames that split yields."
            )
        columns = [quoted(column) for column in df.columns]
        return select(marked.frame, *columns, f"{quoted(marked.marks[0])} AS {quoted(name)}")


def _named(df: DataFrame, y: object, groups: object) -> tuple[str | None, str | None]:
    """Return the columns of label and groups, by name or by role."""
    columns = from_spark_schema(df.schema)
    found = []
    for value, what, role in ((y, "y", "label"), (groups, "groups", "group")):
        name = require_column_name(value, what, df.columns)
        if name is not None:
            check_exists(name, columns, what)
        found.append(name or next((c.name for c in columns if c.role == role), None))
    return found[0], found[1]


def seed_of(random_state: int | RandomState | None, shuffle: bool = True) -> int:
    """Return the seed of an order of the rows; the same one where nothing is to be shuffled."""
    if not shuffle:
        return 0
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def with_place(df: DataFrame, seed: int, names: Sequence[str] | None = None) -> DataFrame:
    """Add the column of each row's place in a random order, which `part_of` reads."""
    return select(df, "*", f"{random_place(df, seed, names)} AS {_PLACE}")


def _require_rows(n_splits: int, rows: int) -> None:
    if n_splits > rows:
        raise ValueError(
            f"Cannot have number of splits n_splits={n_splits} greater than the number of "
            f"samples: n_samples={rows}."
        )


def _require(name: str | None, what: str, who: str) -> str:
    if name is None:
        raise ValueError(
            f"The {what!r} parameter should not be None. {who} needs the name of a column, "
            f"split(df, ..., {what}='...')."
        )
    return name


class KFold(SparkSplitter, model_selection.KFold):
    """K folds of equal size.

    On a Spark DataFrame a row's fold depends on its values and on the seed alone: repartitioned,
    cached or computed again, a row stays in its fold. Rows that are equal in all columns (maps
    aside) are in the same fold. There is no order of the rows that ``shuffle=False`` could keep:
    it stands for a fixed seed.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=False
    random_state : int, RandomState instance or None, default=None

    Examples
    --------
    >>> from raydp_ml.model_selection import KFold
    >>> for train, test in KFold(3).split(df):  # doctest: +SKIP
    ...     model.fit(train, "y").score(test, "y")
    """

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark each row with its fold."""
        placed = with_place(df, seed_of(self.random_state, self.shuffle))
        counts, _ = count_places(placed, _PLACE)
        rows = int(sum(buckets.sum() for buckets in counts.values()))
        _require_rows(self.n_splits, rows)
        sizes = np.full(self.n_splits, rows // self.n_splits)
        sizes[: rows % self.n_splits] += 1
        ranks = {None: np.cumsum(sizes)[:-1].tolist()}
        (starts,) = values_at(placed, _PLACE, counts, ranks, None).values()
        return in_folds(placed, part_of(_PLACE, starts), self.n_splits, rows)


class StratifiedKFold(SparkSplitter, model_selection.StratifiedKFold):
    """K folds with the same share of each class.

    On a Spark DataFrame, folds are sized as scikit-learn sizes them, class by class; which rows
    they hold is decided as in `KFold`.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=False
    random_state : int, RandomState instance or None, default=None
    """

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark each row with its fold."""
        y = key_of(df, _require(label, "y", type(self).__name__))
        placed = with_place(df, seed_of(self.random_state, self.shuffle))
        counts, _ = count_places(placed, _PLACE, y)
        classes = _classes(counts, label)
        per_class = np.array([counts[value].sum() for value in classes])
        rows = int(per_class.sum())
        _require_rows(self.n_splits, rows)
        _check_classes(self.n_splits, per_class)
        # Round robin over the sorted classes, as scikit-learn deals them out.
        ends = np.cumsum(per_class)
        begins = ends - per_class
        upto = [
            (limits + self.n_splits - 1 - np.arange(self.n_splits)[:, None]) // self.n_splits
            for limits in (ends, begins)
        ]
        sizes = upto[0] - upto[1]
        ranks = {value: np.cumsum(sizes[:, k])[:-1].tolist() for k, value in enumerate(classes)}
        starts = values_at(placed, _PLACE, counts, ranks, y)
        with_starts = with_values(placed, y, starts)
        fold = f"size(filter({VALUE}, start -> {_PLACE} >= start))"
        return in_folds(with_starts, fold, self.n_splits, rows, classes)


def _classes(counts: Any, label: str | None) -> list[Any]:
    missing = [value for value in counts if is_missing(value)]
    check_labels(label or "", int(sum(counts[value].sum() for value in missing)))
    return sorted(counts)


def _check_classes(n_splits: int, per_class: np.ndarray) -> None:
    if np.all(n_splits > per_class):
        raise ValueError(
            f"n_splits={n_splits} cannot be greater than the number of members in each class."
        )
    if n_splits > per_class.min():
        warnings.warn(
            f"The least populated class in y has only {per_class.min()} members, which is less "
            f"than n_splits={n_splits}.",
            UserWarning,
            stacklevel=4,
        )


class GroupKFold(SparkSplitter, model_selection.GroupKFold):
    """K folds that tear no group apart.

    On a Spark DataFrame, each group is in the fold that scikit-learn gives it on the collected
    rows. The groups and their sizes (not the rows) come to the driver.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=False
    random_state : int, RandomState instance or None, default=None
    """

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark each row with its fold."""
        key = key_of(df, _require(group, "groups", type(self).__name__))
        rows = aggregate(df, [f"{key} AS value"], {"n": "count(1)"}).collect()
        sizes = _by_group(rows, group, self.n_splits)
        weights = np.array([sizes[value] for value in sizes])
        folds = np.empty(len(sizes), dtype=np.int64)
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(len(sizes))
            for fold, members in enumerate(np.array_split(order, self.n_splits)):
                folds[members] = fold
        else:
            held = np.zeros(self.n_splits)
            for place in np.argsort(weights, kind="stable")[::-1]:
                folds[place] = np.argmin(held)
                held[folds[place]] += weights[place]
        values = {value: int(fold) for value, fold in zip(sizes, folds, strict=True)}
        return in_folds(with_values(df, key, values), VALUE, self.n_splits, int(weights.sum()))


def _by_group(rows: Sequence[Any], group: str | None, n_splits: int) -> dict[Any, int]:
    missing = sum(row["n"] for row in rows if is_missing(row["value"]))
    if missing:
        raise SchemaError(
            f"The groups {group!r} hold {missing} null or NaN values. Drop such rows, or give them "
            "a group."
        )
    sizes: dict[Any, int] = {}
    for row in sorted(rows, key=lambda row: row["value"]):
        sizes[row["value"]] = sizes.get(row["value"], 0) + row["n"]
    if n_splits > len(sizes):
        raise ValueError(
            f"Cannot have number of splits n_splits={n_splits} greater than the number of groups: "
            f"{len(sizes)}."
        )
    return sizes


class StratifiedGroupKFold(SparkSplitter, model_selection.StratifiedGroupKFold):
    """K folds that tear no group apart, with shares of the classes as equal as can be.

    On a Spark DataFrame, each group is in the fold that scikit-learn gives it on the collected
    rows. The groups and the sizes of their classes (not the rows) come to the driver.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=False
    random_state : int, RandomState instance or None, default=None
    """

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark each row with its fold."""
        who = type(self).__name__
        label, group = _require(label, "y", who), _require(group, "groups", who)
        keys = [f"{key_of(df, group)} AS value", f"{key_of(df, label)} AS class"]
        rows = aggregate(df, keys, {"n": "count(1)"}).collect()
        check_labels(label, sum(row["n"] for row in rows if is_missing(row["class"])))
        groups = {value: place for place, value in enumerate(_by_group(rows, group, self.n_splits))}
        classes = sorted({row["class"] for row in rows})
        table = np.zeros((len(groups), len(classes)))
        for row in rows:
            table[groups[row["value"]], classes.index(row["class"])] += row["n"]
        per_class = table.sum(axis=0)
        _check_classes(self.n_splits, per_class.astype(np.int64))
        order = np.arange(len(groups))
        if self.shuffle:
            check_random_state(self.random_state).shuffle(order)
        order = order[np.argsort(-np.std(table[order], axis=1), kind="stable")]
        held = np.zeros((self.n_splits, len(classes)))
        folds = np.empty(len(groups), dtype=np.int64)
        for place in order:
            folds[place] = self._find_best_fold(
                y_counts_per_fold=held, y_cnt=per_class, group_y_counts=table[place]
            )
            held[folds[place]] += table[place]
        values = {value: int(folds[place]) for value, place in groups.items()}
        marked = with_values(df, key_of(df, group), values)
        return in_folds(marked, VALUE, self.n_splits, int(table.sum()), classes)


class ShuffleSplit(SparkSplitter, model_selection.ShuffleSplit):
    """Random splits, each of its own.

    On a Spark DataFrame, which rows a split holds depends on their values and on the seed alone,
    as in `KFold`; their numbers are scikit-learn's.

    Parameters
    ----------
    n_splits : int, default=10
    test_size, train_size : float, int or None, default=None
    random_state : int, RandomState instance or None, default=None
    """

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark each row for each split."""
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=self.n_splits
        )
        parts, rows = [], 0
        for seed in seeds.tolist():
            place = random_place(df, seed)
            counts, _ = count_places(df, place)
            rows = int(sum(buckets.sum() for buckets in counts.values()))
            n_train, n_test = sizes_of(
                rows, self.test_size, self.train_size, self._default_test_size
            )
            ranks = {None: [n_test, n_test + n_train]}
            ((test_end, train_end),) = values_at(df, place, counts, ranks, None).values()
            parts.append(
                f"CASE WHEN {place} < {test_end}L THEN 2 WHEN {place} < {train_end}L THEN 1 "
                "ELSE 0 END"
            )
        return in_parts(df, parts, rows)


class PredefinedSplit(SparkSplitter, model_selection.PredefinedSplit):
    """The folds that a column, or an array, says.

    Parameters
    ----------
    test_fold : str or array-like of shape (n_samples,)
        For a Spark DataFrame the name of a column of whole numbers; -1 marks rows that are in no
        test fold. The column is never a feature in a search.
    """

    def __init__(self, test_fold: Values) -> None:
        if isinstance(test_fold, str):
            self.test_fold = test_fold
        else:
            super().__init__(test_fold)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X : Spark DataFrame, default=None
            Where the folds are a column.
        y, groups : object
            Ignored.
        """
        if not isinstance(self.test_fold, str):
            return int(super().get_n_splits(X, y, groups))
        return len(self.mark(X, None, None).splits)

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Take the column for the mark."""
        if not isinstance(self.test_fold, str):
            raise TypeError(
                "With a Spark DataFrame, test_fold is the name of one of its columns. Got "
                f"{type(self.test_fold).__name__} instead: the rows of a DataFrame have no order "
                "that an array could follow."
            )
        name = self.test_fold
        columns = from_spark_schema(df.schema)
        check_exists(name, columns, "test_fold")
        (column,) = (item for item in columns if item.name == name)
        if column.type_name not in {"tinyint", "smallint", "int", "bigint"}:
            raise SchemaError(
                f"The folds {name!r} are of type {column.type_name}, and a fold is a whole number. "
                "Cast the column to int."
            )
        counts = aggregate(df, [f"{quoted(name)} AS fold"], {"n": "count(1)"}).collect()
        sizes = {row["fold"]: row["n"] for row in counts}
        if None in sizes:
            raise SchemaError(
                f"The folds {name!r} hold {sizes[None]} nulls. Give such rows a fold, or -1 to "
                "train on them in every split."
            )
        rows = sum(sizes.values())
        folds = sorted(set(sizes) - {-1})
        if not folds or (len(folds) == 1 and -1 not in sizes):
            raise ValueError(
                "k-fold cross-validation requires at least one train/test split by setting "
                f"n_splits=2 or more, got n_splits={len(folds)}: the column {name!r} holds "
                f"{folds} only, and no row is left to train on."
            )
        return replace(folds_of(df, name, folds, rows), partition=-1 not in sizes)


class TimeSeriesSplit(SparkSplitter, model_selection.TimeSeriesSplit):
    """Test on later rows than those trained on.

    Parameters
    ----------
    n_splits : int, default=5
    max_train_size, test_size : int or None, default=None
    gap : int, default=0
    time : str or None, default=None
        The column that orders the rows of a Spark DataFrame: numbers, dates or timestamps. Rows of
        one time stay together: where a border falls among them, all are after it.
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        max_train_size: int | None = None,
        test_size: int | None = None,
        gap: int = 0,
        time: str | None = None,
    ) -> None:
        super().__init__(n_splits, max_train_size=max_train_size, test_size=test_size, gap=gap)
        self.time = time

    def mark(self, df: DataFrame, label: str | None, group: str | None) -> Marked:
        """Mark each row for each split."""
        x = time_key(df, self.time, "TimeSeriesSplit(time=...)")
        rows = count_times(df, x, self.time)
        # scikit-learn's own numbers of the rows, of which the borders are enough.
        borders = []
        for train, test in super()._split(np.empty((rows, 0))):
            borders.append((int(train[0]), int(train[-1]) + 1, int(test[0]), int(test[-1]) + 1))
        ranks = sorted({rank for of in borders for rank in of if 0 < rank < rows})
        at = times_at(df, x, ranks)
        parts = []
        for low, high, start, end in borders:
            parts.append(
                f"CASE WHEN {_between(x, start, end, at)} THEN 2 "
                f"WHEN {_between(x, low, high, at)} THEN 1 ELSE 0 END"
            )
        return in_parts(df, parts, rows)


def _between(x: str, low: int, high: int, at: dict[int, int]) -> str:
    """Return SQL of whether a time is of rank `low` or more, and less than `high`."""
    tests = [f"{x} >= {at[low]}L"] if low in at else []
    tests += [f"{x} < {at[high]}L"] if high in at else []
    return " AND ".join(tests) or "true"


def time_key(df: DataFrame, name: str | None, how: str) -> str:
    """Return SQL of a time as a bigint, whose order is that of the column's values.

    Raises
    ------
    ValueError
        Without a name.
    SchemaError
        For a column that is no number, date or timestamp, or does not exist.
    """
    if name is None:
        raise ValueError(
            f"The rows of a Spark DataFrame have no order. Name the column that orders them: {how}."
        )
    columns = from_spark_schema(df.schema)
    check_exists(name, columns, "time")
    (column,) = (item for item in columns if item.name == name)
    x = quoted(name)
    kind = column.type_name
    if kind in {"tinyint", "smallint", "int", "bigint"}:
        return f"cast({x} as bigint)"
    if kind == "date":
        return f"cast(unix_date({x}) as bigint)"
    if kind == "timestamp":
        return f"unix_micros({x})"
    if kind == "timestamp_ntz":
        # As an instant of the session's zone, it would move where clocks are put forward or back.
        seconds = f"hour({x}) * 3600L + minute({x}) * 60L"
        micros = f"cast(extract(second from {x}) * 1000000 as bigint)"
        return f"(unix_date(cast({x} as date)) * 86400L + {seconds}) * 1000000L + {micros}"
    raise SchemaError(
        f"The time {name!r} is of type {kind}. Rows are ordered by a column of whole numbers, "
        "dates or timestamps: cast it."
    )


def count_times(df: DataFrame, x: str, name: str | None) -> int:
    """Return the number of rows; raise `SchemaError` where a time is null."""
    (row,) = aggregate(df, [], {"n": "count(1)", "nulls": f"count_if({x} is null)"}).collect()
    if row["nulls"]:
        raise SchemaError(
            f"The time {name!r} holds {row['nulls']} nulls. Drop such rows, or give them a time."
        )
    return int(row["n"])


def times_at(df: DataFrame, x: str, ranks: Sequence[int]) -> dict[int, int]:
    """Return the times of some ranks, exactly.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    x : str
        SQL of the time, a bigint.
    ranks : sequence of int
        From 0 on.
    """
    as_double = f"cast({x} as double)"
    (found,) = order_statistics(df, [""], [ranks], values=[as_double])
    rounded = sorted({value for value in found.values() if abs(value) >= _EXACT})
    if not rounded:
        return {rank: int(value) for rank, value in found.items()}
    # One double stands for several times then: these are looked up among all that it stands for.
    below = {f"n{i}": f"count_if({as_double} < {number(v)})" for i, v in enumerate(rounded)}
    before = dict(zip(rounded, aggregate(df, [], below).collect()[0], strict=True))
    alike = where(df, f"{as_double} IN ({', '.join(map(number, rounded))})")
    times = aggregate(alike, [f"{x} AS x"], {"n": "count(1)"}).collect()
    made = {}
    for rank, value in found.items():
        made[rank], left = int(value), rank - before.get(value, rank)
        for time, rows in sorted(row for row in times if float(row["x"]) == value):
            if left < 0:
                break
            made[rank], left = time, left - rows
    return made
