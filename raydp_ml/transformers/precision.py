"""Single and double precision: Spark computes in doubles, scikit-learn in the precision of X."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from raydp_ml.exchange.columns import Column

if TYPE_CHECKING:
    from raydp_ml.exchange.data_kinds import Data

__all__ = ["common_dtype", "in_doubles"]


def common_dtype(columns: Sequence[Column]) -> type[np.floating]:
    """Return the type in which scikit-learn computes with the columns of a frame together.

    It is that of the array that pandas makes of them, and values are compared in it.
    """
    kinds = {column.type_name for column in columns}
    small = kinds <= {"float", "tinyint", "smallint", "boolean"}
    return np.float32 if small and "float" in kinds else np.float64


def in_doubles(X: Data) -> Any:
    """Return X with its numbers of half and single precision as doubles of the same value.

    Parameters
    ----------
    X : object
        Whatever scikit-learn takes; that which holds no such numbers is returned as it is.
    """
    if isinstance(X, pd.DataFrame):
        wide = {name: dtype for name, kind in X.dtypes.items() if (dtype := _wider(kind))}
        return X.astype(wide) if wide and X.columns.is_unique else X
    return cast("np.ndarray", X).astype(np.float64) if _wider(getattr(X, "dtype", None)) else X


def _wider(dtype: object) -> object | None:
    """Return the type of doubles that stands for one of less precision; None for any other."""
    if isinstance(dtype, pd.SparseDtype):
        return pd.SparseDtype(np.float64) if _wider(dtype.subtype) else None
    if isinstance(dtype, pd.ArrowDtype):
        narrow = pa.types.is_float16(dtype.pyarrow_dtype) or pa.types.is_float32(
            dtype.pyarrow_dtype
        )
        return pd.ArrowDtype(pa.float64()) if narrow else None
    if isinstance(dtype, pd.Float32Dtype):
        return pd.Float64Dtype()
    narrow = isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8
    return np.dtype(np.float64) if narrow else None
