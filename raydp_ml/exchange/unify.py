"""Tables that should have one schema, and do not: columns matched by name (pure functions).

The types are those that Ray Data itself arrives at: Arrow's permissive promotion, and null where a
table lacks a column. Where Arrow has no common type or a value does not fit, there is an error and
no guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.schema import require_unique


def unified_schema(schemas: Iterable[pa.Schema], what: str) -> pa.Schema:
    """Find the schema that tables of all these schemas can be brought to.

    Parameters
    ----------
    schemas : iterable of pyarrow.Schema
        At least one.
    what : str
        Whose tables they are, for the error.

    Returns
    -------
    pyarrow.Schema
        Columns in the order of their first appearance.

    Raises
    ------
    SchemaError
        A table has two columns of one name, or the types of a column have nothing in common.
    """
    distinct: list[pa.Schema] = []
    for schema in schemas:
        if not any(schema.equals(known, check_metadata=True) for known in distinct):
            require_unique(schema.names)
            distinct.append(schema)
    if len(distinct) == 1:
        return distinct[0]
    names = dict.fromkeys(name for schema in distinct for name in schema.names)
    return pa.schema([_unified_field(name, distinct, what) for name in names])


def _unified_field(name: str, schemas: Sequence[pa.Schema], what: str) -> pa.Field:
    fields = [schema.field(name) for schema in schemas if name in schema.names]
    nullable = len(fields) < len(schemas) or any(field.nullable for field in fields)
    metadata = next((field.metadata for field in fields if field.metadata), None)
    kinds = list(dict.fromkeys(field.type for field in fields))
    # A vector column whose vectors are all null has no width yet.
    known = [kind for kind in kinds if not (pat.is_null(kind) or _is_widthless(kind))]
    kind = _common_type(known or kinds[:1])
    if kind is None:
        raise SchemaError(
            f"The column {name!r} has one type in some blocks of {what} and another in others "
            f"({', '.join(map(str, kinds))}), and these have no type in common. Cast it to one "
            "type where the blocks are made."
        )
    return pa.field(name, kind, nullable, metadata)


def _is_widthless(kind: pa.DataType) -> bool:
    return bool(pat.is_fixed_size_list(kind) and kind.list_size == 0)


def _common_type(kinds: Sequence[pa.DataType]) -> pa.DataType | None:
    # Arrow does not merge a dictionary with what it stands for, nor a view with what it views.
    for candidates in (kinds, [_plain(kind) for kind in kinds]):
        schemas = [pa.schema([("", kind)]) for kind in candidates]
        try:
            return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        except (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None


def _plain(kind: pa.DataType) -> pa.DataType:
    if pat.is_dictionary(kind):
        return _plain(kind.value_type)
    if pat.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pat.is_binary_view(kind) else kind


def aligned(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Bring a table to a schema by the names of its columns, without a copy where they agree.

    Raises
    ------
    SchemaError
        The table has other columns besides, or a value does not fit its column's type.
    """
    if table.schema.equals(schema):
        return table
    require_unique(table.column_names)
    more = [name for name in table.column_names if name not in schema.names]
    if more:
        raise SchemaError(
            f"A block of {what} holds the columns {more} besides those of its schema: "
            f"{schema.names}. Make all blocks of the same columns."
        )
    columns = [_column(table, field, what) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(table: pa.Table, field: pa.Field, what: str) -> pa.ChunkedArray:
    at = table.schema.get_field_index(field.name)
    if at < 0:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    column = table.column(at)
    if column.type == field.type:
        return column
    if column.null_count == len(column):  # some types of nothing but null have no cast
        return pa.chunked_array([pa.nulls(len(column), field.type)])
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise SchemaError(
            f"The column {field.name!r} is of type {column.type} in a block of {what} and becomes "
            f"{field.type} beside the others, which does not hold all of its values ({error}). "
            "Cast it to one type where the blocks are made."
        ) from error
