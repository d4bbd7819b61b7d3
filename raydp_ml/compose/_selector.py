"""`make_column_selector`, and what a Spark DataFrame would be in pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from sklearn import compose

from raydp_ml.base import is_spark
from raydp_ml.exchange.columns import Column, from_spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DTYPES = {
    "tinyint": "int8",
    "smallint": "int16",
    "int": "int32",
    "bigint": "int64",
    "float": "float32",
    "double": "float64",
    "boolean": "bool",
    "date": "datetime64[ns]",
    "timestamp": "datetime64[ns]",
    "timestamp_ntz": "datetime64[ns]",
}


class make_column_selector(compose.make_column_selector):  # noqa: N801
    """Choose columns by type or by name, in a `ColumnTransformer`.

    Parameters
    ----------
    pattern : str, default=None
        A regular expression for names.
    dtype_include, dtype_exclude : column dtype or list of column dtypes, default=None
        As in `pandas.DataFrame.select_dtypes`: of a Spark DataFrame, the types count that its
        columns have in pandas (strings are ``object``, decimals ``float64``).

    See Also
    --------
    sklearn.compose.make_column_selector : The same in memory.
    """

    def __call__(self, df: DataFrame) -> list[str]:
        """Return the names of the chosen columns of a pandas or Spark DataFrame."""
        if is_spark(df):
            df = pandas_template(from_spark_schema(df.schema))
        return super().__call__(df)


def pandas_template(columns: Sequence[Column]) -> pd.DataFrame:
    """Make the frame without rows that pandas would have for columns of Spark."""
    return pd.DataFrame(
        {column.name: pd.Series(dtype=_dtype(column)) for column in columns},
        columns=[column.name for column in columns],
    )


def _dtype(column: Column) -> str:
    return _DTYPES.get(column.type_name, "float64" if column.kind == "decimal" else "object")
