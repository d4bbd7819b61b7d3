"""Rows in = rows out, bit by bit, over both paths and in both directions.

The independent answer is Spark's own collect().
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import os
import threading

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
import ray

from raydp_ml import from_spark, to_spark
from raydp_ml.exceptions import DataLostError, SchemaError
from raydp_ml.exchange.blocks import Blocks, put_table
from raydp_ml.exchange.blocks_to_spark import import_data
from raydp_ml.exchange.dataset_blocks import from_dataset
from raydp_ml.exchange.spark_to_blocks import export
from raydp_ml.training.rows.blocks_io import read_shard
from tests.session.conftest import eventually

ALL_MODES = pytest.mark.modes("local", "standalone", "native", "own")
BOTH_PATHS = pytest.mark.parametrize("use_jar", [True, False], ids=["jar", "python"])

SCHEMA = """
    b tinyint, s smallint, i int, l bigint, f float, d double, flag boolean, text string,
    day date, at timestamp, local_at timestamp_ntz, money decimal(12, 3), raw binary,
    numbers array<double>, whole array<int>, `a.b ``c` double
"""


def every_type(spark, rows):
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.functions import col, udf

    data = []
    for i in range(rows):
        value = [
            i % 128,
            -i,
            i * 7,
            i << 40,
            i / 3,
            [i / 7, math.inf, -math.inf, -0.0][i % 4],
            i % 2 == 0,
            ["", "plain", "ünï\n\0cödé 🚀", "x" * 1000][i % 4],
            datetime.date(1969, 12, 30) + datetime.timedelta(days=i),
            datetime.datetime(1965, 1, 1, 3, 4, 5, 678901) + datetime.timedelta(hours=i),
            datetime.datetime(2100, 2, 28, 23, 59, 59, 999999) + datetime.timedelta(days=i),
            decimal.Decimal(i) / 8 - 5,
            bytes([i % 256]) * (i % 5),
            [i / 2] * (i % 4),
            list(range(i % 3)),
            float(i),
        ]
        # Every column is null in some row, and all of them together in one.
        if i % 17:
            value[i % 16] = None
        data.append(tuple(value if i % 23 else [None] * 16))
    df = spark.createDataFrame(data, SCHEMA)
    vector = udf(
        lambda x: None if x is None or x % 5 == 0 else Vectors.sparse(3, {int(x) % 3: x}),
        VectorUDT(),
    )
    return df.withColumn("vec", vector(col("i")))


@ALL_MODES
@BOTH_PATHS
@pytest.mark.parametrize("partitions", [1, 7])
def test_every_type_both_ways(spark, use_jar, partitions):
    df = every_type(spark, 200).repartition(partitions).cache()
    expected = [tuple(row) for row in df.collect()]
    with export(df, use_jar=use_jar) as blocks:
        assert blocks.num_rows == len(blocks) == 200
        assert blocks.schema.names == df.columns
        table = blocks.to_arrow()
        assert table.schema.equals(blocks.schema)
        assert pa.types.is_fixed_size_list(table.schema.field("vec").type)
        assert table.schema.field("vec").type.list_size == 3
        for name in ["b", "s", "i", "l", "d", "flag", "text", "day", "money", "raw", "numbers"]:
            index = df.columns.index(name)
            assert table.column(name).to_pylist() == [row[index] for row in expected]
        vectors = [None if v is None else v.toArray().tolist() for *_, v in expected]
        assert table.column("vec").to_pylist() == vectors
        back = import_data(blocks, spark, use_jar=use_jar)
        assert [(f.name, f.dataType) for f in back.schema] == [
            (f.name, f.dataType) for f in df.schema
        ]
        assert [tuple(row) for row in back.collect()] == expected


@BOTH_PATHS
def test_nan_and_signed_zero_keep_their_bits(spark, use_jar):
    df = spark.sql("select double('NaN') x union all select -0.0D union all select null").coalesce(
        1
    )
    values = export(df, use_jar=use_jar).to_arrow().column("x").to_pylist()
    assert math.isnan(values[0])
    assert math.copysign(1, values[1]) == -1
    assert values[2] is None


@ALL_MODES
@BOTH_PATHS
def test_empty_partitions_keep_the_order_of_rows(spark, use_jar):
    df = spark.range(1000).repartition(50).filter("id % 97 = 0").cache()
    expected = [row.id for row in df.collect()]
    blocks = export(df, use_jar=use_jar)
    assert blocks.to_arrow().column("id").to_pylist() == expected
    assert [row.id for row in import_data(blocks, spark, use_jar=use_jar).collect()] == expected


@BOTH_PATHS
def test_empty_frame(spark, use_jar):
    df = every_type(spark, 10).filter("i < -1")
    blocks = export(df, use_jar=use_jar)
    assert (blocks.num_rows, blocks.refs) == (0, [])
    assert blocks.to_arrow().num_rows == 0
    assert blocks.schema.names == df.columns
    assert blocks.to_dataset().count() == 0
    back = import_data(blocks, spark, use_jar=use_jar)
    assert back.columns == df.columns
    assert back.count() == 0


@BOTH_PATHS
def test_one_row(spark, use_jar):
    df = spark.range(1)
    assert export(df, use_jar=use_jar).to_arrow().to_pydict() == {"id": [0]}


@ALL_MODES
def test_a_thousand_partitions_share_few_blocks(spark):
    df = spark.range(0, 100_000, 1, 1000)
    blocks = from_spark(df)
    assert blocks.to_arrow().column("id").to_pylist() == list(range(100_000))
    assert len(blocks.refs) <= 4
    assert to_spark(blocks, spark).selectExpr("sum(id)").first()[0] == sum(range(100_000))


@pytest.mark.modes("local", "native")
def test_many_partitions_are_few_tasks_of_the_same_rows(spark):
    """Each partition computes as itself: its number, its random numbers, its place."""
    df = spark.range(0, 5000, 1, 333).selectExpr(
        "id", "rand(1) AS r", "spark_partition_id() AS p", "monotonically_increasing_id() AS m"
    )
    context = spark.sparkContext
    context.setJobGroup("grouped", "")
    try:
        blocks = from_spark(df)
        (job,) = context.statusTracker().getJobIdsForGroup("grouped")
        (stage,) = context.statusTracker().getJobInfo(job).stageIds
        tasks = context.statusTracker().getStageInfo(stage).numTasks
    finally:
        context.setJobGroup("", "")
    assert 333 / 64 <= tasks <= 4 * context.defaultParallelism
    rows = blocks.to_arrow().to_pylist()
    assert rows == [row.asDict() for row in df.collect()]


@pytest.mark.slow
def test_code_of_the_users_own_sees_the_number_of_its_partition(spark):
    """It may seed random numbers by it; a group of partitions would give several the same."""

    def numbered(batches):
        from pyspark import TaskContext

        for batch in batches:
            yield pa.record_batch({"p": [TaskContext.get().partitionId()] * batch.num_rows})

    own = spark.range(0, 200, 1, 40).mapInArrow(numbered, "p long")
    for df in (own, own.selectExpr("p + 1 AS p"), own.selectExpr("p + 2 AS p").cache()):
        assert from_spark(df).to_arrow().column("p").to_pylist() == [row.p for row in df.collect()]
    assert sorted({row.p for row in own.collect()}) == list(range(40))


def test_big_partition_becomes_many_blocks(spark):
    rows = 3_000_000
    df = spark.range(0, rows, 1, 1).selectExpr("id", "cast(id as double) a", "-id b", "id * 2 c")
    with from_spark(df) as blocks:
        assert len(blocks.refs) >= 2
        table = blocks.to_arrow()
        assert table.column("id").equals(pa.chunked_array([range(rows)], pa.int64()))
        assert table.column("b").to_numpy()[-1] == 1 - rows


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.modes("own")
def test_partition_of_more_than_two_gigabytes(spark):
    rows = 40_000_000
    df = spark.range(0, rows, 1, 1).selectExpr("id", *[f"id * {k} c{k}" for k in range(2, 8)])
    with from_spark(df) as blocks:
        assert blocks.nbytes > 2 << 30
        assert blocks.num_rows == rows
        import pyarrow.compute as pc

        table = blocks.to_arrow()
        assert pc.sum(table.column("id")).as_py() == rows * (rows - 1) // 2
        assert pc.sum(table.column("c7")).as_py() == 7 * rows * (rows - 1) // 2
        del table
        back = to_spark(blocks, spark)
        assert back.selectExpr("count(*)", "sum(c3)").first() == (rows, 3 * rows * (rows - 1) // 2)


@ALL_MODES
def test_column_batches_and_rows_give_the_same(spark, tmp_path):
    df = spark.range(50_000).selectExpr(
        "id",
        "cast(id as int) i",
        "if(id % 7 = 0, null, id / 3) x",
        "cast(id as float) f",
        "cast(id % 2 as boolean) flag",
        "concat('s', id) s",
        "cast(id as decimal(20, 2)) d",
        "timestamp_micros(id * 1000003) at",
    )
    path = str(tmp_path / "data.parquet")
    df.write.parquet(path)
    parquet = spark.read.parquet(path)
    numeric = df.select("f", "id", "x", "i").cache()
    for frame in (parquet, parquet.select("x", "s", "id"), numeric, numeric.select("x", "f")):
        with export(frame) as one, export(frame, use_columns=False) as other:
            assert one.to_arrow().equals(other.to_arrow())
            assert one.num_rows == 50_000
    shuffled = parquet.repartition(3, "i")  # adaptive plan with a shuffle
    assert sorted(from_spark(shuffled).to_arrow().column("id").to_pylist()) == list(range(50_000))


def test_columns_and_dtype(spark):
    df = spark.sql(
        "select 1 a, 2.5D b, cast(1.25 as decimal(5,2)) c, array(1, null, 2) v, 'x' s, true t"
    )
    table = from_spark(df, ["s", "c", "v", "a", "t"], dtype="float32").to_arrow()
    assert table.schema.names == ["s", "c", "v", "a", "t"]
    assert [str(kind) for kind in table.schema.types] == [
        "string",
        "float",
        "list<element: float>",
        "float",
        "float",
    ]
    assert table.to_pylist() == [{"s": "x", "c": 1.25, "v": [1.0, None, 2.0], "a": 1.0, "t": 1.0}]
    with pytest.raises(
        SchemaError, match=r"dtype must be 'float32', 'float64' or None\. Got 'int8'"
    ):
        from_spark(df, dtype="int8")


@pytest.mark.modes("local", "connect")
@BOTH_PATHS
@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_vectors_of_a_dtype(spark, use_jar, dtype):
    from pyspark.ml.linalg import Vectors

    rows = [(Vectors.dense([0.1, 1e300]), 1), (None, 2), (Vectors.sparse(2, {1: 1 / 3}), 3)]
    df = spark.createDataFrame(rows, ["v", "n"]).coalesce(1)
    blocks = export(df, dtype=dtype, use_jar=use_jar)
    wanted = np.dtype(dtype or "float64")
    element = pa.from_numpy_dtype(wanted)
    assert blocks.schema.field("v").type == pa.list_(pa.field("element", element), 2)
    assert blocks.schema.field("n").type == (pa.int64() if dtype is None else element)
    with np.errstate(over="ignore"):
        first, last = np.array([[0.1, 1e300], [0, 1 / 3]]).astype(wanted).tolist()
    assert blocks.to_arrow().column("v").to_pylist() == [first, None, last]
    assert [row.v and row.v.toArray().tolist() for row in to_spark(blocks, spark).collect()] == [
        first,
        None,
        last,
    ]


@BOTH_PATHS
def test_names_that_differ_by_case_only(spark, use_jar):
    from pyspark.ml.linalg import Vectors

    df = spark.sql("select 1 a, 2 A, 3.5D `b.c`, 4 `B.C`")
    for names in (["A"], ["b.c", "a"], ["A", "B.C", "a", "b.c"]):
        table = export(df, names, use_jar=use_jar).to_arrow()
        held = {"a": [1], "A": [2], "b.c": [3.5], "B.C": [4]}
        assert table.to_pydict() == {name: held[name] for name in names}
        assert table.schema.names == names
    assert export(df, dtype="float64", use_jar=use_jar).to_arrow().to_pydict() == {
        "a": [1.0],
        "A": [2.0],
        "b.c": [3.5],
        "B.C": [4.0],
    }
    vectors = spark.createDataFrame([(Vectors.dense([1.0, 2.0]), Vectors.dense([3.0]))], ["v", "V"])
    assert export(vectors, use_jar=use_jar).to_arrow().to_pydict() == {
        "v": [[1.0, 2.0]],
        "V": [[3.0]],
    }


@BOTH_PATHS
def test_text_that_is_no_utf8_is_refused_by_name(spark, use_jar):
    """Spark has such strings, and Arrow has not."""
    df = spark.sql(
        "select * from values ('ok', '41', 1), ('ü', null, 2), ('x', 'FF41', 3) t(a, b, n)"
    ).selectExpr("a", "cast(unhex(b) as string) `b.b`", "n")
    with pytest.raises(SchemaError, match=r"'b\.b' are not all valid UTF-8.*make_valid_utf8"):
        export(df.coalesce(1), use_jar=use_jar)
    mended = df.selectExpr("make_valid_utf8(`b.b`) b").coalesce(1)
    assert export(mended, use_jar=use_jar).to_arrow()["b"].to_pylist() == ["A", None, "\ufffdA"]


@BOTH_PATHS
@pytest.mark.parametrize("zone", ["GMT+8", "UTC-3", "Z", "PST"])
def test_zones_that_only_java_writes_so(spark, use_jar, zone):
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        df = spark.sql("select timestamp_seconds(86400 * id) at, id * 1.5D x from range(4)")
        blocks = export(df.coalesce(1), use_jar=use_jar)
        shown = blocks.to_arrow().to_pandas()["at"]
        assert [time.timestamp() for time in shown] == [86400 * i for i in range(4)]
        if zone != "PST":  # which is shown as UTC
            texts = [row[0] for row in df.selectExpr("cast(at as string)").collect()]
            assert shown.dt.strftime("%Y-%m-%d %H:%M:%S").tolist() == texts
        assert to_spark(blocks, spark).collect() == df.collect()
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)


@pytest.mark.slow
def test_failed_and_retried_tasks_neither_lose_nor_double_rows(tmp_path):
    """Half of each partition is written, then its task fails once.

    The JVM allows no second attempt in local mode, so this runs in a process with
    ``local[2, 3]``, where a task may fail twice.
    """
    import subprocess
    import sys

    code = f"""
import os, ray, tempfile
from pyspark.sql import SparkSession
from raydp_ml.exchange.spark_to_blocks import export
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
spark = SparkSession.builder.master("local[2, 3]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("OFF")
def fail_once(batches):
    from pyspark import TaskContext
    seen, part = 0, TaskContext.get().partitionId()
    for batch in batches:
        seen += batch.num_rows
        yield batch
        mark = os.path.join(marks, str(part))
        if seen >= 150_000 and not os.path.exists(mark):
            open(mark, "w").close()
            raise RuntimeError("fails once, half way")
for use_jar in True, False:
    marks = tempfile.mkdtemp(dir={str(tmp_path)!r})
    df = spark.range(0, 1_200_000, 1, 4).mapInArrow(fail_once, "id long")
    blocks = export(df, use_jar=use_jar)
    assert len(os.listdir(marks)) == 4, os.listdir(marks)
    assert blocks.to_arrow().column("id").to_pylist() == list(range(1_200_000))
print("exact")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout.strip().endswith("exact"), done.stdout + done.stderr


def test_an_error_of_the_users_own_code_passes_through(spark):
    from pyspark.errors import PythonException
    from pyspark.sql.functions import udf

    df = spark.range(10).select(udf(lambda x: 1 // 0, "int")("id").alias("x"))
    with pytest.raises(PythonException, match="ZeroDivisionError"):
        from_spark(df)
    assert from_spark(spark.range(3)).num_rows == 3


def test_a_killed_server_is_replaced(spark, ray_cluster):
    from raydp_ml.exchange import server_pool

    kept = from_spark(spark.range(10))
    (server,) = server_pool._servers.values()
    ray_cluster.kill(server.actor)
    assert from_spark(spark.range(1000)).to_arrow().num_rows == 1000
    # Ray may have a copy left; what it has must be right.
    with contextlib.suppress(DataLostError):
        assert kept.to_arrow().column("id").to_pylist() == list(range(10))


@pytest.mark.slow
def test_blocks_are_a_ray_dataset(spark):
    blocks = from_spark(spark.range(1000))
    dataset = blocks.to_dataset()
    assert dataset.sum("id") == 499_500
    doubled = dataset.map_batches(lambda t: t.append_column("x", t["id"]), batch_format="pyarrow")
    assert to_spark(doubled, spark).selectExpr("sum(id + x)").first()[0] == 999_000


def test_a_dataset_is_executed_once(spark):
    drawn = ray.data.range(100).map_batches(lambda rows: {"x": np.random.random(len(rows["id"]))})
    first, again = from_dataset(drawn).to_arrow(), from_dataset(drawn).to_arrow()
    assert first.equals(again)


def test_blocks_go_to_a_ray_task(spark):
    blocks = from_spark(spark.range(10))
    total = ray.remote(num_cpus=0)(lambda given: sum(given.to_arrow().column("id").to_pylist()))
    assert ray.get(total.remote(blocks), timeout=120) == 45


def test_a_table_goes_to_spark(spark):
    table = pa.table(
        {
            "u": pa.array([1, 2**64 - 1, None], pa.uint64()),
            "half": pa.array([1.5, None, -2], pa.float16()),
            "dict": pa.array(["a", None, "b"]).dictionary_encode(),
            "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
            "ms": pa.array([1, None, 2], pa.timestamp("ms", "UTC")),
            "big": pa.array(["x", "y", None], pa.large_string()),
        }
    )
    rows = to_spark(table, spark).collect()
    assert [row.u for row in rows] == [1, 2**64 - 1, None]
    assert [row.half for row in rows] == [1.5, None, -2]
    assert [row.dict for row in rows] == ["a", None, "b"]
    assert [row.fixed for row in rows] == [[1, 2], None, [3, 4]]
    assert [row.big for row in rows] == ["x", "y", None]
    assert rows[2].ms.timestamp() == 0.002


def tables(*columns):
    return ray.data.from_arrow([pa.table(of) for of in columns])


def test_blocks_of_a_dataset_go_by_name_and_to_the_wider_type(spark):
    swapped = tables({"a": [1.0], "b": [100.0]}).union(tables({"b": [200.0], "a": [2.0]}))
    widths = tables({"x": pa.array([1], pa.int32())}, {"x": pa.array([2**40], pa.int64())})
    several = tables(
        {"n": pa.array([1], pa.int8()), "s": ["u"]},
        {"s": pa.array(["v"]).dictionary_encode(), "n": pa.array([0.5]), "more": [True]},
        {"n": pa.nulls(1), "s": pa.array(["w"], pa.large_string())},
    )
    frames = ray.data.from_pandas(pd.DataFrame({"x": [1]})).union(tables({"x": [2.5]}))
    for use_jar in (True, False):

        def rows(data, use_jar=use_jar):
            return [row.asDict() for row in import_data(data, spark, use_jar=use_jar).collect()]

        assert rows(swapped) == [{"a": 1.0, "b": 100.0}, {"a": 2.0, "b": 200.0}]
        assert rows(widths) == [{"x": 1}, {"x": 2**40}]
        assert rows(several) == [
            {"n": 1.0, "s": "u", "more": None},
            {"n": 0.5, "s": "v", "more": True},
            {"n": None, "s": "w", "more": None},
        ]
    assert rows(frames) == frames.to_pandas().to_dict("records")
    # Ray Data's own answers on the same Datasets.
    assert swapped.to_pandas().to_dict("list") == {"a": [1.0, 2.0], "b": [100.0, 200.0]}
    assert from_dataset(widths).schema.equals(pa.schema([("x", pa.int64())]))


def test_blocks_of_a_dataset_without_a_type_in_common_are_refused(spark):
    for data in (
        tables({"x": [1]}, {"x": ["a"]}),
        tables({"x": [2**53 + 1]}, {"x": [0.5]}),
        tables({"x": [1]}).union(tables({"x": [True]})),
    ):
        with pytest.raises(SchemaError, match=r"'?x'?.*Cast (it|them)"):
            to_spark(data, spark)


def test_blocks_are_brought_to_their_schema_wherever_they_are_read(spark, ray_cluster):
    """Blocks made by hand, of refs that Ray's own tasks have made."""
    parts = [
        pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}),
        pa.table({"b": pa.array(["y"]).dictionary_encode(), "a": [2**40]}),
    ]
    node = ray_cluster.get_runtime_context().get_node_id()
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    made = Blocks([ray_cluster.put(part) for part in parts], [1, 1], 99, schema, [node] * 2)
    wanted = {"a": [1, 2**40], "b": ["x", "y"]}
    assert made.to_arrow().to_pydict() == wanted
    assert read_shard(made.refs, ((0, 0, 1), (1, 0, 1)), schema).to_pydict() == wanted
    assert [tuple(row) for row in to_spark(made, spark).collect()] == [(1, "x"), (2**40, "y")]
    narrow = pa.schema([("a", pa.int8()), ("b", pa.string())])
    wrong = Blocks(made.refs, [1, 1], 99, narrow, [node] * 2)
    with pytest.raises(SchemaError, match="'a' is of type int64 in a block of these Blocks"):
        wrong.to_arrow()


def test_times_finer_than_microseconds(spark):
    even, odd = 1_700_000_000_123_456_000, 1_700_000_000_123_456_789
    kind = pa.timestamp("ns", "UTC")
    for make in (lambda t: t, lambda t: ray.data.from_arrow(t), put_table):
        rows = to_spark(make(pa.table({"t": pa.array([even, None], kind)})), spark)
        assert [row.n for row in rows.selectExpr("unix_micros(t) n").collect()] == [
            even // 1000,
            None,
        ]
        with pytest.raises(SchemaError, match=f"'t'.*cannot hold exactly.*{odd}.*floor_temporal"):
            to_spark(make(pa.table({"t": pa.array([even, odd], kind)})), spark)


def test_columns_of_nothing_but_null(spark):
    table = pa.table({"x": pa.nulls(2), "y": [1, 2], "z": pa.array([[None], []])})
    for use_jar in (True, False):
        df = import_data(table, spark, use_jar=use_jar)
        assert df.schema["x"].dataType.simpleString() == "void"
        assert [tuple(row) for row in df.collect()] == [(None, 1, [None]), (None, 2, [])]


def test_a_server_that_died_while_idle_costs_what_it_owned_and_no_more(spark, ray_cluster):
    from raydp_ml.exchange import server_pool

    table = pa.table({"a": [1, 2, 3]})
    kept, own = from_spark(spark.range(10)), put_table(table)
    assert to_spark(own, spark).count() == 3
    (server,) = server_pool._servers.values()
    ray_cluster.kill(server.actor)
    assert eventually(lambda: not os.path.exists(server.path), 30)
    for data in (table, own, tables({"a": [1, 2, 3]})):
        assert [row.a for row in to_spark(data, spark).collect()] == [1, 2, 3]
    with pytest.raises(DataLostError, match="Call from_spark"):
        to_spark(kept, spark)
    own.free()
    kept.free()


def test_first_use_by_many_threads_starts_one_server(spark):
    from raydp_ml.exchange import server_pool

    server_pool.stop()
    before = block_servers()
    started = threading.Barrier(4, timeout=60)
    found = []

    def use(number):
        started.wait()
        found.append(from_spark(spark.range(number)).num_rows)
        found.append(to_spark(pa.table({"a": [1] * number})).count())

    threads = [threading.Thread(target=use, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(found) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len(block_servers() - before) == 1


def block_servers():
    """Ids of the processes of block servers in this process' own Ray."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        # a process of Ray's may end, or be a zombie, between being listed and being asked
        with contextlib.suppress(psutil.Error):
            if "ray::BlockServer" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def test_free_is_final(spark):
    blocks = from_spark(spark.range(10))
    df = to_spark(blocks, spark)
    assert df.count() == 10
    blocks.free()
    blocks.free()
    assert repr(blocks) == "Blocks(freed)"
    with pytest.raises(DataLostError, match="were freed"):
        blocks.to_arrow()
    with pytest.raises(Exception, match=r"was freed"):
        df.collect()


def test_bad_input_is_refused_at_once(spark):
    df = spark.sql("select 1 id, map('k', 1) m, struct(1 a) s, array('x') words")
    with pytest.raises(SchemaError, match=r"'m' has type map<string,int>.*df\.m\['key'\]"):
        from_spark(df)
    with pytest.raises(SchemaError, match=r"'s' has type struct<a:int>.*df\.select\('s\.\*'\)"):
        from_spark(df, ["s"])
    with pytest.raises(SchemaError, match="'words' is an array of string"):
        from_spark(df, ["words"])
    with pytest.raises(SchemaError, match=r"Column .idd. does not exist\. Did you mean .id."):
        from_spark(df, ["idd"])
    with pytest.raises(SchemaError, match=r"no columns to copy\. The columns are: \['id', 'm'"):
        from_spark(df, [])
    with pytest.raises(SchemaError, match="Got a streaming one"):
        from_spark(spark.readStream.format("rate").load())
    twice = spark.range(3).join(spark.range(3).withColumnRenamed("id", "x")).toDF("a", "a")
    with pytest.raises(SchemaError, match=r"Duplicate column names: \['a'\]"):
        from_spark(twice)
    with pytest.raises(SchemaError, match=r"takes a Spark DataFrame; got builtins\.list"):
        from_spark([1, 2])
    with pytest.raises(SchemaError, match=r"takes Blocks, a ray\.data\.Dataset, a pyarrow"):
        to_spark([1, 2], spark)
    odd = pa.table({"t": pa.array([1], pa.duration("s"))})
    for data in (odd, put_table(odd), ray.data.from_arrow(odd)):
        with pytest.raises(SchemaError, match="for which Spark has no type"):
            to_spark(data, spark)


@BOTH_PATHS
def test_vectors_of_unequal_length_are_refused(spark, use_jar):
    from pyspark.ml.linalg import Vectors

    df = spark.createDataFrame([(Vectors.dense([1.0]),), (Vectors.dense([1.0, 2.0]),)], ["v"])
    with pytest.raises(SchemaError, match=r"vectors of column 'v' differ in length \(\[1, 2\]\)"):
        export(df.coalesce(1), use_jar=use_jar)


def test_the_server_refuses_a_wrong_secret(spark):
    import socket

    from raydp_ml.exchange import server_pool

    from_spark(spark.range(1))
    (server,) = server_pool._servers.values()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(server.path)
        connection.sendall(b"wrong GET table 0\n")
        with connection.makefile("rb") as answer:
            assert b"wrong secret" in answer.read()
