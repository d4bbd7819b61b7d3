"""pandas frames as Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from raydp_ml.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = ["pandas_table", "plain_columns"]


def pandas_table(frame: pd.DataFrame) -> pa.Table:
    """Return a pandas frame as an Arrow table.

    Raises
    ------
    SchemaError
        For a column of values that Arrow has no one type for.
    """
    try:
        return pa.Table.from_pandas(plain_columns(frame), preserve_index=False)
    except (ValueError, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()].unique().tolist()
            raise SchemaError(
                f"The pandas DataFrame has several columns named {twice[:5]}. Rename them."
            ) from error
        raise SchemaError(
            f"The pandas DataFrame holds a column that Arrow cannot take: {error}. "
            "Give each column values of one type."
        ) from error


def plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a pandas frame with what Arrow has no type for as what it has.

    Sparse columns become dense ones, which hold their fill value; ``pyspark.ml`` vectors, as
    ``toPandas`` leaves them, become arrays.
    """
    made = {}
    for place, kind in enumerate(frame.dtypes):
        column = frame.iloc[:, place]
        if type(kind).__name__ == "SparseDtype":
            made[place] = column.sparse.to_dense()
        elif kind.kind == "O" and _is_vector(column.dropna().head(1)):
            made[place] = column.map(lambda x: x.toArray() if _is_vector([x]) else None)
    if not made:
        if frame.attrs:  # of which Arrow makes JSON, or warns: Spark Connect leaves objects there
            frame = frame.copy(deep=False)
            frame.attrs = {}
        return frame
    import pandas as pd

    columns = [made.get(place, frame.iloc[:, place]) for place in range(frame.shape[1])]
    joined = pd.concat(columns, axis=1)
    joined.attrs = {}
    return joined


def _is_vector(values: Iterable[object]) -> bool:
    return any(type(value).__module__ == "pyspark.ml.linalg" for value in values)
