"""What is made of a booster for the JVM, kept with the booster: made once for many predictions."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import xgboost

T = TypeVar("T")


@dataclass
class _Kept:
    digest: bytes
    made: dict[Hashable, Any] = field(default_factory=dict)


_kept: weakref.WeakKeyDictionary[Any, _Kept] = weakref.WeakKeyDictionary()
# (Weakly: it goes with the booster at the next ``fit``, and no pickle holds it.)


def kept_with(booster: xgboost.Booster, key: Hashable, make: Callable[[], T]) -> T:
    """Return what was made of a booster under a key, and make it if the booster is new or changed.

    Parameters
    ----------
    booster : xgboost.Booster
    key : hashable
    make : callable
    """
    # A booster may be trained on or updated, by its user.
    digest = hashlib.sha256(booster.save_raw("ubj")).digest()
    held = _kept.get(booster)
    if held is None or held.digest != digest:
        held = _kept[booster] = _Kept(digest)
    if key not in held.made:
        held.made[key] = make()
    made: T = held.made[key]
    return made
