"""Functions from a struct column to a struct column, batch by batch in Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

Batches = Callable[[Iterator[pa.Array]], Iterator[pa.Array]]


def arrow_udf(df: DataFrame, struct: SparkColumn, batches: Batches, kind: str) -> SparkColumn:
    """Apply a function to a struct of columns.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Whose columns they are.
    struct : Column
    batches : callable
        From an iterator of struct arrays to one of struct arrays as long, annotated as
        ``Iterator[pa.Array]``.
    kind : str
        Spark's type of the result, a struct.
    """
    from pyspark.sql import functions

    if hasattr(functions, "arrow_udf"):
        # PySpark tells the kind of the function by its annotations; its stubs want an argument.
        apply: Any = functions.arrow_udf(batches, kind)  # type: ignore[call-overload]
        return apply(struct)
    # Spark 4.0 has functions of pandas' columns only, which have no null integers or booleans.
    # What they would change is text on its way.
    from pyspark.sql.pandas.types import to_arrow_type

    fields = list(df.select(struct.alias("_")).schema["_"].dataType)  # type: ignore[call-overload]
    sent = functions.struct(
        *(_sent(struct[field.name], field.dataType).alias(field.name) for field in fields)
    )
    types = {field.name: to_arrow_type(field.dataType) for field in fields}
    apply = functions.pandas_udf(_by_pandas(batches, types), kind)  # type: ignore[call-overload]
    return apply(sent)


def _sent(column: SparkColumn, kind: DataType) -> SparkColumn:
    from pyspark.sql.types import ArrayType

    held, text = (
        (kind.elementType, "array<string>") if isinstance(kind, ArrayType) else (kind, "string")
    )
    return column if held.typeName() in {"float", "double", "string"} else column.cast(text)


def _by_pandas(batches: Batches, types: dict[str, pa.DataType]) -> Callable[..., Any]:
    import pandas as pd

    def arrays(frames: Iterator[pd.DataFrame]) -> Iterator[pa.StructArray]:
        for frame in frames:
            columns = [_received(frame[name], kind) for name, kind in types.items()]
            yield pa.StructArray.from_arrays(columns, [*types])

    def function(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for made in batches(arrays(frames)):
            values = zip(made.type, made.flatten(), strict=True)
            yield pd.DataFrame({field.name: _returned(array) for field, array in values})

    # By which PySpark tells the kind of the function; it looks for the names in the module.
    function.__annotations__ = dict.fromkeys(["frames", "return"], Iterator[pd.DataFrame])
    return function


def _received(series: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    made = pa.array(series, from_pandas=True)
    return made if made.type == kind else made.cast(kind)


def _returned(array: pa.Array) -> pd.Series[Any]:
    # (Integers among which there are nulls would be floats.)
    return array.to_pandas(integer_object_nulls=True)
