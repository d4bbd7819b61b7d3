"""What the selectors share: they keep some of the columns as they are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from raydp_ml.exchange.columns import quoted
from raydp_ml.transformer import InvertibleTransformer, in_first_place


class Selector(InvertibleTransformer):
    """Mixin of selectors of features."""

    def _inputs(self, names: Sequence[str]) -> list[str]:
        return [quoted(name) for name in names]

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        support = self.get_support()  # type: ignore[attr-defined]
        if not support.any():
            warnings.warn(
                "No features were selected: either the data is too noisy or the selection test "
                "too strict.",
                stacklevel=2,
            )
        return [[x] if kept else [] for x, kept in zip(inputs, support, strict=True)]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        kept = iter(inputs)
        support = self.get_support()  # type: ignore[attr-defined]
        made = [next(kept) if selected else "0.0D" for selected in support]
        return in_first_place(made, len(inputs))
