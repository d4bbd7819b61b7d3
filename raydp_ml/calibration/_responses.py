"""What scikit-learn calibrates of a classifier's probabilities, as SQL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import LabelEncoder

from raydp_ml.exceptions import SchemaError
from raydp_ml.model_selection._class_places import aligned


def places_of(known: np.ndarray, classes: np.ndarray) -> list[int]:
    """Return the places, among all classes, of those that a classifier knows.

    Raises
    ------
    ValueError
        As scikit-learn's, for one that is not among them.
    """
    return [int(place) for place in LabelEncoder().fit(classes).transform(known)]


def response(p: str, places: Sequence[int], n_classes: int, method: str) -> str:
    """Give the SQL of what is calibrated: an array of one element of two classes, or one for each.

    Parameters
    ----------
    p : str
        SQL of an array of probabilities.
    places : sequence of int
        See `places_of`.
    n_classes : int
        How many there are in all.
    method : {"sigmoid", "isotonic", "temperature"}

    Raises
    ------
    SchemaError
        For a temperature of some of the classes only.
    """
    if method == "temperature" and len(places) != n_classes:
        raise SchemaError(
            f"A classifier knows {len(places)} of the {n_classes} classes, and method='temperature'"
            " scales the probabilities of all of them. Take folds in each of which all classes "
            "are trained on, such as StratifiedKFold's, or another method."
        )
    return f"slice({p}, 2, 1)" if len(places) == 2 else p


def aligned_response(p: str, places: Sequence[int], n_classes: int) -> str:
    """Do the same for folds that are calibrated together: a class that one lacks has 0."""
    p = aligned(p, places, n_classes)
    return f"slice({p}, 2, 1)" if n_classes == 2 else p
