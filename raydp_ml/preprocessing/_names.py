"""Names of outputs that Spark can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.base import folds_case

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["DistinctNames", "distinct"]


class DistinctNames:
    """Mixin of transformers whose output names are made of values of the data.

    Names that are alike to Spark, which does not tell upper from lower case, cannot be used in a
    DataFrame. What was fitted on one that would have such, and only that, has other names than
    scikit-learn's, in memory as well, so that the next step finds its features in both.
    """

    _distinct_names = False

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return the names of the outputs: scikit-learn's, told apart where Spark needs it."""
        names = super().get_feature_names_out(input_features)  # type: ignore[misc]
        return np.array(distinct(names), dtype=object) if self._distinct_names else names

    def _tell_names_apart(self, df: DataFrame) -> None:
        """Note, at the end of a fit on `df`, whether the names need it."""
        self.__dict__.pop("_distinct_names", None)
        fold = str.lower if folds_case(df) else str
        names = [fold(name) for name in self.get_feature_names_out()]
        if len(set(names)) < len(names):
            self._distinct_names = True


def distinct(names: Sequence[str]) -> list[str]:
    """Add ``_2``, ``_3``, ... to names that equal an earlier one but for upper and lower case."""
    given = {name.lower() for name in names}
    taken: set[str] = set()
    made = []
    for name in names:
        new, count = name, 1
        while new.lower() in taken or (count > 1 and new.lower() in given):
            count += 1
            new = f"{name}_{count}"
        taken.add(new.lower())
        made.append(new)
    return made
