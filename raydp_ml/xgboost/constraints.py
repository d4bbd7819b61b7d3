"""Constraints of features, found by name or place on the driver: workers could only fail."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.exceptions import SchemaError, name_hint

__all__ = ["constraints_by_place"]

Monotone = Mapping[str, int] | Sequence[int] | str
Interaction = Sequence[Sequence[str | int]] | str


def constraints_by_place(
    monotone: Monotone | None,
    interaction: Interaction | None,
    names: Sequence[str] | None,
    width: int,
) -> dict[str, object]:
    """Return the parameters ``monotone_constraints`` and ``interaction_constraints`` for a booster.

    XGBoost looks names up among those of its own matrix, which cannot bear every name that a
    column may have. Places do not depend on that.

    Parameters
    ----------
    monotone : mapping of str to int, sequence of int, str or None
        For each feature 1 (rising), -1 (falling) or 0; text is a tuple, as XGBoost takes it.
    interaction : sequence of sequences of str or int, str or None
        Features that may meet in a tree, by name or by place; text is JSON of places.
    names : sequence of str or None
        Of the features, None where they have none.
    width : int
        Number of features.

    Returns
    -------
    dict of str to object
        Without those that are None.

    Raises
    ------
    SchemaError
        If a name or place is none of the features'.
    sklearn.utils._param_validation.InvalidParameterError
        For anything else.
    """
    made: dict[str, object] = {}
    if monotone is None and interaction is None:
        return made
    places = None if names is None else {name: place for place, name in enumerate(names)}
    if monotone is not None:
        made["monotone_constraints"] = _monotone(monotone, places, width)
    if interaction is not None:
        what = "interaction_constraints"
        groups = _read(what, json.loads, interaction)
        if not all(_is_sequence(group) for group in groups):
            raise _malformed(what, interaction)
        made[what] = json.dumps([[_place(what, of, places, width) for of in g] for g in groups])
    return made


def _monotone(given: Monotone, places: Mapping[str, int] | None, width: int) -> tuple[int, ...]:
    what = "monotone_constraints"
    if isinstance(given, Mapping):
        signs = [0] * width
        for name, sign in given.items():
            signs[_place(what, name, places, width)] = sign
    else:
        signs = list(_read(what, ast.literal_eval, given))
    if any(not _is_whole(sign) or sign not in (-1, 0, 1) for sign in signs):
        raise _malformed(what, given)
    if len(signs) > width:
        raise SchemaError(
            f"{what} has {len(signs)} values, and there are {width} features. Give one for each, "
            "in their order, or a dict by name."
        )
    return tuple(int(sign) for sign in signs)


def _read(what: str, parse: Callable[[str], object], given: object) -> Sequence[Any]:
    """Return a sequence, given as such or as text."""
    found = given
    if isinstance(given, str):
        try:
            found = parse(given)
        except (ValueError, SyntaxError, TypeError, RecursionError) as error:
            raise _malformed(what, given) from error
    if not _is_sequence(found):
        raise _malformed(what, given)
    return found


def _place(what: str, given: object, places: Mapping[str, int] | None, width: int) -> int:
    if isinstance(given, str):
        if places is None:
            raise SchemaError(
                f"{what} names the feature {given!r}, and the features of this X have no names. "
                "Pass a frame as X, or give places."
            )
        if given not in places:
            raise SchemaError(
                f"{what} names {given!r}, which is not a feature. {name_hint(given, places)}"
            )
        return places[given]
    if not _is_whole(given):
        raise _malformed(what, given)
    if not 0 <= given < width:
        raise SchemaError(
            f"{what} names the place {given}, and there are {width} features, from 0 on."
        )
    return int(given)


def _malformed(what: str, given: object) -> InvalidParameterError:
    wanted = {
        "monotone_constraints": "a dict of feature names, or a sequence, whose values are 1 "
        "(rising), -1 (falling) or 0",
        "interaction_constraints": "a sequence of sequences of features, each by name or by place",
    }[what]
    return InvalidParameterError(f"{what} must be {wanted}. Got {given!r} instead.")


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
