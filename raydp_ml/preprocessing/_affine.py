"""A shift and a division of each feature, and back, as SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raydp_ml.spark_jobs.expressions import number, quotient


def standardized(
    inputs: Sequence[str], center: Iterable[float] | None, scale: Iterable[float] | None
) -> list[list[str]]:
    """Give ``(x - center) / scale`` of each input; None leaves a part out."""
    made = list(inputs)
    if center is not None:
        made = [f"({x} - {number(c)})" for x, c in zip(made, center, strict=True)]
    if scale is not None:
        made = [quotient(x, s) for x, s in zip(made, scale, strict=True)]
    return [[sql] for sql in made]


def restored(
    inputs: Sequence[str], center: Iterable[float] | None, scale: Iterable[float] | None
) -> list[list[str]]:
    """Undo `standardized`."""
    made = list(inputs)
    if scale is not None:
        made = [f"{x} * {number(s)}" for x, s in zip(made, scale, strict=True)]
    if center is not None:
        made = [f"{x} + {number(c)}" for x, c in zip(made, center, strict=True)]
    return [[sql] for sql in made]
