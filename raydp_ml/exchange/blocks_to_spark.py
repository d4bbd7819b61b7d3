"""Arrow blocks -> Spark DataFrame: partitions read from the block servers when they are needed."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import DataLostError, SchemaError, SessionError
from raydp_ml.exchange import jvm, python_tasks, server_pool
from raydp_ml.exchange.blocks import Blocks, checked_refs, put_table
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.dataset_blocks import from_dataset
from raydp_ml.exchange.frames import named_table
from raydp_ml.exchange.schema import VECTOR, checked, spark_ready
from raydp_ml.exchange.sql_text import select_columns
from raydp_ml.session import ray_runtime

if TYPE_CHECKING:
    import ray
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from raydp_ml.exchange.data_kinds import Frame

logger = logging.getLogger(__name__)

_PART_BYTES = 64 << 20
_PART_ROWS = 10_000


def to_spark(data: Frame, spark: SparkSession | None = None) -> DataFrame:
    """Make a Spark DataFrame of Arrow data, lazily: the rows stay in Ray's object store.

    Parameters
    ----------
    data : Blocks, ray.data.Dataset, pyarrow.Table, pandas or polars DataFrame
        A Dataset is executed, and blocks that differ are brought to one schema by the names of
        their columns, as Ray Data does it. A Table or frame is put into the object store. As
        ``spark.createDataFrame`` does it, a pandas frame loses its index, and its NaN are null.
        Times without a zone are ``timestamp_ntz``.
    spark : pyspark.sql.SparkSession, optional
        The active session by default.

    Returns
    -------
    pyspark.sql.DataFrame
        Rows in the order of `data`. It can be read until ``stop_spark``, or until `data` is
        freed.

    Raises
    ------
    SchemaError
        Something else was given, a column's type has no counterpart in Spark, a value would not
        be exact there (a time finer than a microsecond), or blocks have no schema in common.
    SessionError
        There is no active session, or it was stopped.
    DataLostError
        The process that held the Blocks has ended.
    """
    return import_data(data, spark)


def blocks_as_frame(data: Any) -> Any:
    """Return Blocks as a Spark DataFrame, in the active session; leave all else as it is."""
    return to_spark(data) if isinstance(data, Blocks) else data


def import_data(
    data: Frame,
    spark: SparkSession | None = None,
    *,
    use_jar: bool = True,
) -> DataFrame:
    """`to_spark`, with the choice of path that tests and measurements need."""
    spark = _active_session() if spark is None else spark
    jvm.check_session(spark, "to_spark")
    watch = Stopwatch()
    ray_runtime.ensure_ray()
    blocks = _as_blocks(data)
    _require_owners(blocks)
    try:
        df, vectors, parts = _offer(blocks, spark, use_jar)
    except DataLostError:
        # A server died while nobody used it, and owned none of these blocks.
        server_pool.forget_dead()
        df, vectors, parts = _offer(blocks, spark, use_jar)
    watch.tell(
        logger,
        "to_spark",
        rows=blocks.num_rows,
        bytes=blocks.nbytes,
        blocks=len(blocks.refs),
        partitions=parts,
    )
    if not vectors:
        return df
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql.functions import col, when

    def restored(name: str) -> Column:
        column = col(quoted(name))
        return when(column.isNotNull(), array_to_vector(column)).alias(name)

    return select_columns(
        df, [restored(name) if name in vectors else col(quoted(name)) for name in df.columns]
    )


def _require_owners(blocks: Blocks) -> None:
    """Raise `DataLostError` where a server that owns blocks has ended."""
    for owner in blocks.owners if blocks.refs else ():
        server_pool.call(owner.path)


def _active_session() -> SparkSession:
    from pyspark import SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession, is_remote

    # Spark knows an active session for the thread that started it only.
    session = SparkSession.getActiveSession()
    if session is None and SparkContext._active_spark_context is not None:
        session = SparkSession.builder.getOrCreate()
    elif session is None and is_remote():
        with contextlib.suppress(PySparkRuntimeError):  # there is none
            session = SparkSession.active()
    if session is None:
        raise SessionError(
            "to_spark found no active SparkSession. Start one with raydp_ml.init_spark(), or give "
            "your own as to_spark(data, spark)."
        )
    return session


def _as_blocks(data: Frame) -> Blocks:
    if isinstance(data, Blocks):
        return data
    if isinstance(data, pa.Table):
        return put_table(checked(data))
    if hasattr(data, "to_arrow_refs"):  # a ray.data.Dataset, without importing ray.data
        return from_dataset(cast("ray.data.Dataset", data))
    library = type(data).__module__.partition(".")[0]
    if library in {"pandas", "polars"} and type(data).__name__ in {"DataFrame", "LazyFrame"}:
        return put_table(checked(named_table(data, library)))
    raise SchemaError(
        "to_spark takes Blocks, a ray.data.Dataset, a pyarrow.Table, a pandas or a polars "
        f"DataFrame; got {type(data).__module__}.{type(data).__qualname__}. Convert it first, as "
        "in pandas.DataFrame(data)."
    )


def _spark_schema(schema: pa.Schema) -> tuple[StructType, set[str]]:
    """Spark's schema for Arrow's, and which columns become ``pyspark.ml`` vectors again."""
    from pyspark.sql.pandas.types import from_arrow_schema

    vectors = {
        field.name
        for field in schema
        if field.metadata and VECTOR.items() <= field.metadata.items()
    }
    plain = spark_ready(schema.empty_table()).schema
    return from_arrow_schema(plain, prefer_timestamp_ntz=True), vectors  # before 4.2 not by default


def _offer(blocks: Blocks, spark: SparkSession, use_jar: bool) -> tuple[DataFrame, set[str], int]:
    """Have the servers of the blocks' nodes offer them, cut into parts of a fair size.

    Returns
    -------
    DataFrame
    set of str
        The columns that are to become vectors again.
    int
        Number of partitions.
    """
    refs, arrow_schema = checked_refs(blocks)
    schema, vectors = _spark_schema(arrow_schema)
    nodes = list(dict.fromkeys(blocks.node_ids)) or [_driver_node()]
    local = not jvm.is_connect(spark) and str(spark.sparkContext.master).startswith("local")
    servers = server_pool.servers_on(nodes, tcp=not local)
    endpoint = {node: index for index, node in enumerate(nodes)}
    offers: dict[int, list[tuple[ray.ObjectRef[pa.Table], int, int]]] = defaultdict(list)
    parts = []
    row_bytes = max(1, blocks.nbytes // max(1, blocks.num_rows))
    for ref, rows, node in zip(refs, blocks.block_rows, blocks.node_ids, strict=True):
        # Fewer rows for the cores' sake, but not so few that a task costs more than its work.
        fair = max(_PART_ROWS, -(-blocks.num_rows // _parallelism(spark)))
        step = max(1, min(fair, _PART_BYTES // row_bytes))
        for start in range(0, rows, step):
            offer = offers[endpoint[node]]
            parts.append((endpoint[node], len(offer)))
            offer.append((ref, start, min(rows, start + step)))
    table = uuid.uuid4().hex
    for index, offer in offers.items():
        server_pool.call(servers[index].actor.offer, table, offer, arrow_schema)
        blocks.offered(servers[index].actor, table)
    endpoints = "\n".join(server.line() for server in servers)
    secret = servers[0].secret
    reader = jvm.java_object(spark, "exchange.BlockImport") if use_jar else None
    if reader is None:
        made = python_tasks.import_frame(spark, endpoints, secret, table, parts, schema)
        return made, vectors, len(parts)
    lines = "\n".join(f"{at},{part}" for at, part in parts)
    frame = reader.dataFrame(spark, endpoints, secret, table, lines, schema.json())
    return jvm.as_frame(frame, spark), vectors, len(parts)


def _parallelism(spark: SparkSession) -> int:
    return 8 if jvm.is_connect(spark) else spark.sparkContext.defaultParallelism


def _driver_node() -> str:
    import ray

    return ray.get_runtime_context().get_node_id()
