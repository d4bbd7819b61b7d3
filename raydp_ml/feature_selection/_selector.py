"""What the selectors share: they keep some of the columns as they are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exchange.columns import Column, quoted
from raydp_ml.transformers.base import InvertibleTransformer, in_first_place
from raydp_ml.transformers.vector_features import VectorScaler

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Selector(VectorScaler, InvertibleTransformer):
    """Mixin of selectors of features."""

    _computes = False

    def _inputs(self, columns: Sequence[Column]) -> list[str]:
        return [quoted(column.name) for column in columns]

    def _refusing(self, df: DataFrame, columns: Sequence[Column]) -> DataFrame:
        return df if self._allows_infinite() else super()._refusing(df, columns)

    def _allows_infinite(self) -> bool:
        # scikit-learn's selectors that take missing values look at no values at all.
        return self._allows_missing()

    def _factors(self) -> np.ndarray:
        return self._checked_support().astype(np.float64)

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return [
            [x] if kept else [] for x, kept in zip(inputs, self._checked_support(), strict=True)
        ]

    def _checked_support(self) -> np.ndarray:
        support = self.get_support()  # type: ignore[attr-defined]
        if not support.any():
            warnings.warn(
                "No features were selected: either the data is too noisy or the selection test "
                "too strict.",
                stacklevel=2,
            )
        return support

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        if not inputs:
            raise ValueError(
                f"Found array with 0 feature(s) while a minimum of 1 is required: "
                f"{type(self).__name__} has kept none."
            )
        kept = iter(inputs)
        support = self.get_support()  # type: ignore[attr-defined]
        made = [next(kept) if selected else "0.0D" for selected in support]
        return in_first_place(made, len(inputs))
