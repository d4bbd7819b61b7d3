"""Which Arrow types go to Spark, as which, and which values are refused: pure."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.schema import checked, columns_to_check, known_zone, spark_ready

NS = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("kind", "wanted", "values"),
    [
        (pa.uint8(), pa.int16(), [255, None]),
        (pa.uint16(), pa.int32(), [2**16 - 1, None]),
        (pa.uint32(), pa.int64(), [2**32 - 1, None]),
        (pa.uint64(), pa.decimal128(20, 0), [2**64 - 1, None]),
        (pa.float16(), pa.float32(), [0.5, None]),
        (pa.large_string(), pa.string(), ["a", None]),
        (pa.string_view(), pa.string(), ["a", None]),
        (pa.large_binary(), pa.binary(), [b"a", None]),
        (pa.binary_view(), pa.binary(), [b"a", None]),
        (pa.binary(2), pa.binary(), [b"ab", None]),
        (pa.date64(), pa.date32(), [datetime.date(2020, 2, 29), None]),
        (pa.timestamp("s"), pa.timestamp("us"), [datetime.datetime(2020, 1, 1), None]),
        (pa.decimal256(38, 2), pa.decimal128(38, 2), [decimal.Decimal("1.25"), None]),
        (pa.decimal64(10, 2), pa.decimal128(10, 2), [decimal.Decimal("1.25"), None]),
        (pa.large_list(pa.int32()), pa.list_(pa.field("element", pa.int32())), [[1], None]),
        (pa.list_(pa.uint8(), 2), pa.list_(pa.field("element", pa.int16())), [[1, 2], None]),
        (pa.null(), pa.null(), [None, None]),
        (pa.struct([("t", pa.uint8())]), pa.struct([("t", pa.int16())]), [{"t": 1}, None]),
    ],
    ids=str,
)
def test_types_that_go_over(kind, wanted, values):
    table = spark_ready(pa.table({"x": pa.array(values, kind)}))
    assert table.schema.field("x").type == wanted
    assert table.column("x").to_pylist() == values


def test_dictionaries_are_decoded_also_of_times():
    text = pa.array(["a", None, "a"]).dictionary_encode()
    times = pa.array([NS - 789, None, NS - 789], pa.timestamp("ns")).dictionary_encode()
    table = spark_ready(pa.table({"text": text, "times": times}))
    assert table.schema.types == [pa.string(), pa.timestamp("us")]
    assert table.column("text").to_pylist() == ["a", None, "a"]
    assert table.column("times").cast(pa.int64()).to_pylist() == [NS // 1000, None, NS // 1000]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (pa.time64("us"), r"table\['x'\]\.cast\('string'\)"),
        (pa.time32("s"), r"table\['x'\]\.cast\('string'\)"),
        (pa.duration("s"), r"table\['x'\]\.cast\('int64'\)"),
        (pa.decimal256(50, 2), "38 digits; cast it to fewer, or to float64"),
        (pa.decimal128(38, -2), "38 digits"),
        (pa.map_(pa.string(), pa.int64()), "columns of the keys"),
        (pa.list_view(pa.int64()), "Cast it to a type that Spark has"),
        (pa.month_day_nano_interval(), "Cast it"),
        (pa.uuid(), r"stored as \(fixed_size_binary\[16\]\)"),
        (pa.list_(pa.duration("s")), "cast"),
        (pa.dictionary(pa.int8(), pa.time64("ns")), "cast"),
    ],
    ids=str,
)
def test_types_that_spark_has_not(kind, remedy):
    table = pa.table({"x": pa.nulls(1, kind)})
    for function in (spark_ready, checked, lambda t: columns_to_check(t.schema)):
        with pytest.raises(SchemaError, match=f"'x'.*for which Spark has no type.*{remedy}"):
            function(table)
    inner = pa.table({"s": pa.nulls(1, pa.struct([("x", kind)]))})
    with pytest.raises(SchemaError, match=r"'s\.x'"):
        spark_ready(inner)


def test_nanoseconds_go_over_where_they_are_whole_microseconds():
    kind = pa.timestamp("ns", "UTC")
    even = pa.table({"n": [1, 2], "t": pa.array([NS - 789, None], kind)})
    made = checked(even)
    assert made.schema.types == [pa.int64(), pa.timestamp("us", "UTC")]
    assert made.column("t").cast(pa.int64()).to_pylist() == [NS // 1000, None]
    odd = pa.table({"t": pa.array([None, NS], kind)})
    nested = pa.table({"t": pa.array([[NS]], pa.list_(pa.timestamp("ns")))})
    part = pa.table({"t": pa.array([{"a": NS}], pa.struct([("a", pa.timestamp("ns"))]))})
    for table in (odd, nested, part, pa.table({"t": odd.column("t").dictionary_encode()})):
        assert columns_to_check(table.schema) == ["t"]
        with pytest.raises(SchemaError, match=f"'t'.*cannot hold exactly.*lose data: {NS}"):
            checked(table)
    with pytest.raises(SchemaError, match=r"floor_temporal\(table\['t'\], unit='microsecond'\)"):
        checked(odd)


def test_other_times_that_do_not_fit():
    late = pa.table({"t": pa.array([2**60], pa.timestamp("s"))})
    noon = pa.table({"t": pa.array([86_400_001], pa.int64()).cast(pa.date64(), safe=False)})
    assert columns_to_check(late.schema) == columns_to_check(noon.schema) == ["t"]
    with pytest.raises(SchemaError, match=r"'t'.*out of bounds"):
        checked(late)
    with pytest.raises(SchemaError, match=r"'t'.*lose data"):
        checked(noon)


def test_tables_that_need_no_look_are_left_alone():
    table = pa.table({"a": [1], "b": pa.array(["x"]).dictionary_encode(), "c": [[1.5]]})
    assert columns_to_check(table.schema) == []
    assert checked(table) is table


@pytest.mark.parametrize(
    ("java", "known"),
    [
        ("GMT+8", "+08:00"),
        ("UTC-3", "-03:00"),
        ("UT+01:30", "+01:30"),
        ("+8", "+08:00"),
        ("+0530", "+05:30"),
        ("-09:45", "-09:45"),
        ("Z", "UTC"),
        ("UT", "UTC"),
        ("PST", "UTC"),
        ("+05:30:15", "UTC"),
        ("../etc/passwd", "UTC"),
        *((name, name) for name in ("UTC", "GMT", "EST", "Asia/Kolkata", "Etc/GMT+5", "GMT0")),
    ],
)
def test_zones_as_pandas_knows_them(java, known):
    """The same wall clock as Java's, or that of UTC; and one that pandas can show."""
    assert known_zone(java) == known
    shown = pa.array([0], pa.timestamp("us", known)).to_pandas()[0]
    offsets = {"+": 1, "-": -1}
    if known[0] in offsets:
        hours, minutes = map(int, known[1:].split(":"))
        away = datetime.timedelta(hours=hours, minutes=minutes) * offsets[known[0]]
        assert shown.tz_localize(None).to_pydatetime() == datetime.datetime(1970, 1, 1) + away
    assert shown.timestamp() == 0
