"""Spark DataFrame -> Arrow blocks: one Spark job whose tasks stream to the block servers."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from raydp_ml.bars import Bar, shown
from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import DataLostError, ResourceError, SchemaError, SessionError
from raydp_ml.exchange import jvm, python_tasks, server_pool
from raydp_ml.exchange.blocks import Blocks
from raydp_ml.exchange.columns import column_names, quoted
from raydp_ml.exchange.refused_values import refused_values
from raydp_ml.exchange.schema import VECTOR, is_vector, select_fields, wire_schema
from raydp_ml.exchange.sql_text import select, select_columns, vector_to_array
from raydp_ml.session import ray_runtime
from raydp_ml.session.lifecycle import executor_cpus

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType, StructField

logger = logging.getLogger(__name__)

_DTYPES = {"float32": "float", "float64": "double"}
_ATTEMPTS = 2
_ABORT_SECONDS = 20.0


def from_spark(
    df: DataFrame, columns: Sequence[str] | None = None, *, dtype: DTypeLike | None = None
) -> Blocks:
    """Copy a Spark DataFrame into Ray's object store as Arrow blocks.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Any DataFrame, of any session (of ``init_spark`` or the user's own).
    columns : sequence of str, optional
        The columns to take, in this order; all by default.
    dtype : {"float32", "float64"} or numpy.dtype, optional
        Cast numeric columns, numeric arrays and vectors to this type.

    Returns
    -------
    Blocks
        Rows in the order of the DataFrame's partitions. It stays readable after ``stop_spark``.

    Raises
    ------
    SchemaError
        A column is missing, bears a name twice, or has a type that cannot cross (map, struct); or a
        transformer before refuses a value, as scikit-learn's would have. Or the DataFrame is a
        streaming one, which has no end.
    SessionError
        The SparkSession was stopped.

    Examples
    --------
    >>> blocks = raydp_ml.from_spark(df, ["distance", "fare"], dtype="float32")  # doctest: +SKIP
    >>> blocks.to_arrow().to_pandas()  # doctest: +SKIP
    """
    return export(df, columns, dtype=dtype)


def export(
    df: DataFrame,
    columns: Sequence[str] | None = None,
    *,
    dtype: DTypeLike | None = None,
    use_jar: bool = True,
    use_columns: bool = True,
) -> Blocks:
    """`from_spark`, with the choice of path that tests and measurements need.

    Parameters
    ----------
    use_jar : bool, default=True
        False feeds the servers from Spark's Python workers, as where the jar cannot be loaded.
    use_columns : bool, default=True
        False turns column batches (of Parquet, of a cache) into rows first.
    """
    _require_dataframe(df)
    jvm.require_batch(df)
    watch = Stopwatch()
    names = None if columns is None else column_names(columns, "columns")
    fields = select_fields(df.schema, names)
    plain, fields, vectors = _projected(df, fields, dtype)
    for attempt in range(_ATTEMPTS):
        try:
            with refused_values():
                blocks, tasks = _run(
                    plain, fields, vectors, use_jar=use_jar, use_columns=use_columns
                )
        except DataLostError:
            # A server died, and its blocks with it: the job runs again on new ones.
            server_pool.forget_dead()
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            watch.tell(
                logger,
                "from_spark",
                rows=blocks.num_rows,
                bytes=blocks.nbytes,
                blocks=len(blocks.refs),
                tasks=tasks,
                retries=attempt,
            )
            return blocks
    raise AssertionError("unreachable")


def _require_dataframe(df: object) -> None:
    if not hasattr(df, "sparkSession") or not hasattr(df, "mapInArrow"):
        raise SchemaError(
            f"from_spark takes a Spark DataFrame; got {type(df).__module__}."
            f"{type(df).__qualname__}. In-memory data goes to fit directly, or to Spark with "
            "spark.createDataFrame."
        )


def _projected(
    df: DataFrame, fields: list[StructField], dtype: DTypeLike | None
) -> tuple[DataFrame, list[StructField], tuple[str, ...]]:
    """Select, cast, and turn vectors into arrays, where anything of that is to do.

    Returns
    -------
    DataFrame
    list of StructField
        Its columns.
    tuple of str
        Those that were vectors.
    """
    from pyspark.sql.types import ArrayType, DoubleType, FloatType, StructField

    number = {None: None, "float": FloatType(), "double": DoubleType()}[_spark_dtype(dtype)]
    out = []
    for field in fields:
        kind = field.dataType
        if is_vector(kind):
            kind = ArrayType(number or DoubleType(), False)
        elif number is not None and isinstance(kind, ArrayType):
            kind = ArrayType(number, kind.containsNull)
        elif number is not None and _is_number(kind):
            kind = number
        out.append(StructField(field.name, kind, field.nullable))
    vectors = tuple(field.name for field in fields if is_vector(field.dataType))
    wanted = [(field.name, field.dataType) for field in out]
    if wanted == [(field.name, field.dataType) for field in df.schema.fields]:
        return df, out, vectors
    columns = df.columns
    held = dict(zip(columns, columns, strict=True))
    if twice := len({name.lower() for name in columns}) < len(columns):
        # To Spark, names that differ by case only are one; their places tell them apart.
        held = {name: f"c{place}" for place, name in enumerate(columns)}
        df = df.toDF(*(f"c{place}" for place in range(len(columns))))
    # SQL text: a Column object costs several calls into the JVM, and a text almost none.
    selected = select(
        df,
        *[
            quoted(held[name])
            if kind == field.dataType or name in vectors
            else f"cast({quoted(held[name])} as {kind.simpleString()}) as {quoted(held[name])}"
            for field, (name, kind) in zip(fields, wanted, strict=True)
        ],
    )
    if vectors:
        precision = "float32" if isinstance(number, FloatType) else "float64"
        selected = _without_vectors(selected, [held[name] for name in vectors], precision)
    return (selected.toDF(*(name for name, _ in wanted)) if twice else selected), out, vectors


def _without_vectors(df: DataFrame, vectors: list[str], precision: str) -> DataFrame:
    """Turn vectors into arrays, in place; a null vector is a null array."""
    from pyspark.sql.functions import col, when

    to_array = vector_to_array(df)
    columns = {name: col(quoted(name)) for name in df.columns}
    for name in vectors:
        column = columns[name]
        columns[name] = when(column.isNotNull(), to_array(column, precision)).alias(name)
    return select_columns(df, list(columns.values()))


def _is_number(kind: DataType) -> bool:
    from pyspark.sql.types import BooleanType, NumericType

    return isinstance(kind, (NumericType, BooleanType))


def _spark_dtype(dtype: DTypeLike | None) -> str | None:
    if dtype is None:
        return None
    import numpy as np

    try:
        return _DTYPES[np.dtype(dtype).name]
    except (TypeError, KeyError):
        raise SchemaError(
            f"dtype must be 'float32', 'float64' or None. Got {dtype!r} instead."
        ) from None


def _run(
    df: DataFrame,
    fields: list[StructField],
    vectors: tuple[str, ...],
    *,
    use_jar: bool,
    use_columns: bool,
) -> tuple[Blocks, int]:
    """One export: open the servers for it, run the Spark job, commit what succeeded.

    Returns
    -------
    Blocks
    int
        Number of Spark's tasks.
    """
    spark = df.sparkSession
    time_zone = str(spark.conf.get("spark.sql.session.timeZone"))
    schema = wire_schema(fields, time_zone)
    nodes, tcp = _placement(spark)
    servers = server_pool.servers_on(nodes, tcp=tcp)
    endpoints = "\n".join(server.line() for server in servers)
    job = uuid.uuid4().hex
    writer = jvm.java_object(spark, "exchange.BlockExport") if use_jar else None
    try:
        for server in servers:
            server_pool.call(server.actor.open_job, job, schema, vectors)
        if writer is not None:
            reports = _run_jar(
                df, writer, endpoints, servers[0].secret, job, time_zone, use_columns
            )
        else:
            reports = python_tasks.run_export(df, endpoints, servers[0].secret, job)
        return _commit(servers, job, reports, schema, vectors), len(reports)
    except Exception as error:
        _raise_better(error, servers, job)
        raise
    except BaseException:  # Ctrl-C: nothing is to be tried again
        _abort(servers, job)
        raise


def _run_jar(
    df: DataFrame,
    writer: jvm.JavaObject,
    endpoints: str,
    secret: str,
    job: str,
    zone: str,
    use_columns: bool,
) -> list[tuple[int, ...]]:
    tag = f"raydp_ml-{job}"
    try:
        look = partial(jvm.count_tasks, df.sparkSession, tag)
        with Bar("from_spark", "tasks", look=look, show=shown()):
            lines = writer.run(df, endpoints, secret, job, zone, tag, use_columns)
    except BaseException:
        # Ctrl-C included: the call has left Python, but the job would run on in the JVM.
        df.sparkSession.sparkContext.cancelJobsWithTag(tag)
        raise
    return [tuple(map(int, line.split(","))) for line in lines]


def _raise_better(error: BaseException, servers: list[server_pool.Server], job: str) -> None:
    """Raise what was really wrong: what a server found (bad data, no room), or its death."""
    try:
        ray_runtime.require_open(servers[0].connection)
    except SessionError as ended:
        raise ended from error
    died = server_pool.forget_dead()
    found = _abort(servers, job)
    if died:
        raise DataLostError(
            "A block server ended while Spark wrote to it (killed, out of memory, or its node is "
            "gone). Look at Ray's logs, and call from_spark, or the fit, again."
        ) from error
    if found is not None:
        raise found from error


def _abort(servers: list[server_pool.Server], job: str) -> SchemaError | ResourceError | None:
    """Have each server let go of what was sent for a job; return the error that one found."""
    found = None
    for server in servers:
        # One that has ended, or whose Ray has, holds nothing any more.
        with contextlib.suppress(DataLostError, ResourceError, SessionError):
            found = server_pool.call(server.actor.abort, job, timeout=_ABORT_SECONDS) or found
    return found


def _placement(spark: SparkSession) -> tuple[list[str], bool]:
    """Ray nodes whose servers this session's executors write to, and whether over TCP too.

    An executor may start on another host while its session lives.
    """
    import ray

    ray_runtime.ensure_ray()
    ours = list(executor_cpus())
    here = ray.get_runtime_context().get_node_id()
    if ours:
        return ours, True
    if jvm.is_connect(spark):
        return [here], True
    return [here], not str(spark.sparkContext.master).startswith("local")


def _commit(
    servers: list[server_pool.Server],
    job: str,
    reports: list[tuple[int, ...]],
    schema: pa.Schema,
    vectors: tuple[str, ...],
) -> Blocks:
    written = sorted(report for report in reports if report[2])
    placed = []
    widths: dict[str, int] = {}
    owners = []
    for index, server in enumerate(servers):
        attempts = [(p, a, at) for at, (p, a, _, e) in enumerate(written) if e == index]
        blocks, its_widths = server_pool.call(server.actor.commit, job, attempts)
        _merge_widths(widths, its_widths)
        placed += [(*block, server.node_id) for block in blocks]
        owners += [server.actor] if blocks else []
    placed.sort(key=lambda block: block[0])
    rows, expected = sum(b[2] for b in placed), sum(report[2] for report in written)
    if rows != expected:
        raise DataLostError(f"Spark wrote {expected} rows, and {rows} arrived: call it again.")
    return Blocks(
        [b[1] for b in placed],
        [b[2] for b in placed],
        sum(b[3] for b in placed),
        _final_schema(schema, vectors, widths),
        [b[4] for b in placed],
        owners,
    )


def _merge_widths(widths: dict[str, int], more: dict[str, int]) -> None:
    for name, width in more.items():
        if widths.setdefault(name, width) != width:
            raise SchemaError(
                f"The vectors of column {name!r} differ in length ({sorted([widths[name], width])})"
                ": fixed-size lists need one length. Pad them, or use an array column."
            )


def _final_schema(schema: pa.Schema, vectors: tuple[str, ...], widths: dict[str, int]) -> pa.Schema:
    for name in vectors:
        at = schema.get_field_index(name)
        element = pa.field("element", schema.field(at).type.value_type)
        field = pa.field(name, pa.list_(element, widths.get(name, 0)), metadata=VECTOR)
        schema = schema.set(at, field)
    return schema
