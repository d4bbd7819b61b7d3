"""Metrics say what they need of the rows; the needs of all of them are met together.

A metric's computation is a generator: it yields a need, is sent what was found, and so on, and
returns its value. All computations of a report advance in step, so that what they need at the same
time takes one Spark job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from raydp_ml.exchange.refused_values import refused_values
from raydp_ml.exchange.sql_text import aggregate
from raydp_ml.metrics._columns import Columns
from raydp_ml.spark_jobs.ranked import Problem, Ranked, rank

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Computation", "Function", "Options", "Ranking", "Sums", "Task", "run"]

_JOINED: dict[str, Callable[[Sequence[Any]], Any]] = {
    "sum": lambda values: math.fsum(values) if isinstance(values[0], float) else sum(values),
    "count": sum,
    "min": min,
    "max": max,
}
"""How an aggregate of groups comes from those of their parts."""


@dataclass(frozen=True)
class Sums:
    """Aggregates of the rows of each combination of keys.

    Attributes
    ----------
    keys : tuple of str
        SQL.
    values : mapping of str to str
        Names, and SQL that begins with ``sum``, ``count``, ``min`` or ``max``.

    Found are tuples of the keys, each with a dict of the values.
    """

    keys: tuple[str, ...]
    values: Mapping[str, str]


@dataclass(frozen=True)
class Ranking:
    """What the order of scores decides; found is a `Ranked` for each problem."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Task:
    """Something that is like nothing else; found is what the function returns."""

    run: Callable[[DataFrame], Any]


Need: TypeAlias = Sums | Ranking | Task
Function: TypeAlias = Callable[..., Any]
"""One of scikit-learn's."""
Options: TypeAlias = dict[str, Any]
Computation: TypeAlias = Generator[Need, Any, Any]


@refused_values()
def run(columns: Columns, computations: Mapping[str, Computation]) -> dict[str, Any]:
    """Compute metrics.

    Parameters
    ----------
    columns : Columns
    computations : mapping of str to generator

    Returns
    -------
    dict of str to object
        In the order of the computations.

    Raises
    ------
    SchemaError
        Where the columns hold values that cannot be scored.
    """
    values: dict[str, Any] = dict.fromkeys(computations)
    needs: dict[str, Need] = {}
    for name, computation in computations.items():
        _advance(name, computation, None, needs, values)
    checks: Sums | None = Sums((), columns.checks)
    while needs or checks:
        sums = [need for need in needs.values() if isinstance(need, Sums)]
        grouped = _grouped(columns.df, [*sums, checks] if checks else sums)
        if checks:
            columns.check(grouped.pop()[0][1])
            checks = None
        rankings = [need for need in needs.values() if isinstance(need, Ranking)]
        ranked = _ranked(columns, rankings)
        current, needs = needs, {}
        for name, need in current.items():
            if isinstance(need, Task):
                found = need.run(columns.df)
            else:
                found = grouped.pop(0) if isinstance(need, Sums) else ranked.pop(0)
            _advance(name, computations[name], found, needs, values)
    return values


def _advance(
    name: str,
    computation: Computation,
    found: Any,
    needs: dict[str, Need],
    values: dict[str, Any],
) -> None:
    try:
        needs[name] = computation.send(found)
    except StopIteration as end:
        values[name] = end.value


def _grouped(df: DataFrame, sums: Sequence[Sums]) -> list[list[tuple[tuple[Any, ...], Any]]]:
    """Run one job, by all keys, and add up what each need has of them."""
    if not sums:
        return []
    keys = list(dict.fromkeys(key for need in sums for key in need.keys))
    texts = list(dict.fromkeys(text for need in sums for text in need.values.values()))
    named = {f"v{i}": text for i, text in enumerate(texts)}
    rows = aggregate(df, keys, named).collect()
    return [_part(need, keys, texts, rows) for need in sums]


def _part(
    need: Sums, keys: Sequence[str], texts: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[tuple[tuple[Any, ...], Any]]:
    places = [keys.index(key) for key in need.keys]
    held = {name: len(keys) + texts.index(text) for name, text in need.values.items()}
    groups: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[place] for place in places), []).append(row)
    if not need.keys:
        groups.setdefault((), [])
    return [
        (key, {name: _joined(need.values[name], at, group) for name, at in held.items()})
        for key, group in groups.items()
    ]


def _joined(text: str, at: int, rows: Sequence[Sequence[Any]]) -> Any:
    values = [row[at] for row in rows if row[at] is not None]
    return _JOINED[text.partition("(")[0]](values) if values else 0


def _ranked(columns: Columns, rankings: Sequence[Ranking]) -> list[list[Ranked]]:
    problems = list(dict.fromkeys(p for ranking in rankings for p in ranking.problems))
    if not problems:
        return [[] for _ in rankings]
    found = dict(zip(problems, rank(columns.df, problems), strict=True))
    return [[found[problem] for problem in ranking.problems] for ranking in rankings]
