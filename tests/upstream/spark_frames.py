"""The arrays and frames of upstream's tests as Spark DataFrames, and what comes of those as arrays.

Each row has a number, in a column that is no feature, so that the rows come back in their order.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

import raydp_ml

ROW = "__row"
LABEL = "__label"
WEIGHT = "__weight"

_JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-DontCompileHugeMethods"]

_SIGNED = {"uint8": "int16", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


@cache
def session():
    """Return a Spark of one thread whose JVM compiles quickly rather than well."""
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.extraJavaOptions", " ".join(_JVM))
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    return spark


def names_of(X):
    """Return the names of the columns of `X`: its own, or those that scikit-learn makes up."""
    if isinstance(X, pd.DataFrame):
        return list(X.columns)
    return [f"x{index}" for index in range(X.shape[1])]


def as_table(X):
    """Return the columns of `X` as an Arrow table; None for what Spark has no columns for."""
    if isinstance(X, (list, tuple)):
        X = _as_array(X)
    if isinstance(X, pd.DataFrame):
        columns = [X.iloc[:, index] for index in range(X.shape[1])]
        if not all(isinstance(name, str) for name in X) or len(set(map(str.lower, X))) < len(
            X.columns
        ):
            return None
    elif type(X) in {np.ndarray, np.memmap} and X.ndim == 2:
        columns = list(X.T)
    else:
        return None
    made = [_as_column(column) for column in columns]
    if not made or any(column is None for column in made):
        return None
    return pa.table(made, names=names_of(X))


def _as_array(X):
    try:
        array = np.asarray(X)
    except ValueError:  # rows of several lengths
        return None
    # Among strings NumPy makes strings of numbers, where scikit-learn keeps them apart.
    return np.asarray(X, dtype=object) if array.dtype.kind in "US" else array


def _as_column(values):
    if isinstance(values, pd.Series):
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.cat.categories.dtype)
        if not isinstance(values.dtype, np.dtype):
            try:
                return pa.array(values)
            except pa.ArrowException:
                return None
        values = values.to_numpy()
    kind = values.dtype.kind
    if kind in "iufb":
        if values.dtype.itemsize > 8 or values.dtype == np.float16:
            return None
        return pa.array(values.astype(_SIGNED.get(values.dtype.name, values.dtype)))
    if kind == "U":
        return pa.array(values.tolist(), pa.string())
    if kind != "O":
        return None
    items = values.tolist()
    if any(isinstance(item, str) for item in items):
        items = [None if item is pd.NA or item != item else item for item in items]
    elif all(item is None for item in items):
        return None
    try:
        made = pa.array(items)
    except (pa.ArrowException, OverflowError):
        return None
    types = pa.types
    known = (
        types.is_integer(made.type) or types.is_floating(made.type) or types.is_boolean(made.type)
    )
    return made if known or types.is_string(made.type) else None


def as_frame(table, **others):
    """Send a table to Spark, with more columns, by their roles, that are no features."""
    table = table.append_column(ROW, pa.array(np.arange(table.num_rows)))
    for name, values in others.items():
        table = table.append_column(name, values)
    df = session().createDataFrame(table)
    return raydp_ml.set_roles(df, ignore=ROW)


def as_vectors(X):
    """Send a sparse matrix to Spark, as one column of vectors."""
    from pyspark.ml.linalg import Vectors

    X = sparse.csr_array(X)
    X.sort_indices()
    rows = []
    for row in range(X.shape[0]):
        held = slice(X.indptr[row], X.indptr[row + 1])
        vector = Vectors.sparse(X.shape[1], X.indices[held].tolist(), X.data[held].tolist())
        rows.append((vector, row))
    df = session().createDataFrame(rows, ["x", ROW])
    return raydp_ml.set_roles(df, ignore=ROW)


def collected(df):
    """Collect what a transformer made: a sparse matrix of vectors, an array of anything else."""
    from raydp_ml.exchange.schema import is_vector

    df = df.drop(LABEL, WEIGHT)
    names = [name for name in df.columns if name != ROW]
    vectors = [name for name in names if is_vector(df.schema[name].dataType)]
    if vectors:
        rows = sorted(df.collect(), key=lambda row: row[ROW])
        parts = [_stacked(rows, name, name in vectors) for name in names]
        return sparse.hstack(parts, format="csr")
    table = df.toArrow().sort_by(ROW).drop_columns(ROW)
    columns = [_as_values(column) for column in table.columns]
    if not columns:
        return np.empty((table.num_rows, 0))
    kinds = {column.dtype.kind for column in columns}
    if "O" in kinds and len(kinds) > 1:
        columns = [column.astype(object) for column in columns]
    return np.column_stack(columns)


def _stacked(rows, name, is_vector):
    if not is_vector:
        return sparse.csr_matrix([[float(row[name])] for row in rows])
    made = [row[name] for row in rows]
    data, indices, ends = [], [], [0]
    for vector in made:
        held = vector if hasattr(vector, "indices") else _sparse(vector)
        data += list(held.values)
        indices += list(held.indices)
        ends.append(len(indices))
    width = len(made[0]) if made else 0
    return sparse.csr_matrix((data, indices, ends), shape=(len(made), width), dtype=np.float64)


def _sparse(vector):
    from pyspark.ml.linalg import Vectors

    values = vector.toArray()
    places = np.flatnonzero(values)
    return Vectors.sparse(len(values), places.tolist(), values[places].tolist())


def _as_values(column):
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    if pa.types.is_boolean(column.type) and column.null_count:
        return np.array(column.to_pylist(), dtype=object)
    return column.to_numpy()
