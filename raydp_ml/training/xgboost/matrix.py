"""From an Arrow table to what XGBoost takes: one set of plain functions for train and predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydp_ml.training.rows.layout import (
    SPARSE,
    Layout,
    as_numbers,
    encode,
    one_array,
    vector_matrix,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# XGBoost refuses these in the names of features.
_ILLEGAL = str.maketrans({"[": "(", "]": ")", "<": "("})


def features_of(
    table: pa.Table, layout: Layout, as_codes: bool = False
) -> np.ndarray | csr_array | pa.Table:
    """Return the features of a table in a form that XGBoost takes.

    Parameters
    ----------
    table : pyarrow.Table of n rows
    layout : Layout
    as_codes : bool, default=False
        Whether categories are their places in the dictionary alone.

    Returns
    -------
    ndarray of shape (n, n_features), scipy.sparse.csr_array, or pyarrow.Table
        Nulls are missing values in each of them; a category that is not in the dictionary is
        missing too.
    """
    if layout.sparse is not None:
        return _sparse_matrix(table, layout.sparse)
    if len(layout.features) == 1 and layout.features[0].kind == "vector":
        feature = layout.features[0]
        return vector_matrix(one_array(table.column(feature.name)), feature)
    arrays: list[pa.Array] = []
    names: list[str] = []
    for feature in layout.features:
        column = one_array(table.column(feature.name))
        if feature.kind == "category":
            codes = encode(column, feature)
            arrays.append(codes.indices if as_codes else codes)
        elif feature.kind == "vector":
            matrix = vector_matrix(column, feature)
            arrays.extend(pa.array(np.ascontiguousarray(values)) for values in matrix.T)
        else:
            arrays.append(as_numbers(column))
        names.extend(feature.names)
    return pa.table(arrays, names=booster_names(names))


def booster_names(names: list[str] | None) -> list[str] | None:
    """Return the names as XGBoost allows them: without the characters ``[ ] <``."""
    if names is None:
        return None
    legal = [name.translate(_ILLEGAL) for name in names]
    # Two names that became equal would make XGBoost refuse the data.
    return legal if len(set(legal)) == len(legal) else [f"f{i}" for i in range(len(names))]


def _sparse_matrix(table: pa.Table, width: int) -> csr_array:
    from scipy.sparse import csr_array

    indices, values = (one_array(table.column(name)) for name in SPARSE)
    counts = pc.list_value_length(indices).to_numpy(zero_copy_only=False)
    pointers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return csr_array(
        (
            values.flatten().to_numpy(zero_copy_only=False),
            indices.flatten().to_numpy(zero_copy_only=False),
            pointers,
        ),
        shape=(len(table), width),
    )
