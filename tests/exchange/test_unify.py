"""Tables of different schemas are brought to one, by name: pure, beside Ray Data's own answer."""

from __future__ import annotations

import decimal
import itertools

import pyarrow as pa
import pytest
from ray.data._internal.arrow_ops.transform_pyarrow import unify_schemas

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.unify import aligned, unified_schema

TYPES = [
    pa.int8(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.string(),
    pa.large_string(),
    pa.null(),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("us", "UTC"),
    pa.decimal128(10, 2),
    pa.list_(pa.float32()),
    pa.list_(pa.float64()),
    pa.list_(pa.float64(), 3),
]


def schema_of(kind):
    return pa.schema([("x", kind)])


@pytest.mark.parametrize("left", TYPES, ids=str)
def test_types_are_those_of_ray_data(left):
    for right in TYPES:
        schemas = [schema_of(left), schema_of(right)]
        try:
            wanted = unify_schemas(schemas, promote_types=True)
        except pa.ArrowTypeError:
            with pytest.raises(SchemaError, match=r"'x' has one type .*no type in common"):
                unified_schema(schemas, "the data")
        else:
            assert unified_schema(schemas, "the data").equals(wanted)


def test_what_arrow_alone_does_not_merge():
    text = [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
    ]
    for kinds in itertools.permutations(text, 2):
        tables = [
            pa.table({"x": pa.array(["a", None], pa.string()).cast(kind)})
            if not pa.types.is_dictionary(kind)
            else pa.table({"x": pa.array(["a", None]).dictionary_encode().cast(kind)})
            for kind in kinds
        ]
        schema = unified_schema([table.schema for table in tables], "the data")
        for table in tables:
            assert aligned(table, schema, "the data").to_pydict() == {"x": ["a", None]}
    # A column of vectors that are all null has no width of its own.
    widths = [pa.list_(pa.float64(), 0), pa.list_(pa.float64(), 2), pa.null()]
    for kinds in itertools.permutations(widths, 3):
        schema = unified_schema([schema_of(kind) for kind in kinds], "the data")
        assert schema.field("x").type == pa.list_(pa.float64(), 2)
        for kind in kinds:
            table = pa.table({"x": pa.nulls(2, kind)})
            assert aligned(table, schema, "the data").to_pydict() == {"x": [None, None]}


def test_columns_go_by_name_and_a_missing_one_is_null():
    tables = [
        pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}),
        pa.table({"b": ["y"], "a": pa.array([2**40], pa.int64()), "c": [decimal.Decimal("1.5")]}),
    ]
    schema = unified_schema([table.schema for table in tables], "the data")
    assert schema.names == ["a", "b", "c"]
    together = pa.concat_tables([aligned(table, schema, "the data") for table in tables])
    assert together.to_pydict() == {
        "a": [1, 2**40],
        "b": ["x", "y"],
        "c": [None, decimal.Decimal("1.5")],
    }
    assert aligned(tables[0], tables[0].schema, "the data") is tables[0]


def test_metadata_of_a_vector_stays_and_nullability_is_the_weaker():
    strict = pa.schema([pa.field("v", pa.list_(pa.float64(), 2), False, {b"raydp_ml": b"vector"})])
    loose = pa.schema([pa.field("v", pa.list_(pa.float64(), 2)), pa.field("w", pa.int8(), False)])
    for schemas in ([strict, loose], [loose, strict]):
        made = unified_schema(schemas, "the data")
        assert made.field("v").metadata == {b"raydp_ml": b"vector"}
        assert made.field("v").nullable
        assert made.field("w").nullable  # since one has it not


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        (2**53 + 1, pa.int64(), pa.float64()),
        (2**63, pa.uint64(), pa.int64()),
        (300, pa.int64(), pa.int8()),
        (-1, pa.int64(), pa.uint8()),
        ("x", pa.string(), pa.int64()),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value, kind, wanted):
    table = pa.table({"x": pa.array([value], kind)})
    with pytest.raises(SchemaError, match=f"'x' is of type {kind} in a block of the data"):
        aligned(table, schema_of(wanted), "the data")


def test_columns_that_nobody_expects_and_names_twice():
    table = pa.table({"x": [1], "y": [2]})
    with pytest.raises(SchemaError, match=r"holds the columns \['y'\] besides"):
        aligned(table, schema_of(pa.int64()), "the data")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    for schemas in ([twice.schema], [twice.schema, table.schema]):
        with pytest.raises(SchemaError, match=r"Duplicate column names: \['x'\]"):
            unified_schema(schemas, "the data")
