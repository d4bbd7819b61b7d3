"""Statistics of all features of a Spark DataFrame in one job.

The features are laid out as rows (index, value), and the aggregates are grouped by the index: one
aggregate for each column would be compiled into code that outgrows the JVM's limits at some 50
columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import Column, from_spark_schema, quoted
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.spark_jobs.expressions import comparable, double, number

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

__all__ = [
    "BAD_WEIGHT",
    "category_counts",
    "class_sums",
    "column_key",
    "double_columns",
    "feature_cells",
    "first_values",
    "grouped_by_index",
    "long_form",
    "most_frequent",
    "only_row",
    "summarize",
]

Cell = str | int | float | Decimal | None
"""A value of a column, as it is collected."""

BAD_WEIGHT = "w is null or isnan(w) or w < 0 or w = double('Infinity')"
"""SQL of whether w, a double, is none of the weights that `check_weights` lets pass."""


def summarize(
    df: DataFrame,
    names: Sequence[str],
    *,
    weight: str | None = None,
    shifts: Sequence[float] | None = None,
    values: Sequence[str] | None = None,
    allow_missing: bool = True,
    **aggregates: str,
) -> dict[str, np.ndarray]:
    """Aggregate each feature.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
        The numeric features.
    weight : str or None
        The column of weights, ``w`` in the aggregates.
    shifts : sequence of float or None
        Subtracted from the features first.
    values : sequence of str or None
        SQL of other values than the features themselves.
    allow_missing : bool, default=True
        Whether null and NaN, which are missing values, may occur.
    **aggregates : str
        SQL over ``x``, a double that is null where the value is missing.

    Returns
    -------
    dict of str to ndarray of shape (n_features,)
        The aggregates; ``count`` are the values that are not missing and ``rows`` all.

    Raises
    ------
    SchemaError
        For infinite values, missing ones that are not allowed, bad weights, or no rows.
    """
    chosen = {
        "rows": "count(1)",
        "count": "count(x)",
        "infinite": "count_if(abs(x) = double('Infinity'))",
        "bad": "0L" if weight is None else f"count_if({BAD_WEIGHT})",
        **aggregates,
    }
    extras = [] if weight is None else [f"{double(weight)} AS w"]
    found = _grouped(long_form(df, names, extras, shifts, values), ["i"], chosen)
    if not found:
        raise no_rows()
    table = _by_index(found, list(chosen), len(names))
    rows = int(table["rows"][0])
    check_weights(weight, int(table["bad"][0]), rows)
    check_finite(names, table["infinite"])
    if not allow_missing:
        check_held(names, rows - table["count"])
    return table


def no_rows() -> SchemaError:
    """Make the error for a DataFrame without rows."""
    return SchemaError("The DataFrame to fit has no rows. Check the filters and joins before it.")


def check_weights(weight: str | None, bad: int, rows: int) -> None:
    """Raise `SchemaError` where weights are none."""
    if bad:
        raise SchemaError(
            f"The weights {weight!r} hold {bad} null, NaN, negative or infinite of {rows} values. "
            "Weights must be finite numbers of at least 0: fix or drop such rows."
        )


def check_finite(names: Sequence[str], counts: np.ndarray) -> None:
    """Raise `SchemaError` where a feature holds infinite values."""
    infinite = {name: int(n) for name, n in zip(names, counts, strict=True) if n}
    if infinite:
        raise SchemaError(
            f"The features hold infinite values (column: count): {infinite}. Replace them, for "
            "example with null, which stands for a missing value."
        )


def check_held(names: Sequence[str], counts: np.ndarray) -> None:
    """Raise `SchemaError` where a feature holds missing values."""
    missing = {name: int(n) for name, n in zip(names, counts, strict=True) if n}
    if missing:
        raise SchemaError(
            f"The features hold missing values, null or NaN (column: count): {missing}. Impute "
            "them first, for example with raydp_ml.impute.SimpleImputer, or drop such rows."
        )


def class_sums(
    df: DataFrame, names: Sequence[str], label: str, **aggregates: str
) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Aggregate each feature within each value of the label.

    Returns
    -------
    classes : list
        The sorted values of the label.
    sums : dict of str to ndarray of shape (n_classes, n_features)

    Raises
    ------
    SchemaError
        For missing labels, missing or infinite values, or no rows.
    """
    chosen = {
        "rows": "count(1)",
        "count": "count(x)",
        "infinite": "count_if(abs(x) = double('Infinity'))",
        **aggregates,
    }
    y = column_key(df, label)
    found = _grouped(long_form(df, names, [f"{y} AS y"]), ["i", "y"], chosen)
    if not found:
        raise no_rows()
    check_labels(label, sum(row["rows"] for row in found if is_missing(row["y"])) // len(names))
    classes = sorted({row["y"] for row in found})
    tables = [
        _by_index([r for r in found if r["y"] == c], list(chosen), len(names)) for c in classes
    ]
    sums = {key: np.array([table[key] for table in tables]) for key in chosen}
    check_finite(names, sums["infinite"].sum(axis=0))
    check_held(names, (sums["rows"] - sums["count"]).sum(axis=0))
    return classes, sums


def column_key(df: DataFrame, name: str) -> str:
    """Read a column of that name as `raydp_ml.spark_jobs.expressions.comparable` does."""
    return next(comparable(c) for c in from_spark_schema(df.schema) if c.name == name)


def check_labels(label: str, missing: int) -> None:
    """Raise `SchemaError` where labels are missing."""
    if missing:
        raise SchemaError(
            f"The label {label!r} holds {missing} null or NaN values. Drop such rows, for example "
            f"with df.dropna(subset=[{label!r}])."
        )


def is_missing(value: object) -> bool:
    """Whether a value that was collected is None or NaN."""
    return value is None or (isinstance(value, float) and value != value)


def first_values(
    df: DataFrame, names: Sequence[str], values: Sequence[str] | None = None
) -> list[float]:
    """Return a value of each feature, near which sums of squares lose no digits."""
    row = double_columns(df, feature_cells(names, values)).head()
    first = [] if row is None else [0.0 if item is None else float(item) for item in row]
    return [value if np.isfinite(value) else 0.0 for value in first] or [0.0] * len(names)


def category_counts(
    df: DataFrame, columns: Sequence[Column], extras: Sequence[str] = (), **aggregates: str
) -> list[list[tuple[Any, ...]]]:
    """Count the distinct values of each column.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    columns : sequence of raydp_ml.exchange.columns.Column
    extras : sequence of str
        SQL, with aliases, of columns that the aggregates use.
    **aggregates : str
        SQL beside ``n``, the count.

    Returns
    -------
    list of list of tuple
        For each column its exact values (None for missing, 0 and 1 for booleans, Decimals for
        decimals), each with the aggregates.
    """
    chosen = {"n": "count(1)", **aggregates}
    slots = _slots(columns)
    rows = _grouped(_values(df, columns, extras), ["i", *slots], chosen)
    found: list[list[tuple[Any, ...]]] = [[] for _ in columns]
    for row in rows:
        found[row["i"]].append((_held(row, slots), *(row[key] for key in chosen)))
    return found


def most_frequent(
    df: DataFrame, columns: Sequence[Column], missing: Sequence[str], *, allow_null: bool = True
) -> list[tuple[Cell, bool]]:
    """Find the most frequent value of each column, the least of those that are alike.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    columns : sequence of raydp_ml.exchange.columns.Column
    missing : sequence of str
        For each column, the SQL of whether a value is missing.
    allow_null : bool, default=True
        Whether null and NaN may occur among the values that are not.

    Returns
    -------
    list of (object, bool)
        For each column that value (None without values), and whether any is missing.
    """
    slots = _slots(columns)
    cells = _values(df, columns, missing=missing)
    counted = aggregate(cells, ["i", "gone", *slots], {"n": "count(1)"})
    rows = _grouped(
        counted,
        ["i"],
        {
            "best": f"min(if(gone, null, struct(-n AS rank, {','.join(slots)})))",
            "holes": "max(gone)",
            "infinite": "sum(if(abs(d) = double('Infinity'), n, 0))",
            "null": f"sum(if(not gone and {' and '.join(f'{x} is null' for x in slots)}, n, 0))",
        },
    )
    if not rows:
        raise no_rows()
    found: list[tuple[Cell, bool]] = [(None, False) for _ in columns]
    infinite, null = np.zeros((2, len(columns)), dtype=np.int64)
    for row in rows:
        best = None if row["best"] is None else _held(row["best"], slots)
        found[row["i"]] = (best, row["holes"])
        infinite[row["i"]], null[row["i"]] = row["infinite"], row["null"]
    names = [column.name for column in columns]
    check_finite(names, infinite)
    if not allow_null:
        check_held(names, null)
    return found


def _slots(columns: Sequence[Column]) -> dict[str, str]:
    """Name the types in which the values of columns are kept exactly."""
    decimals = sorted({column.type_name for column in columns if column.kind == "decimal"})
    # No one type of decimals holds the values of any two.
    return {"s": "string", "l": "bigint", "d": "double"} | {
        f"m{index}": name for index, name in enumerate(decimals)
    }


def _values(
    df: DataFrame,
    columns: Sequence[Column],
    extras: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> DataFrame:
    """Lay columns of any kinds out as rows, with a value in the slot of its kind."""
    slots = _slots(columns)
    cells = []
    for index, column in enumerate(columns):
        held = [f"'{slot}', {_as(column, kind)}" for slot, kind in slots.items()]
        if missing:
            held.append(f"'gone', {missing[index]}")
        cells.append(f"named_struct({', '.join(held)})")
    exploded = select(df, *extras, f"posexplode(array({','.join(cells)})) AS (i, v)")
    aliases = [extra.rsplit(" AS ", 1)[1] for extra in extras]
    gone = ["v.gone AS gone"] if missing else []
    read = ["nanvl(v.d, null) AS d" if slot == "d" else f"v.{slot} AS {slot}" for slot in slots]
    return select(exploded, *aliases, "i", *read, *gone)


def _held(row: Row, slots: Iterable[str]) -> Cell:
    return next((row[slot] for slot in slots if row[slot] is not None), None)


def _as(column: Column, slot: str) -> str:
    kind = {"string": "string", "boolean": "bigint", "decimal": column.type_name}.get(column.kind)
    kind = kind or ("double" if column.type_name in {"float", "double"} else "bigint")
    return f"cast({quoted(column.name) if kind == slot else 'null'} as {slot})"


def double_columns(df: DataFrame, cells: Sequence[str]) -> DataFrame:
    """Select the SQL of doubles, as our Java classes read them: by place.

    Columns that are doubles are left as they are: where all are, Spark has no code to compile for
    the job, which for thousands of columns takes longer than to run it.
    """
    whole = {double(f.name): quoted(f.name) for f in df.schema if f.dataType.typeName() == "double"}
    return select(df, *(whole.get(x, f"{x} AS c{i}") for i, x in enumerate(cells)))


def feature_cells(names: Sequence[str], values: Sequence[str] | None = None) -> list[str]:
    """Give the SQL of the features as doubles, or `values` in place of it."""
    return [double(name) for name in names] if values is None else list(values)


def long_form(
    df: DataFrame,
    names: Sequence[str],
    extras: Sequence[str] = (),
    shifts: Sequence[float] | None = None,
    values: Sequence[str] | None = None,
) -> DataFrame:
    """Lay the features out as rows (i, x), with x null where the value is missing."""
    cells = feature_cells(names, values)
    if shifts is not None:
        cells = [f"{cell} - {number(s)}" for cell, s in zip(cells, shifts, strict=True)]
    aliases = [extra.rsplit(" AS ", 1)[1] for extra in extras]
    exploded = select(df, *extras, f"posexplode(array({','.join(cells)})) AS (i, x)")
    return select(exploded, *aliases, "i", "nanvl(x, null) AS x")


def _grouped(df: DataFrame, keys: list[str], aggregates: dict[str, str]) -> list[Row]:
    return aggregate(df, keys, aggregates).collect()


def only_row(df: DataFrame) -> Row:
    """Return the row of a DataFrame that has one, such as aggregates without keys."""
    row = df.first()
    assert row is not None
    return row


def grouped_by_index(df: DataFrame, count: int, **aggregates: str) -> dict[str, np.ndarray]:
    """Aggregate rows with an index ``i`` below `count`, as `long_form` makes them."""
    return _by_index(_grouped(df, ["i"], aggregates), list(aggregates), count)


def _by_index(rows: Sequence[Row], keys: Sequence[str], count: int) -> dict[str, np.ndarray]:
    table = {key: np.full(count, np.nan) for key in keys}
    for row in rows:
        for key in keys:
            if row[key] is not None:
                table[key][row["i"]] = row[key]
    return table
