"""A random order of rows that depends on what they hold and on a seed alone, and places in it.

Where Spark keeps a row, and when it computes it, changes nothing: a row has its number, and rows
that are equal in all columns have the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.spark_jobs.summaries import column_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["END", "Counts", "count_places", "random_place", "values_at"]

END = 1 << 53
"""Places are whole numbers from 0 to here."""

_BUCKETS = 1024
_WIDTH = END // _BUCKETS

Counts = Mapping[Any, np.ndarray]
"""For each stratum, the number of rows in each bucket of places: arrays of shape (n_buckets,)."""


def random_place(df: DataFrame, seed: int, names: Sequence[str] | None = None) -> str:
    """Return SQL of a row's place in a random order.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    seed : int
    names : sequence of str or None
        The columns that tell rows apart: all, but for maps, which Spark does not hash.

    Returns
    -------
    str
        A bigint from 0 to `END` - 1, uniform over different rows.
    """
    if names is None:
        names = [
            field.name
            for field in df.schema.fields
            if not re.search("map<|variant", field.dataType.simpleString())
        ]
    columns = ", ".join(column_key(df, name) for name in names)
    # XXH64 of the columns one after the other, each seeded by what was before it. A double has 53
    # bits, in which the number stays exact wherever it goes.
    return f"shiftrightunsigned(xxhash64({seed}L, {columns}), 11)"


def count_places(
    df: DataFrame, place: str, strata: str | None = None, more: Mapping[str, str] | None = None
) -> tuple[dict[Any, np.ndarray], dict[str, int]]:
    """Count rows by stratum and place, in one Spark job.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    place : str
        SQL of a bigint from 0 to `END` - 1.
    strata : str or None
        SQL of the stratum; None for one stratum, which is then called None.
    more : mapping of str to str or None
        Further sums over all rows: names and SQL.

    Returns
    -------
    counts : dict
        See `Counts`.
    sums : dict of str to int
    """
    keys = [f"{place} DIV {_WIDTH}L AS bucket", *([f"{strata} AS stratum"] if strata else [])]
    sums = {name: f"sum({sql})" for name, sql in (more or {}).items()}
    rows = aggregate(df, keys, {"n": "count(1)", **sums}).collect()
    counts: dict[Any, np.ndarray] = {}
    for row in rows:
        stratum = row["stratum"] if strata else None
        buckets = counts.setdefault(stratum, np.zeros(_BUCKETS, dtype=np.int64))
        buckets[row["bucket"]] += row["n"]
    return counts, {name: int(sum(row[name] or 0 for row in rows)) for name in sums}


def values_at(
    df: DataFrame,
    place: str,
    counts: Counts,
    ranks: Mapping[Any, Sequence[int]],
    strata: str | None,
) -> dict[Any, list[int]]:
    """Find the places of the rows with given ranks, exactly, in one Spark job.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    place, strata : str
        As in `count_places`.
    counts : mapping
        What it returned.
    ranks : mapping of stratum to sequence of int
        From 0 to the number of rows of the stratum, whose place is `END`.

    Returns
    -------
    dict of stratum to list of int
        So many rows of the stratum as the rank says have a smaller place, where no two rows share
        theirs.
    """
    sums = {stratum: np.cumsum(buckets) for stratum, buckets in counts.items()}
    wanted = {
        stratum: [int(np.searchsorted(sums[stratum], rank, side="right")) for rank in of]
        for stratum, of in ranks.items()
    }
    pairs = {(s, bucket) for s, of in wanted.items() for bucket in of if bucket < _BUCKETS}
    held = _collected(df, place, strata, pairs)
    found: dict[Any, list[int]] = {}
    for stratum, buckets in wanted.items():
        found[stratum] = []
        for rank, bucket in zip(ranks[stratum], buckets, strict=True):
            values = held.get((stratum, bucket), [])
            before = int(sums[stratum][bucket - 1]) if bucket else 0
            # Of a frame that is another one at each look, there may be fewer.
            at = min(rank - before, len(values) - 1)
            found[stratum].append(values[at] if values else min(bucket * _WIDTH, END))
    return found


def _collected(
    df: DataFrame, place: str, strata: str | None, pairs: set[tuple[Any, int]]
) -> dict[tuple[Any, int], list[int]]:
    """Return the sorted places of the rows in some buckets of some strata."""
    from pyspark.sql import functions

    if not pairs:
        return {}
    texts = [f"{place} AS place", f"{place} DIV {_WIDTH}L AS bucket"]
    rows = select(df, *texts, *([f"{strata} AS stratum"] if strata else []))
    names = ["bucket", "stratum"] if strata else ["bucket"]
    schema = rows.select(*names).schema
    keys = [(bucket, stratum)[: len(names)] for stratum, bucket in pairs]
    few = functions.broadcast(df.sparkSession.createDataFrame(keys, schema))
    kept = rows.join(few, names, "left_semi")
    held = aggregate(kept, [quoted(name) for name in names], {"places": "collect_list(place)"})
    return {
        (row["stratum"] if strata else None, row["bucket"]): sorted(row["places"])
        for row in held.collect()
    }
