"""What estimators are given as X and beside it; names for type checkers only.

What an estimator returns for data of several kinds is of the kind of the data, and annotated as
``Any``: of a union, its user would have to exclude the other kinds by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import ray.data
    import scipy.sparse
    from numpy.typing import ArrayLike
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.blocks import Blocks

    Matrix: TypeAlias = np.ndarray | scipy.sparse.csr_array
    """What scikit-learn's checks make of data without names."""

    Frame: TypeAlias = (
        pd.DataFrame
        | pl.DataFrame
        | pl.LazyFrame
        | pa.Table
        | pa.RecordBatch
        | Blocks
        | ray.data.Dataset
    )
    """Data with names of columns, other than in Spark."""

    InMemory: TypeAlias = Frame | ArrayLike | scipy.sparse.sparray | scipy.sparse.spmatrix
    """What is not in Spark."""

    Data: TypeAlias = DataFrame | InMemory
    """X."""

    Values: TypeAlias = str | ArrayLike | pd.Series | pl.Series | pa.Array | pa.ChunkedArray
    """A column beside X: its name, or a value for each row."""

    EvalSets: TypeAlias = (
        DataFrame
        | tuple[DataFrame, str]
        | list[DataFrame | tuple[DataFrame, str | None]]
        | list[tuple[InMemory, Values]]
    )
    """``eval_set``."""
