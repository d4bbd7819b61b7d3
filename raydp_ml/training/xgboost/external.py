"""Rows that a worker does not hold: XGBoost reads them block by block, and keeps bins on disk.

Imported on a worker only, where xgboost is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost

from raydp_ml.exceptions import ResourceError
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.layout import Layout
from raydp_ml.training.rows.ranking_groups import whole_groups
from raydp_ml.training.xgboost.batches import (
    Batch,
    batch_of,
    infinite_columns,
    infinite_values,
    types_of,
)
from raydp_ml.training.xgboost.spec import TrainSpec

Tables = Callable[[], Iterator[pa.Table]]


def external_matrices(
    parts: Sequence[Part], spec: TrainSpec, folder: str
) -> tuple[xgboost.DMatrix, list[xgboost.DMatrix]]:
    """Build the matrix to train on and those to evaluate on.

    Parameters
    ----------
    parts : list of Part
    spec : TrainSpec
    folder : str
        Where the bins go.

    Raises
    ------
    ResourceError
        The disk of `folder` has no room for them.
    """
    _require_room(parts, folder)
    made: list[xgboost.DMatrix] = []
    for index, part in enumerate(parts):
        ref = made[0] if made else None
        tables = partial(_tables, part, spec)
        made.append(_matrix(tables, part.layout, spec, f"{folder}/{index}", ref))
    return made[0], made[1:]


def _tables(part: Part, spec: TrainSpec) -> Iterator[pa.Table]:
    """Yield the rows, those that are ranked together in one table."""
    if spec.task != "ranking":
        return part.tables()
    assert part.layout.group is not None
    return whole_groups(part.tables(), part.layout.group)


def _require_room(parts: Sequence[Part], folder: str) -> None:
    """Raise `ResourceError` where the bins cannot fit: XGBoost ends its process on a full disk."""
    dense = [part for part in parts if part.layout.sparse is None]
    least = sum(part.num_rows() * part.layout.num_features for part in dense)  # a byte a value
    usage = shutil.disk_usage(folder)
    if least > usage.free:
        raise ResourceError(
            f"external_memory=True keeps XGBoost's bins on disk: at least {least / 1e6:,.0f} MB, "
            f"and {os.path.dirname(folder)} has {usage.free / 1e6:,.0f} of "
            f"{usage.total / 1e6:,.0f} MB free. Remove files there, start anew with TMPDIR set to "
            "a folder on a larger disk, or take more workers on more nodes."
        )


def _matrix(
    tables: Tables, layout: Layout, spec: TrainSpec, prefix: str, ref: xgboost.DMatrix | None
) -> xgboost.DMatrix:
    make = partial(batch_of, layout=layout, spec=spec, trains=ref is None)
    settings = {name: spec.matrix[name] for name in ("missing", "enable_categorical", "nthread")}
    try:
        batches = _Batches(tables, make, prefix, types_of(layout, spec, ref))
        matrix = xgboost.ExtMemQuantileDMatrix(batches, **settings, max_bin=spec.max_bin, ref=ref)
    except xgboost.core.XGBoostError as error:
        if "inf" not in str(error):
            raise
        found = [infinite_columns(make(table).features()["data"]) for table in tables()]
        columns = list(dict.fromkeys(chain.from_iterable(found)))
        if not columns:
            raise
        raise infinite_values(columns) from error
    if ref is None and spec.feature_weights is not None:
        matrix.set_info(feature_weights=np.asarray(spec.feature_weights))
    return matrix


class _Batches(xgboost.DataIter):
    """Tables one after the other, as often as XGBoost asks for them."""

    def __init__(
        self, tables: Tables, make: Callable[[pa.Table], Batch], prefix: str, types: Any
    ) -> None:
        self._tables = tables
        self._types = {"feature_types": types}
        self._make = make
        self._rows: Iterator[pa.Table] = iter(())
        self._given = False
        super().__init__(cache_prefix=prefix, on_host=False)

    def reset(self) -> None:
        """Begin again."""
        self._rows = self._tables()
        self._given = False

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Give XGBoost the next table; one without rows where there is no other."""
        last = None
        for table in self._rows:
            last = table
            if len(table):
                break
        if last is None or (self._given and not len(last)):
            return False
        self._given = True
        batch = self._make(last)
        input_data(**self._types, **batch.features(), **batch.weighing, **batch.labels)
        return True
