"""Which Spark and Arrow types cross the exchange, and as what: pure functions over schemas."""

from __future__ import annotations

import inspect
import re
import zoneinfo
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError, name_hint

if TYPE_CHECKING:
    from pyspark.sql.types import ArrayType, DataType, StructField, StructType

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


def select_fields(schema: StructType, columns: Sequence[str] | None) -> list[StructField]:
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
        element = cast("ArrayType", data_type).elementType.typeName()
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


def wire_schema(fields: Iterable[StructField], time_zone: str) -> pa.Schema:
    """Arrow schema of what a Spark task sends, its times in the zone of the session."""
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructField, StructType

    plain = StructType([StructField(f.name, f.dataType) for f in fields])
    time_zone = known_zone(time_zone)
    if "timezone" in inspect.signature(to_arrow_schema).parameters:
        return to_arrow_schema(plain, timezone=time_zone)
    made = to_arrow_schema(plain)  # before Spark 4.2, of UTC
    for at, field in enumerate(made):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            made = made.set(at, field.with_type(pa.timestamp(field.type.unit, time_zone)))
    return made


_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d\d))?")


def known_zone(time_zone: str) -> str:
    """Write a time zone of Spark's as pandas knows it.

    Java has more ways to write one ("GMT+8", "Z", "PST"). One that can be written in no other way
    becomes UTC: the instants are the same, and only their display differs.
    """
    if offset := _OFFSET.fullmatch(time_zone):
        sign, hours, minutes = offset.groups()
        return f"{sign}{int(hours):02}:{minutes or '00'}"
    try:
        zoneinfo.ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):  # none of that name, or a name that is no path
        return "UTC"
    return time_zone


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
        A column's type has no counterpart in Spark, or a value would not come out as it is.
    """
    require_unique(table.column_names)
    columns = [
        _as_spark_has_it(table.column(index), field.name)
        for index, field in enumerate(table.schema)
    ]
    return pa.table(columns, names=table.column_names)


def columns_to_check(schema: pa.Schema) -> list[str]:
    """Names of the columns whose types alone do not tell that Spark can hold each value.

    Raises
    ------
    SchemaError
        A column's type has no counterpart in Spark.
    """
    require_unique(schema.names)
    return [field.name for field in schema if _may_lose(field.type, spark_type(field))]


def checked(table: pa.Table) -> pa.Table:
    """Cast the `columns_to_check`, and leave the others as they are.

    Raises
    ------
    SchemaError
        Naming the column and a value that Spark cannot hold.
    """
    for name in columns_to_check(table.schema):
        index = table.schema.get_field_index(name)
        column = _as_spark_has_it(table.column(index), name)
        table = table.set_column(index, table.schema.field(index).with_type(column.type), column)
    return table


def _as_spark_has_it(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    wanted = spark_type(pa.field(name, column.type))
    if pat.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type == wanted:
        return column
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"Column {name!r} of Arrow type {column.type} holds values that Spark, which has "
            f"{wanted} for it, cannot hold exactly: {error}. {_rounding(name, column.type)}"
        ) from error


def _rounding(name: str, kind: pa.DataType) -> str:
    if pat.is_timestamp(kind) and kind.unit == "ns":
        return (
            "Round them before, as in pyarrow.compute.floor_temporal"
            f"(table[{name!r}], unit='microsecond'), or keep them as integers: "
            f"table[{name!r}].cast('int64')."
        )
    return f"Round them before, or cast the column, as in table[{name!r}].cast(type, safe=False)."


_WIDENED = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.date64(): pa.date32(),
}
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_SAME = frozenset(
    [
        *_INTEGERS,
        *(pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.date32()),
        pa.null(),
    ]
)
_SPARK_DIGITS = 38


def spark_type(field: pa.Field) -> pa.DataType:
    """Arrow type, among those that Spark has, that a column crosses as.

    Raises
    ------
    SchemaError
        There is none.
    """
    kind = field.type
    if pat.is_dictionary(kind):
        return spark_type(field.with_type(kind.value_type))
    if kind in _SAME:
        return kind
    if kind in _WIDENED:
        return _WIDENED[kind]
    if pat.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pat.is_fixed_size_binary(kind):
        return pa.binary()
    if _is_list(kind):
        return pa.list_(pa.field("element", spark_type(field.with_type(kind.value_type))))
    if pat.is_struct(kind):
        return pa.struct([inner.with_type(_part_type(field, inner)) for inner in kind])
    if pat.is_decimal(kind):
        # Spark's scale is neither negative nor greater than the precision.
        scale = max(kind.scale, 0)
        digits = max(kind.precision - min(kind.scale, 0), scale)
        if digits <= _SPARK_DIGITS:
            return pa.decimal128(digits, scale)
    raise SchemaError(
        f"Column {field.name!r} has the Arrow type {kind}, for which Spark has no type that this "
        f"package reads. {_remedy(field.name, kind)}, or drop it: "
        f"table.drop_columns([{field.name!r}])."
    )


def _part_type(whole: pa.Field, part: pa.Field) -> pa.DataType:
    return spark_type(pa.field(f"{whole.name}.{part.name}", part.type))


def _is_list(kind: pa.DataType) -> bool:
    # Not lists by view: pyarrow 26 casts them to lists without their elements.
    return bool(pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind))


def _remedy(name: str, kind: pa.DataType) -> str:
    if pat.is_decimal(kind):
        return f"Spark's decimals have {_SPARK_DIGITS} digits; cast it to fewer, or to float64"
    if pat.is_time(kind):
        return f"Cast it to numbers or text, as in table[{name!r}].cast('string')"
    if pat.is_duration(kind):
        return f"Cast it to numbers, as in table[{name!r}].cast('int64')"
    if pat.is_map(kind):
        return "Make columns of the keys that you need"
    if isinstance(kind, pa.BaseExtensionType):
        return f"Take what it is stored as ({kind.storage_type})"
    return "Cast it to a type that Spark has"


def _may_lose(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether the cast can fail for some value of the type."""
    if pat.is_dictionary(kind):
        return _may_lose(kind.value_type, wanted)
    if _is_list(kind):
        return _may_lose(kind.value_type, wanted.value_type)
    if pat.is_struct(kind):
        return any(_may_lose(part.type, wanted.field(part.name).type) for part in kind)
    if pat.is_timestamp(kind):
        return bool(kind.unit != "us")
    return bool(pat.is_date64(kind) or pat.is_decimal256(kind))


VECTOR = {b"raydp_ml": b"vector"}
"""Arrow metadata of a column that was a ``pyspark.ml`` vector, so that it becomes one again."""
