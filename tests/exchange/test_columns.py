"""Which columns are what: pure decisions, without Spark."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import types

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    Column,
    check_alike,
    check_unique,
    from_arrow_schema,
    from_spark_schema,
    pick_columns,
    quoted,
    resolve_columns,
)


def column(name, kind="number", role=None, type_name="double"):
    return Column(name, kind, type_name, {"raydp_ml": {"role": role}} if role else {})


def test_features_are_all_columns_without_another_part():
    columns = [column(name) for name in ("a", "y", "b", "w")]
    roles = resolve_columns(columns, label="y", sample_weight="w")
    assert roles.feature_names == ["a", "b"]
    assert (roles.label, roles.sample_weight, roles.group) == ("y", "w", None)
    assert roles.others == ["y", "w"]


def test_roles_say_what_names_do_not():
    columns = [
        column("y", role="label"),
        column("w", role="sample_weight"),
        column("q", role="group"),
        column("v", "boolean", role="validation"),
        column("id", "string", role="ignore"),
        column("x"),
    ]
    roles = resolve_columns(columns)
    assert roles.feature_names == ["x"]
    assert roles.others == ["y", "w", "q", "v"]


def test_a_name_wins_over_a_role_and_the_holder_of_the_role_is_no_feature():
    columns = [column("y", role="label"), column("z"), column("x")]
    roles = resolve_columns(columns, label="z")
    assert roles.label == "z"
    assert roles.feature_names == ["x"]
    # The label's column serves as the weight here, so that it is the label no more.
    assert resolve_columns(columns, sample_weight="y").label is None


@pytest.mark.parametrize(
    ("columns", "arguments", "text"),
    [
        (
            ["fare", "tip"],
            {"label": "fair"},
            r"no column 'fair'.*label.*mean 'fare'.*\['fare', 'tip'\]",
        ),
        (["a", "a", "b"], {}, r"unique.*more than once: \['a'\]"),
        (["a", "A"], {"fold_case": True}, r"upper from lower case.*\['a'\]"),
        (["y"], {"label": "y"}, r"No feature is left: the columns are \['y'\]"),
        (["a", "b"], {"label": "a", "sample_weight": "a"}, "'a' cannot be label and sample_weight"),
    ],
)
def test_names_that_cannot_be_resolved(columns, arguments, text):
    with pytest.raises(SchemaError, match=text):
        resolve_columns([column(name) for name in columns], **arguments)


@pytest.mark.parametrize(
    ("kind", "type_name", "text"),
    [
        (
            "string",
            "string",
            r"'c' of type string cannot be a feature. Either pass enable_cat.*ignore=\['c'\]",
        ),
        ("time", "timestamp", "'c' of type timestamp .*turn it into numbers"),
        ("other", "map<string,int>", "'c' of type map<string,int> .*select the numbers inside it"),
        ("other", "binary", "'c' of type binary cannot be a feature"),
    ],
)
def test_features_of_types_that_cannot_be_used(kind, type_name, text):
    with pytest.raises(SchemaError, match=text):
        resolve_columns([column("a"), column("c", kind, type_name=type_name)])


def test_a_column_out_of_the_way_may_be_of_any_type():
    columns = [column("a"), column("c", "other", role="ignore", type_name="map")]
    assert resolve_columns(columns).feature_names == ["a"]


def test_categories_are_features_when_allowed():
    columns = [column("a"), column("c", "string"), column("v", "vector")]
    assert resolve_columns(columns, enable_categorical=True).feature_names == ["a", "c", "v"]
    with pytest.raises(SchemaError, match="Either encode it as numbers, or drop it"):
        resolve_columns(columns, supports_categories=False)
    with pytest.raises(SchemaError, match=r"'v' .*select its elements"):
        resolve_columns(columns[::2], supports_arrays=False)


@pytest.mark.parametrize(
    ("role", "kind", "text"),
    [
        ("label", "time", "label column 'p' .*numbers or strings"),
        ("sample_weight", "string", "sample_weight column 'p' .*must hold numbers"),
        ("validation", "number", "validation column 'p' .*booleans"),
    ],
)
def test_a_part_of_the_wrong_type(role, kind, text):
    with pytest.raises(SchemaError, match=text):
        resolve_columns([column("a"), column("p", kind, role=role)])


def test_two_holders_of_a_role():
    columns = [column("a"), column("y", role="label"), column("z", role="label")]
    with pytest.raises(SchemaError, match=r"\['y', 'z'\] all bear the role 'label'.*label='y'"):
        resolve_columns(columns)
    assert resolve_columns(columns, label="z").label == "z"


def test_picking_the_features_seen_in_fit():
    columns = [column("fare"), column("tip"), column("other")]
    assert [item.name for item in pick_columns(columns, ["tip", "fare"], "It")] == ["tip", "fare"]
    with pytest.raises(SchemaError, match=r"It needs the columns \['tips'\].*mean 'tip'"):
        pick_columns(columns, ["tips"], "It")


def test_kinds_of_spark_types():
    from pyspark.ml.linalg import VectorUDT

    wanted = {
        "number": [
            types.ByteType(),
            types.ShortType(),
            types.IntegerType(),
            types.LongType(),
            types.FloatType(),
            types.DoubleType(),
        ],
        "boolean": [types.BooleanType()],
        "decimal": [types.DecimalType(10, 2)],
        "string": [types.StringType(), types.VarcharType(3), types.CharType(3)],
        "array": [types.ArrayType(types.FloatType()), types.ArrayType(types.LongType())],
        "vector": [VectorUDT()],
        "time": [
            types.DateType(),
            types.TimestampType(),
            types.TimestampNTZType(),
            types.DayTimeIntervalType(),
        ],
        "other": [
            types.MapType(types.StringType(), types.LongType()),
            types.StructType([types.StructField("x", types.LongType())]),
            types.BinaryType(),
            types.ArrayType(types.StringType()),
            types.NullType(),
        ],
    }
    for kind, items in wanted.items():
        schema = types.StructType(
            [types.StructField(f"c{i}", item) for i, item in enumerate(items)]
        )
        assert [item.kind for item in from_spark_schema(schema)] == [kind] * len(items)


def test_kinds_of_arrow_types():
    wanted = {
        "number": [pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.null()],
        "boolean": [pa.bool_()],
        "decimal": [pa.decimal128(10, 2)],
        "string": [pa.string(), pa.large_string(), pa.string_view()],
        "category": [pa.dictionary(pa.int8(), pa.string())],
        "array": [pa.list_(pa.float32()), pa.large_list(pa.int8())],
        "vector": [pa.list_(pa.float64(), 3)],
        "time": [pa.date32(), pa.timestamp("us"), pa.duration("s")],
        "other": [pa.map_(pa.string(), pa.int8()), pa.binary(), pa.list_(pa.string())],
    }
    for kind, items in wanted.items():
        schema = pa.schema([(f"c{i}", item) for i, item in enumerate(items)])
        assert [item.kind for item in from_arrow_schema(schema)] == [kind] * len(items)


def test_quoting_and_case():
    assert quoted("a.b c`d") == "`a.b c``d`"
    check_unique(["a", "A"])


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("number", "decimal", True),
        ("boolean", "number", True),
        ("string", "category", True),
        ("category", "number", True),
        ("array", "vector", True),
        ("number", "string", False),
        ("number", "vector", False),
        ("vector", "number", False),
        ("vector", "string", False),
    ],
)
def test_evaluation_sets_have_columns_of_the_same_kind(first, second, alike):
    given = [column("c", second, type_name="its type")], [column("c", first, type_name="theirs")]
    if alike:
        check_alike(*given, "evaluation set 0")
    else:
        text = "'c' of the evaluation set 0 is of type its type, and in the training .* theirs"
        with pytest.raises(SchemaError, match=text):
            check_alike(*given, "evaluation set 0")
