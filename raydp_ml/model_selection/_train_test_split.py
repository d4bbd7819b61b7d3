"""`train_test_split`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import model_selection

from raydp_ml.base import is_spark, require_column_name
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.exchange.columns import check_exists, quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.model_selection._marks import (
    VALUE,
    Marked,
    in_parts,
    key_of,
    part_of,
    with_values,
)
from raydp_ml.model_selection._sizes import sizes_by_class, sizes_of
from raydp_ml.model_selection._splitters import count_times, seed_of, time_key, times_at
from raydp_ml.spark_jobs.row_order import count_places, random_place, values_at
from raydp_ml.spark_jobs.summaries import check_labels, column_key, is_missing

if TYPE_CHECKING:
    from numpy.random import RandomState
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Values

_DEFAULT_TEST_SIZE = 0.25


def train_test_split(
    *arrays: Any,
    test_size: float | None = None,
    train_size: float | None = None,
    random_state: int | RandomState | None = None,
    shuffle: bool = True,
    stratify: Values | None = None,
    groups: str | None = None,
    time: str | None = None,
) -> Any:
    """Split a Spark DataFrame into one to train on and one to test on.

    Which rows they hold depends on the values of the rows and on the seed alone: for the same
    seed, they are the same rows whatever the partitions, and when the DataFrame is computed again.
    Rows that are equal in all columns (maps aside) stay together, so that no copy of a row is
    trained on and tested on. A DataFrame whose source makes up other values each time has to be
    cached or written first.

    Parameters
    ----------
    *arrays : Spark DataFrame
        One; or arrays and frames in memory, as in scikit-learn.
    test_size, train_size : float or int, default=None
        A share between 0 and 1, or a number of rows; of groups, with `groups`. One quarter to
        test on by default.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same rows each time.
    shuffle : bool, default=True
        False needs `time`, since rows of a Spark DataFrame have no order of their own.
    stratify : str, default=None
        A column, often the label, whose values both parts hold in the same shares; of several
        labels a row, an array, each combination counts as a value.
    groups : str, default=None
        A column whose values are not torn apart.
    time : str, default=None
        A column of whole numbers, dates or timestamps: the latest rows are those to test on. Rows
        of one time stay together: where the border falls among them, all of them are tested on.

    Returns
    -------
    train, test : pyspark.sql.DataFrame
        Lazy, with the same columns. Their sizes are found by one or two Spark jobs here; they are
        scikit-learn's, as far as equal rows, groups and times allow.

    Raises
    ------
    SchemaError
        For a column that does not exist or holds missing values.
    ValueError
        For sizes that the rows do not allow, in scikit-learn's words.

    Examples
    --------
    >>> from raydp_ml.model_selection import train_test_split
    >>> train, test = train_test_split(df, test_size=0.2, random_state=0)  # doctest: +SKIP
    """
    arrays = tuple(map(blocks_as_frame, arrays))
    if not any(is_spark(data) for data in arrays):
        if groups is not None or time is not None:
            raise TypeError(
                "groups and time are for a Spark DataFrame. In memory, split with "
                "sklearn.model_selection.GroupShuffleSplit or by the order of the rows."
            )
        return model_selection.train_test_split(
            *arrays,
            test_size=test_size,
            train_size=train_size,
            random_state=random_state,
            shuffle=shuffle,
            stratify=stratify,
        )
    if len(arrays) != 1:
        raise TypeError(
            f"train_test_split takes one Spark DataFrame, whose columns hold the label too. Got "
            f"{len(arrays)} data sets."
        )
    (df,) = arrays
    require_batch(df)
    names = {"stratify": stratify, "groups": groups, "time": time}
    given = {what: require_column_name(name, what, df.columns) for what, name in names.items()}
    held = {what: name for what, name in given.items() if name is not None}
    for what, name in held.items():
        check_exists(name, df.columns, what)
    if len(held) > 1 or (not shuffle and "time" not in held):
        raise ValueError(
            f"Got {sorted(held)} and shuffle={shuffle}. One of stratify, groups and time decides "
            "how rows are told apart; shuffle=False needs time, since the rows of a Spark "
            "DataFrame have no order of their own."
        )
    sizes = (test_size, train_size)
    if "time" in held:
        marked = _by_time(df, held["time"], sizes)
    elif "groups" in held:
        marked = _by_group(df, held["groups"], sizes, seed_of(random_state))
    else:
        marked = _by_row(df, held.get("stratify"), sizes, seed_of(random_state))
    ((train, test),) = marked.splits
    columns = [quoted(name) for name in df.columns]
    return tuple(select(rows.of_frame(marked.frame), *columns) for rows in (train, test))


Sizes = tuple[float | None, float | None]


def _by_row(df: DataFrame, stratify: str | None, sizes: Sizes, seed: int) -> Marked:
    place = random_place(df, seed)
    strata = None if stratify is None else _stratum(df, stratify)
    counts, _ = count_places(df, place, strata)
    missing = [value for value in counts if strata and is_missing(value)]
    check_labels(stratify or "", int(sum(counts[value].sum() for value in missing)))
    values = sorted(counts) if strata else list(counts)
    per_class = np.array([counts[value].sum() for value in values], dtype=np.int64)
    rows = int(per_class.sum())
    n_train, n_test = sizes_of(rows, *sizes, _DEFAULT_TEST_SIZE)
    if strata is None:
        ranks = {None: [n_test, n_test + n_train]}
        (ends,) = values_at(df, place, counts, ranks, None).values()
        return in_parts(df, [_part(part_of(place, ends))], rows)
    train, test = sizes_by_class(per_class, n_train, n_test)
    ranks = {value: [int(test[k]), int(test[k] + train[k])] for k, value in enumerate(values)}
    found = values_at(df, place, counts, ranks, strata)
    frame = with_values(df, strata, found)
    # The place is that of the row as it came, without the column that was joined to it.
    return in_parts(frame, [_part(f"size(filter({VALUE}, end -> {place} >= end))")], rows)


def _stratum(df: DataFrame, name: str) -> str:
    """Return SQL of a row's stratum: of several labels the text of them all, as scikit-learn."""
    is_array = df.schema[name].dataType.typeName() == "array"
    return f"cast({quoted(name)} as string)" if is_array else key_of(df, name)


def _part(reached: str) -> str:
    """Return SQL of 2 before the first border, 1 before the second and 0 after it."""
    return f"2 - ({reached})"


def _by_group(df: DataFrame, groups: str, sizes: Sizes, seed: int) -> Marked:
    key = column_key(df, groups)
    known = select(df, f"{key} AS value").distinct()
    place = random_place(known, seed, ["value"])
    counts, sums = count_places(known, place, more={"nulls": "if(value is null, 1, 0)"})
    if sums["nulls"]:
        raise SchemaError(
            f"The groups {groups!r} hold nulls. Drop such rows, or give them a group."
        )
    n_groups = int(sum(buckets.sum() for buckets in counts.values()))
    n_train, n_test = sizes_of(n_groups, *sizes, _DEFAULT_TEST_SIZE)
    ranks = {None: [n_test, n_test + n_train]}
    (ends,) = values_at(known, place, counts, ranks, None).values()
    return in_parts(df, [_part(part_of(random_place(df, seed, [groups]), ends))], n_groups)


def _by_time(df: DataFrame, time: str, sizes: Sizes) -> Marked:
    x = time_key(df, time, "time=...")
    rows = count_times(df, x, time)
    n_train, n_test = sizes_of(rows, *sizes, _DEFAULT_TEST_SIZE)
    ranks = sorted({rows - n_test, rows - n_test - n_train} - {0})
    at = times_at(df, x, ranks)
    start = at[rows - n_test]
    begin = rows - n_test - n_train
    early = f"{x} >= {at[begin]}L" if begin else "true"
    return in_parts(df, [f"CASE WHEN {x} >= {start}L THEN 2 WHEN {early} THEN 1 ELSE 0 END"], rows)
