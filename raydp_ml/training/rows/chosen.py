"""Rows to train on and rows marked for validation: two data sets in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydp_ml.training.rows.layout import one_array


@dataclass(frozen=True)
class Chosen:
    """Some rows of a table.

    Attributes
    ----------
    marks : str or None
        A column of booleans, of which null counts as false.
    marked : bool
        Whether the rows that it marks are chosen, or the others.
    weight : str or None
        A column of numbers: rows of weight zero are not chosen. XGBoost counts them when it looks
        for split points, so that a weight of zero would differ from an absent row.
    """

    marks: str | None
    marked: bool = False
    weight: str | None = None

    def rows(self, table: pa.Table) -> pa.Table:
        """Return these rows of a table, which is the table itself where all rows are."""
        mask = self._mask(table)
        return table if mask.all() else table.filter(pa.array(mask))

    def count(self, table: pa.Table) -> int:
        """Return how many these rows are."""
        return int(self._mask(table).sum())

    def span(self, table: pa.Table, start: int, stop: int) -> tuple[int, int]:
        """Return the slice of a table that holds some of these rows.

        Parameters
        ----------
        table : pyarrow.Table
        start, stop : int
            Numbers among these rows.
        """
        places = np.flatnonzero(self._mask(table))[start:stop]
        return int(places[0]), int(places[-1]) + 1

    def _mask(self, table: pa.Table) -> np.ndarray:
        mask = np.ones(len(table), dtype=bool)
        if self.marks is not None:
            marks = pc.fill_null(one_array(table.column(self.marks)), False)
            mask = marks.to_numpy(zero_copy_only=False) == self.marked
        if self.weight is not None:
            weights = one_array(table.column(self.weight)).cast(pa.float64())
            mask = mask & (weights.to_numpy(zero_copy_only=False) != 0)
        return mask
