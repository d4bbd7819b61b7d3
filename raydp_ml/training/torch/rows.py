"""From Arrow tables to the contiguous arrays that a network reads; NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydp_ml.exceptions import SchemaError, name_hint
from raydp_ml.training.rows.layout import (
    Feature,
    Layout,
    as_numbers,
    encode,
    one_array,
    vector_matrix,
)

# Rows converted at a time: what is written stays in the processor's cache.
_CHUNK = 8192


@dataclass(frozen=True)
class Input:
    """One tensor that the module's ``forward`` takes.

    Attributes
    ----------
    name : str or None
        The name of its argument; None where it is passed by position.
    features : tuple of Feature
        Its columns, side by side.
    dtype : {"float32", "int64"}
        Categories are codes from 1; 0 is an unknown category.
    """

    name: str | None
    features: tuple[Feature, ...]
    dtype: str = "float32"

    @property
    def width(self) -> int:
        """Number of its columns."""
        return sum(feature.width for feature in self.features)


def inputs_of(layout: Layout, groups: Mapping[str, object] | None) -> tuple[Input, ...]:
    """Decide which columns feed which argument of ``forward``.

    Parameters
    ----------
    layout : Layout
        Fitted: with dictionaries and widths.
    groups : mapping of str to (str, list of str, or pair (columns, dtype)), or None
        By default all numbers are one input and all categories another, passed by position.

    Raises
    ------
    SchemaError
        For a column that is not a feature, an input that mixes categories and numbers, or another
        dtype.
    """
    if groups is None:
        numbers = tuple(item for item in layout.features if item.kind != "category")
        codes = tuple(item for item in layout.features if item.kind == "category")
        found = [Input(None, numbers)] if numbers or not codes else [Input(None, ())]
        return (*found, Input(None, codes, "int64")) if codes else tuple(found)
    if not layout.named or not groups:
        raise SchemaError(
            "inputs says which columns feed which argument of the module's forward, and "
            + ("names none." if layout.named else "X has no column names. Pass a frame as X.")
        )
    by_name = {item.name: item for item in layout.features}
    made = []
    for name, given in groups.items():
        columns, dtype = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        names = [columns] if isinstance(columns, str) else columns
        if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
            raise SchemaError(
                f"The input {name!r} must be a column's name, a list of names, or a pair (columns, "
                f"dtype). Got {given!r} instead."
            )
        for column in names:
            if column not in by_name:
                raise SchemaError(
                    f"The input {name!r} of the module asks for the column {column!r}, which is "
                    f"not a feature. {name_hint(column, by_name)}"
                )
        if dtype not in (None, "float32", "int64"):
            raise SchemaError(
                f"The input {name!r} must be of the dtype 'float32' or 'int64'. Got {dtype!r} "
                "instead."
            )
        features = tuple(by_name[column] for column in names)
        kinds = {item.kind == "category" for item in features}
        if len(kinds) > 1:
            raise SchemaError(
                f"The input {name!r} mixes category columns and numbers: {names}. Give each kind "
                "an input of its own."
            )
        made.append(Input(name, features, dtype or ("int64" if kinds == {True} else "float32")))
    return tuple(made)


def arrays_of(table: pa.Table, inputs: Sequence[Input]) -> list[np.ndarray]:
    """Return the features of a table as one contiguous array per input.

    Parameters
    ----------
    table : pyarrow.Table of n rows
    inputs : sequence of Input

    Returns
    -------
    list of ndarray of shape (n, width)
        A null number is NaN, one too large for float32 infinite; an unknown or missing category
        has the code 0.

    Raises
    ------
    SchemaError
        If an array is longer or shorter than those of the training data, or numbers that are to be
        int64 are null or not whole.
    """
    with np.errstate(over="ignore"):
        return [_array_of(table, item) for item in inputs]


def trained_arrays_of(table: pa.Table, inputs: Sequence[Input], named: bool) -> list[np.ndarray]:
    """Return the features of a table without missing or infinite values, as `arrays_of` does.

    They may be the table's own memory: not to be written to, nor given to a module.

    Raises
    ------
    SchemaError
        As `arrays_of`, and for numbers too large for float32.
    """
    try:
        with np.errstate(over="raise"):
            views = [_view(table, item) for item in inputs]
            return [
                _array_of(table, item) if view is None else view
                for item, view in zip(inputs, views, strict=True)
            ]
    except FloatingPointError:
        require_finite(arrays_of(table, inputs), inputs, named)
        raise


def _view(table: pa.Table, item: Input) -> np.ndarray | None:
    """Return the memory of an input that lies there as it is wanted, as a float32 array in X."""
    if len(item.features) != 1 or item.features[0].kind != "vector" or item.dtype != "float32":
        return None
    column = table.column(item.features[0].name)
    if column.num_chunks != 1 or column.type.value_type != pa.float32():
        return None
    matrix = vector_matrix(column.chunk(0), item.features[0])
    return matrix if matrix.dtype == np.float32 and matrix.flags.c_contiguous else None


def _array_of(table: pa.Table, item: Input) -> np.ndarray:
    made = np.empty((table.num_rows, item.width), np.dtype(item.dtype))
    start = 0
    # Blocks differ in where they end; within one, a chunk of every column is at hand.
    columns = table.select([feature.name for feature in item.features])
    for batch in columns.to_batches(max_chunksize=_CHUNK) if item.features else ():
        part = made[start : start + batch.num_rows]
        at = 0
        for feature, column in zip(item.features, batch.columns, strict=True):
            values = _values(column, feature)
            if item.dtype == "int64" and values.dtype.kind == "f":
                _require_whole(values, item)
            part[:, at : at + feature.width] = values
            at += feature.width
        start += batch.num_rows
    return made


def _require_whole(values: np.ndarray, item: Input) -> None:
    bad = np.count_nonzero(~(np.isfinite(values) & (values == np.floor(values))))
    if bad:
        raise SchemaError(
            f"The input {item.name!r} of the module has the dtype int64, and some values of its "
            f"columns are null, infinite or not whole ({bad} of {values.size} that were looked "
            "at). Impute or round them, or give the input the dtype 'float32'."
        )


def _values(column: pa.Array, feature: Feature) -> np.ndarray:
    if feature.kind == "category":
        codes = encode(one_array(column), feature).indices
        codes = pc.add(pc.fill_null(codes, -1), 1)
        places: np.ndarray = codes.to_numpy(zero_copy_only=False)
        return places[:, None]
    if feature.kind == "vector":
        return vector_matrix(column, feature)
    values = as_numbers(column)
    if values.null_count and not pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers[:, None]


def require_finite(
    arrays: Sequence[np.ndarray],
    inputs: Sequence[Input],
    named: bool,
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Raise `SchemaError` for features that no network can use, naming columns and counts.

    Parameters
    ----------
    arrays : sequence of ndarray
        What `arrays_of` returned.
    inputs : sequence of Input
    named : bool
        Whether the features have names of their own.
    aliases : mapping of str to str or None
        The names to show in place of the features' own.
    """
    bad: dict[str, int] = {}
    rows = len(arrays[0]) if arrays else 0
    for array, item in zip(arrays, inputs, strict=True):
        if array.dtype.kind != "f" or _is_finite(array):
            continue
        counts = np.zeros(array.shape[1], dtype=np.int64)
        for start in range(0, rows, _CHUNK):
            counts += (~np.isfinite(array[start : start + _CHUNK])).sum(axis=0)
        shown = [replace(of, name=(aliases or {}).get(of.name, of.name)) for of in item.features]
        labels = [name for feature in shown for name in feature.names]
        for index in np.flatnonzero(counts):
            bad[labels[index] if named else f"feature {index}"] = int(counts[index])
    if bad:
        counted = ", ".join(f"{name!r} ({count})" for name, count in list(bad.items())[:20])
        raise SchemaError(
            f"Null, NaN, infinite or too large for float32, of {rows} rows: {counted}. A network "
            "cannot use such features: impute them (raydp_ml.impute.SimpleImputer), scale them "
            "(raydp_ml.preprocessing.StandardScaler), or drop the rows (df.na.drop())."
        )


def _is_finite(array: np.ndarray) -> bool:
    # A sum is one fast pass without an array of marks; infinities that cancel are NaN.
    with np.errstate(all="ignore"):
        return all(
            np.isfinite(array[start : start + _CHUNK].sum(dtype=np.float64))
            for start in range(0, len(array), _CHUNK)
        )
