"""What a Pipeline that is being fitted was told, for its transformers, which it does not tell.

scikit-learn's own Pipeline hands ``model__sample_weight="w"`` to the step `model` alone. In memory
it is an array, which nothing can mistake for a feature; in Spark, a column of the same DataFrame.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FrameType

from sklearn.pipeline import Pipeline

__all__ = ["NAMING", "in_pipeline", "named_for_steps"]

NAMING = ("sample_weight", "base_margin", "group")
"""Arguments of ``fit`` that may name a column, beside the label, which every step is given."""


def named_for_steps() -> set[str]:
    """Return the columns that are named for steps of the Pipelines whose ``fit`` is calling.

    They are features of no step, as if they bore a role.
    """
    return {
        column
        for routed in _routed()
        for methods in routed.values()
        for given in methods.values()
        for name in NAMING
        if isinstance(column := given.get(name), str)
    }


def in_pipeline() -> bool:
    """Say whether the step of a Pipeline is being fitted that another one follows."""
    return next(_routed(), None) is not None


def _routed() -> Iterator[Mapping[str, Mapping[str, Mapping[str, object]]]]:
    """Give what each Pipeline hands to its steps: by step, by method, by parameter."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is Pipeline._fit.__code__:
            yield frame.f_locals["routed_params"]
        frame = frame.f_back
