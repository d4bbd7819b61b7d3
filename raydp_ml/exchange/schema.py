"""Which Spark and Arrow types cross the exchange, and as what: pure functions over schemas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raydp_ml.exceptions import SchemaError, name_hint

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType

_NUMERIC = frozenset(["byte", "short", "integer", "long", "float", "double"])
_SCALARS = _NUMERIC | frozenset(
    ["boolean", "string", "char", "varchar", "date", "timestamp", "timestamp_ntz", "binary"]
)
_ROW_REMEDY = "drop it, or select its parts as columns of their own"
_REMEDIES = {
    "map": "select the keys that you need, as in df.select(df.m['key'].alias('key'))",
    "struct": "select its fields, as in df.select('s.*')",
    "variant": "extract values with variant_get",
    "void": "cast it to a type, as in df.withColumn('c', col('c').cast('double'))",
}


def is_vector(data_type: DataType) -> bool:
    """Whether a Spark type is ``pyspark.ml``'s (or mllib's) vector."""
    return type(data_type).__name__ == "VectorUDT"


def require_unique(names: Iterable[str]) -> None:
    """Raise `SchemaError` where two columns bear one name (Spark allows it; Arrow users do not)."""
    seen: set[str] = set()
    twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if twice:
        raise SchemaError(
            f"Duplicate column names: {sorted(set(twice))}. Each column needs a name of its own: "
            "rename or drop one, as in df.toDF(*new_names) or df.drop(other.column)."
        )


def select_fields(schema: StructType, columns: Sequence[str] | None) -> list[Any]:
    """Fields of the columns to export, checked.

    Raises
    ------
    SchemaError
        A column is missing or duplicated, or its type cannot cross the exchange.
    """
    require_unique(schema.names if columns is None else columns)
    if columns is None:
        fields = list(schema.fields)
    else:
        # With duplicates among other columns, only those asked for must be unambiguous.
        for name in columns:
            if schema.names.count(name) > 1:
                require_unique(schema.names)
            if name not in schema.names:
                raise SchemaError(
                    f"Column {name!r} does not exist. {name_hint(name, schema.names)}"
                )
        fields = [schema[name] for name in columns]
    if not fields:
        raise SchemaError(
            f"There are no columns to copy. {name_hint('', schema.names)} Choose at least one."
        )
    for field in fields:
        _require_supported(field.name, field.dataType)
    return fields


def _require_supported(name: str, data_type: DataType) -> None:
    kind = data_type.typeName()
    if kind in _SCALARS or kind == "decimal" or is_vector(data_type):
        return
    if kind == "array":
        element = data_type.elementType.typeName()  # type: ignore[attr-defined]
        if element in _NUMERIC or element == "decimal":
            return
        raise SchemaError(
            f"Column {name!r} is an array of {element}, and only arrays of numbers cross to Arrow "
            "blocks. Explode it, or turn its elements into numbers."
        )
    raise SchemaError(
        f"Column {name!r} has type {data_type.simpleString()}, which cannot cross to Arrow "
        f"blocks; {_REMEDIES.get(kind, _ROW_REMEDY)}."
    )


def wire_schema(fields: Iterable[Any], time_zone: str) -> pa.Schema:
    """Arrow schema of the stream that a Spark task sends (vectors are lists in it)."""
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import ArrayType, DoubleType, StructField, StructType

    plain = StructType(
        [
            StructField(
                f.name, ArrayType(DoubleType(), False) if is_vector(f.dataType) else f.dataType
            )
            for f in fields
        ]
    )
    return to_arrow_schema(plain, timezone=time_zone)


def fixed_size(column: pa.ChunkedArray, name: str, width: int | None) -> pa.ChunkedArray:
    """Turn lists of equal length (the vectors of ``pyspark.ml``) into fixed-size lists.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of list
        Null where a vector is null.
    name : str
        For the error's text.
    width : int or None
        The length that other parts of the column have, if known.

    Raises
    ------
    SchemaError
        The vectors differ in length.
    """
    import pyarrow.compute as pc

    lengths = pc.unique(pc.list_value_length(column).drop_null()).to_pylist()
    widths = sorted({*lengths, *([] if width is None else [width])})
    if len(widths) > 1:
        raise SchemaError(
            f"The vectors of column {name!r} differ in length ({widths[:5]}): fixed-size lists "
            "need one length. Pad them, or use an array column."
        )
    size = widths[0] if widths else 0
    kind = pa.list_(pa.field("element", column.type.value_type), size)
    # The cast handles null vectors; an all-null or empty chunk casts to any width.
    return column.cast(kind)


def spark_ready(table: pa.Table) -> pa.Table:
    """Cast what Spark has no type for to the nearest type that it has, losing no value.

    Raises
    ------
    SchemaError
        A column's type has no counterpart in Spark.
    """
    require_unique(table.column_names)
    columns = [
        _decoded(table.column(i)).cast(_spark_type(field.name, field.type))
        for i, field in enumerate(table.schema)
    ]
    return pa.table(columns, names=table.column_names)


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


_WIDENED = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.date64(): pa.date32(),
}
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_SAME = frozenset(
    [*_INTEGERS, pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.date32()]
)


def _spark_type(name: str, kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _spark_type(name, kind.value_type)
    if kind in _SAME or pa.types.is_decimal128(kind):
        return kind
    if kind in _WIDENED:
        return _WIDENED[kind]
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", _spark_type(name, kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_spark_type(name, field.type)) for field in kind])
    raise SchemaError(
        f"Column {name!r} has the Arrow type {kind}, for which Spark has no type. Cast it, or drop "
        "it, as in table.drop_columns([...])."
    )


VECTOR = {b"raydp_ml": b"vector"}
"""Arrow metadata of a column that was a ``pyspark.ml`` vector, so that it becomes one again."""
