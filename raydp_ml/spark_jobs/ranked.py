"""What the order of scores decides: areas under curves, and the curves, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exchange.jvm import doubles, java_object
from raydp_ml.exchange.sql_text import aggregate, select, where
from raydp_ml.spark_jobs.expressions import array_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Problem", "Ranked", "rank"]


@dataclass(frozen=True)
class Problem:
    """Positive and negative rows, in the descending order of a score.

    Attributes
    ----------
    entries : tuple of (str, str)
        SQL of what each row brings: a double that is neither null nor NaN, its score, and a
        boolean, whether it is positive; with null it takes no part.
    weight : str
        SQL of a double of at least 0; rows of 0 take no part.
    max_fpr : float, default=1.0
        The part of the negative rows up to which the area is wanted as well.
    points : int, default=0
        At most so many points of the curve are wanted, and the last one.
    """

    entries: tuple[tuple[str, str], ...]
    weight: str
    max_fpr: float = 1.0
    points: int = 0


@dataclass(frozen=True)
class Ranked:
    """What was found of a problem; rows of one score count as one step.

    Attributes
    ----------
    positive, negative : float
        Weights of the rows.
    distinct : int
        How many scores differ.
    area : float
        Under the positive weight passed as a function of the negative weight passed.
    partial : float
        The same, up to `Problem.max_fpr`.
    precision : float
        The sum of each step's positive weight, times the precision after the step.
    curve : ndarray of shape (n_points, 3)
        Scores, descending, and the positive and negative weight of the rows of at least that.
    """

    positive: float
    negative: float
    distinct: int
    area: float
    partial: float
    precision: float
    curve: np.ndarray


def rank(df: DataFrame, problems: Sequence[Problem]) -> list[Ranked]:
    """Rank the rows of each problem.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    problems : sequence of Problem

    Returns
    -------
    list of Ranked
    """
    rows = _rows(df, problems)
    java = java_object(df.sparkSession, "columns.Ranks")
    if java is None:
        return _in_sql(rows, problems)
    limits = np.array([[p.max_fpr, p.points] for p in problems], dtype=">f8")
    packed = doubles(java.run(rows, limits.tobytes()))
    made = []
    for _ in problems:
        positive, negative, distinct, area, partial, precision, count = packed[:7].tolist()
        end = 7 + 3 * int(count)
        curve = packed[7:end].reshape(-1, 3)
        made.append(Ranked(positive, negative, int(distinct), area, partial, precision, curve))
        packed = packed[end:]
    return made


def _rows(df: DataFrame, problems: Sequence[Problem]) -> DataFrame:
    """Lay the problems out as rows: number, score, positive or not, weight."""
    cells = [(i, *entry, p.weight) for i, p in enumerate(problems) for entry in p.entries]
    if len(cells) == 1:
        return select(df, *(f"{x} AS {name}" for name, x in zip("istw", cells[0], strict=True)))
    structs = (f"named_struct('i', {i}, 's', {s}, 't', {t}, 'w', {w})" for i, s, t, w in cells)
    exploded = select(df, f"explode(array({','.join(structs)})) AS v")
    rows = select(exploded, "v.i AS i", "v.s AS s", "v.t AS t", "v.w AS w")
    return where(rows, "t is not null")


def _in_sql(rows: DataFrame, problems: Sequence[Problem]) -> list[Ranked]:
    """Do the same without our Java part: each problem's scores are ordered in one task."""
    weighed = where(rows, "t is not null and w != 0")
    steps = aggregate(weighed, ["i", "s"], {"t": "sum(if(t, w, 0D))", "f": "sum(if(t, 0D, w))"})
    over = "over (partition by i order by s desc)"
    steps = select(
        steps,
        *("i", "s", "t", "f", f"sum(t) {over} AS tp", f"sum(f) {over} AS fp"),
        f"row_number() {over} AS k",
        "sum(f) over (partition by i) AS total",
        "count(1) over (partition by i) AS n",
    )
    limit = f"get({array_of([p.max_fpr for p in problems])}, i) * total"
    width = f"(least(fp, {limit}) - (fp - f))"
    sums = {
        "n": "count(1)",
        "positive": "max(tp)",
        "negative": "max(fp)",
        "area": "sum(f * (tp - t / 2))",
        "partial": f"sum(if(f > 0 and {width} > 0, "
        f"{width} * (tp - t + t * {width} / nullif(f, 0D) / 2), 0D))",
        "precision": "sum(t * tp / (tp + fp))",
    }
    found = {item["i"]: item for item in aggregate(steps, ["i"], sums).collect()}
    curves: dict[int, list[tuple[float, ...]]] = {i: [] for i in range(len(problems))}
    if any(p.points for p in problems):
        points = array_of([p.points for p in problems])
        gap = f"ceil(n / greatest(get({points}, i), 1D))"
        kept = where(steps, f"get({points}, i) > 0 and (k = n or k % {gap} = 0)")
        for point in kept.select("i", "s", "tp", "fp").collect():
            curves[point["i"]].append(tuple(point)[1:])
    made = []
    for i in range(len(problems)):
        curve = np.array(sorted(curves[i], reverse=True), dtype=float).reshape(-1, 3)
        if i not in found:
            made.append(Ranked(0.0, 0.0, 0, 0.0, 0.0, 0.0, curve))
            continue
        row = found[i]
        parts = row["area"], row["partial"], row["precision"]
        made.append(Ranked(row["positive"], row["negative"], row["n"], *parts, curve))
    return made
