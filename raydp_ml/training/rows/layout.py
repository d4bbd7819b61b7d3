"""Which columns of an Arrow table are what, and their values, for training and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.classes import values_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Feature:
    """One feature column of a table.

    Attributes
    ----------
    name : str
    kind : {"number", "category", "vector"}
    width : int
        Number of features that the column holds: 1, or the length of the vectors (-1 while it is
        unknown).
    categories : tuple of str or None
        The one dictionary that every worker and every prediction uses.
    missing : bool
        Whether some of the training data had no value in it; looked for in frames with vectors.
    """

    name: str
    kind: str
    width: int = 1
    categories: tuple[str, ...] | None = None
    missing: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the features that the column holds."""
        if self.kind != "vector":
            return [self.name]
        return [f"{self.name}_{index}" for index in range(self.width)]


@dataclass(frozen=True)
class Layout:
    """Which columns of a table are what.

    Attributes
    ----------
    features : tuple of Feature
    sparse : int or None
        Number of features, where each row is a pair of lists (column indices, values) in the
        columns `SPARSE`. What such a row does not hold is missing. To a model of any other layout
        it is zero.
    named : bool
        Whether the features have names of their own.
    label, weight, group, validation, margin : str or None
        Columns of the table. A label of lists is several targets.
    targets : int
        Length of those lists; 0 for a label of single values, or while it is unknown.
    bounds : bool
        Whether the label is a list of two: a lower bound, and an upper one, which may be infinite.
    """

    features: tuple[Feature, ...]
    sparse: int | None = None
    named: bool = True
    label: str | None = None
    weight: str | None = None
    group: str | None = None
    validation: str | None = None
    targets: int = 0
    margin: str | None = None
    bounds: bool = False

    @property
    def feature_names(self) -> list[str] | None:
        """Names of all features, or None for data without names."""
        if not self.named:
            return None
        return [name for feature in self.features for name in feature.names]

    @property
    def num_features(self) -> int:
        """Number of features."""
        return self.sparse or sum(feature.width for feature in self.features)

    @property
    def has_vectors(self) -> bool:
        """Whether a column of a frame holds several features."""
        return self.named and any(feature.kind == "vector" for feature in self.features)

    @property
    def has_categories(self) -> bool:
        """Whether some features are categories."""
        return any(feature.kind == "category" for feature in self.features)

    def with_features(self, features: list[Feature]) -> Layout:
        """Return the same layout with other features."""
        return replace(self, features=tuple(features))


def check_layout(layout: Layout, n_features: object, names: object) -> None:
    """Check the layout of a model that was read from a file.

    Parameters
    ----------
    layout : Layout
    n_features, names : object
        What the model itself says: an int, and an array or None.

    Raises
    ------
    ValueError
        If the columns are none, or are not those of the model.
    """
    for one in layout.features:
        texts = one.categories or ()
        right = isinstance(one.name, str) and one.kind in {"number", "category", "vector"}
        right &= type(one.width) is int and one.width >= 1
        right &= isinstance(texts, tuple) and all(isinstance(text, str) for text in texts)
        if not right or (one.width != 1 and one.kind != "vector"):
            raise ValueError(f"the feature {str(one)[:200]} is none")
    sparse = layout.sparse is None or (type(layout.sparse) is int and layout.sparse >= 1)
    if not sparse or type(n_features) is not int or n_features != layout.num_features:
        raise ValueError(f"n_features_in_ is {n_features}, of a layout of other features")
    # (Names are made only once their number is known: a vector's width is no more than a number.)
    held = None if names is None else np.asarray(names, dtype=object).tolist()
    if (layout.named is True) != (held is not None) or (held and len(held) != n_features):
        raise ValueError(f"feature_names_in_ are not those of {n_features} features")
    if held is not None and held != layout.feature_names:
        raise ValueError("feature_names_in_ are not those of the layout")


# 64 MB of doubles.
_MOST_CELLS = 1 << 23

SPARSE = ("__indices__", "__values__")


def feature_of(name: str, data_type: pa.DataType) -> Feature:
    """Describe a feature column by its Arrow type.

    Raises
    ------
    SchemaError
        No library has a use for the type.
    """
    if pat.is_dictionary(data_type) or is_text(data_type):
        return Feature(name, "category")
    if is_list(data_type):
        fixed = pat.is_fixed_size_list(data_type)
        return Feature(name, "vector", (data_type.list_size if fixed else 0) or -1)
    if (
        pat.is_integer(data_type)
        or pat.is_floating(data_type)
        or pat.is_boolean(data_type)
        or pat.is_decimal(data_type)
        or pat.is_null(data_type)
    ):
        return Feature(name, "number")
    raise SchemaError(
        f"The column {name!r} of Arrow type {data_type} cannot be a feature. "
        "Cast it to numbers or drop it."
    )


def is_text(data_type: pa.DataType) -> bool:
    """Say whether an Arrow type is one of the string types."""
    return bool(
        pat.is_string(data_type) or pat.is_large_string(data_type) or pat.is_string_view(data_type)
    )


def is_list(data_type: pa.DataType) -> bool:
    """Say whether an Arrow type is one of the list types."""
    return bool(
        pat.is_list(data_type) or pat.is_large_list(data_type) or pat.is_fixed_size_list(data_type)
    )


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array, which may be a slice; a single chunk is not copied."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def as_text(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a category column's values as strings."""
    array = one_array(column)
    if pat.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string())


def encode(column: pa.Array, feature: Feature) -> pa.DictionaryArray:
    """Encode a category column with the feature's own dictionary; unknown values are null."""
    dictionary = pa.array(feature.categories or (), pa.string())
    if pat.is_dictionary(column.type):
        # Few values are looked up instead of one for each row.
        codes = pc.index_in(column.dictionary.cast(pa.string()), dictionary)
        indices = codes.take(column.indices)
    else:
        indices = pc.index_in(column.cast(pa.string()), dictionary)
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def as_numbers(column: pa.Array) -> pa.Array:
    """Return a column in a type of numbers that NumPy and XGBoost have."""
    if pat.is_boolean(column.type):
        return column.cast(pa.uint8())
    if pat.is_decimal(column.type) or pat.is_null(column.type):
        return column.cast(pa.float64())
    # XGBoost takes the address of the buffers, where a slice does not begin.
    return pa.concat_arrays([column]) if column.offset else column


def vector_matrix(column: pa.Array, feature: Feature) -> np.ndarray:
    """Return a column of equally long lists as a matrix; a null list is a row of NaN.

    Parameters
    ----------
    column : pyarrow.Array of n lists
    feature : Feature
        Its width says how long the lists must be.

    Returns
    -------
    ndarray of shape (n, width)
        A view of the column's memory where it has no nulls.

    Raises
    ------
    SchemaError
        A list is longer or shorter.
    """
    rows, width = len(column), feature.width
    if column.null_count == rows:
        return np.full((rows, width), np.nan)
    if pat.is_fixed_size_list(column.type):
        lengths = {column.type.list_size}
        # flatten() would leave out the values of null rows.
        values = column.values.slice(column.offset * column.type.list_size)
        values = values[: rows * column.type.list_size]
    else:
        found = pc.unique(pc.list_value_length(column).drop_null()).to_pylist()
        lengths = set(found)
        if column.null_count and lengths == {width}:
            filler = pa.scalar([None] * width, column.type)
            column = pc.fill_null(column, filler)
        values = column.flatten()
    if lengths != {width}:
        raise SchemaError(
            f"The arrays of the column {feature.name!r} must all have {width} elements, and some "
            f"have {sorted(lengths - {width})[:5]}. Pad or cut them, or drop the column."
        )
    flat = as_numbers(values)
    matrix: np.ndarray = flat.to_numpy(zero_copy_only=False).reshape(rows, width)
    if column.null_count:
        matrix = np.where(column.is_null().to_numpy(zero_copy_only=False)[:, None], np.nan, matrix)
    return matrix


def zero_filled(matrix: csr_array) -> Iterator[np.ndarray]:
    """Yield the rows of a CSR matrix, a few at a time, with zeros where it holds nothing.

    Parameters
    ----------
    matrix : CSR matrix of shape (n, k)

    Yields
    ------
    ndarray of shape (at least 1, k)
    """
    step = max(1, _MOST_CELLS // max(1, matrix.shape[1]))
    for start in range(0, matrix.shape[0], step):
        yield matrix[start : start + step].toarray()


def sparse_table(matrix: csr_array) -> pa.Table:
    """Return a scipy CSR matrix as a table of the two columns `SPARSE`."""
    offsets = pa.array(matrix.indptr.astype(np.int64))
    return pa.table(
        {
            name: pa.LargeListArray.from_arrays(offsets, pa.array(values))
            for name, values in zip(SPARSE, (matrix.indices, matrix.data), strict=True)
        }
    )


def dense_column(matrix: np.ndarray) -> pa.Array:
    """Return a matrix of shape (n, k) as a column of fixed-size lists, without a copy if it can."""
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def label_of(table: pa.Table, layout: Layout, classes: np.ndarray | None) -> np.ndarray | None:
    """Return the labels as XGBoost takes them: numbers, or the positions of the classes.

    Returns
    -------
    ndarray of shape (n,) or (n, n_targets), or None without a label
    """
    if layout.label is None:
        return None
    array = one_array(table.column(layout.label))
    if classes is not None:
        if pat.is_dictionary(array.type) or is_text(array.type):
            array = as_text(array)
        array = pc.index_in(array, values_of(classes, array.type))
    elif is_list(array.type):
        return _lists(array, layout.targets)
    labels: np.ndarray = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return labels


def margin_of(table: pa.Table, layout: Layout) -> np.ndarray | None:
    """Return where the boosting of each row begins.

    Returns
    -------
    ndarray of shape (n,) or (n, n_outputs), or None
    """
    if layout.margin is None:
        return None
    array = one_array(table.column(layout.margin))
    if is_list(array.type):
        return _lists(array)
    margins: np.ndarray = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return margins


def _lists(array: pa.Array, width: int = 0) -> np.ndarray:
    """Return n lists, equally long and without nulls, as a matrix."""
    if not width and pat.is_fixed_size_list(array.type):
        width = array.type.list_size
    elif not width:
        width = len(array.flatten()) // max(1, len(array))
    flat: np.ndarray = as_numbers(array.flatten()).to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), width)
