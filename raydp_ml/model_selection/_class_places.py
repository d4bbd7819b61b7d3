"""Probabilities of classifiers that do not all know each class, as SQL."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

__all__ = ["aligned"]


def aligned(p: str, places: Sequence[int], n_classes: int) -> str:
    """Give the SQL of probabilities of all classes: one that a classifier does not know has 0.

    It warns of such a class in scikit-learn's words.

    Parameters
    ----------
    p : str
        SQL of an array of the probabilities of the classes that it knows.
    places : sequence of int
        Where these are among all classes.
    n_classes : int
        How many there are in all.
    """
    if len(places) == n_classes:
        return p
    warnings.warn(
        f"Number of classes in training fold ({len(places)}) does not match total number of "
        f"classes ({n_classes}). Results may not be appropriate for your use case. To fix "
        "this, use a cross-validation technique resulting in properly stratified folds",
        RuntimeWarning,
        stacklevel=2,
    )
    held = {place: f"element_at({p}, {index + 1})" for index, place in enumerate(places)}
    return f"array({', '.join(held.get(place, '0.0D') for place in range(n_classes))})"
