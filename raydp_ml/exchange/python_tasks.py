"""The same tasks as our Java ones, for Spark's Python workers: slower, but they need no jar.

Executors need pyarrow only: the functions that run there are nested, so that they are pickled by
value, and import nothing of raydp_ml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from raydp_ml.exchange.task_python import task_python

if TYPE_CHECKING:
    import io
    import socket

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_MODULES = ("pyarrow",)
_Connect = Callable[..., tuple[int, "socket.socket", "io.IOBase"]]
_SILENCE_SECONDS = 900.0
"""A server that takes and sends nothing for so long has hung; it may wait for Ray meanwhile."""

_REPORT = "partition int, attempt long, rows long, endpoint int"


def run_export(df: DataFrame, endpoints: str, secret: str, job: str) -> list[tuple[int, ...]]:
    """Write all partitions of `df` to the block servers.

    Returns
    -------
    list of (partition, attempt, rows, endpoint)
        What each successful task attempt reported.
    """
    connect, expect_ok = _connector(endpoints), _expectation()

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import struct

        from pyspark import TaskContext

        task = TaskContext.get()
        assert task is not None
        partition, attempt = task.partitionId(), task.taskAttemptId()
        rows, index = 0, 0
        writer: pa.RecordBatchStreamWriter | None = None
        for batch in batches:
            if not batch.num_rows:
                continue
            if writer is None:
                index, connection, stream = connect(f"{secret} PUT {job} {partition} {attempt}")
                writer = pa.ipc.new_stream(stream, batch.schema)
            writer.write_batch(batch)
            rows += batch.num_rows
        if writer is not None:
            writer.close()
            stream.flush()
            with connection, connection.makefile("rb") as answer:
                expect_ok(answer)
                (stored,) = struct.unpack(">q", answer.read(8))
            if stored != rows:
                raise OSError(f"The block server stored {stored} of {rows} rows.")
        yield pa.RecordBatch.from_pydict(
            {
                "partition": pa.array([partition], pa.int32()),
                "attempt": pa.array([attempt], pa.int64()),
                "rows": pa.array([rows], pa.int64()),
                "endpoint": pa.array([index], pa.int32()),
            }
        )

    # mapInArrow takes no names with backticks; the server knows the true ones.
    plain = df.toDF(*_plain_names(df.columns))
    with task_python(df.sparkSession, _MODULES):
        written = plain.mapInArrow(write, _REPORT)
    return [tuple(row) for row in written.collect()]


def import_frame(
    spark: SparkSession,
    endpoints: str,
    secret: str,
    table: str,
    parts: list[tuple[int, int]],
    schema: StructType,
) -> DataFrame:
    """Make a DataFrame whose partitions read ``(endpoint, part)`` from the block servers."""
    connect, expect_ok = _connector(endpoints), _expectation()

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import struct

        for batch in batches:
            for number in batch.column(0).to_pylist():
                endpoint, part = parts[number]
                _, connection, _ = connect(f"{secret} GET {table} {part}", endpoint)
                with connection, connection.makefile("rb", 1 << 16) as answer:
                    expect_ok(answer)
                    (awaited,) = struct.unpack(">q", answer.read(8))
                    for rows in pa.ipc.open_stream(answer):
                        awaited -= rows.num_rows
                        yield rows.rename_columns(names)
                    if awaited:  # a stream that breaks off between two batches looks whole
                        raise OSError("The block server has ended in the middle of its answer.")

    from pyspark.sql.types import StructField, StructType

    names = _plain_names(schema.names)
    plain = StructType(
        [StructField(n, f.dataType) for n, f in zip(names, schema.fields, strict=True)]
    )
    numbers = spark.range(0, len(parts), 1, max(1, len(parts)))
    with task_python(spark, _MODULES):
        return numbers.mapInArrow(read, plain).toDF(*schema.names)


def _plain_names(names: list[str]) -> list[str]:
    return [f"c{index}" for index in range(len(names))]


def _connector(endpoints: str) -> _Connect:
    """A function that runs in a Spark task and connects to a server as Endpoint.java does."""
    limit = _SILENCE_SECONDS

    def connect(request: str, chosen: int | None = None) -> tuple[int, socket.socket, io.IOBase]:
        import base64
        import os
        import socket
        import ssl

        def is_ours(path: str) -> bool:
            # One that somebody else has put there is not to hear the secret.
            try:
                return os.stat(path).st_uid == os.getuid()
            except OSError:
                return False

        lines = [line.split("|", 4) for line in endpoints.split("\n")]
        node = os.environ.get("RAYDP_ML_NODE_ID")
        local = [i for i, (*_, path) in enumerate(lines) if is_ours(path)]
        same = [i for i, line in enumerate(lines) if line[0] == node]
        index = chosen if chosen is not None else [*same, *local, 0][0]
        _, host, port, certificate, path = lines[index]
        connection = None
        if index in local:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(path)
            except ConnectionRefusedError:  # the socket of another host, on a disk that is shared
                connection.close()
                if port == "0":
                    raise
                connection = None
        if connection is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # the certificate alone is known
            context.load_verify_locations(cadata=base64.b64decode(certificate))
            plain = socket.create_connection((host, int(port)), timeout=20)
            connection = context.wrap_socket(plain)
        connection.settimeout(limit)
        stream = connection.makefile("wb", 1 << 16)
        stream.write(f"{request}\n".encode())
        stream.flush()  # the server waits for it, and the first rows may be long in coming
        return index, connection, stream

    return connect


def _expectation() -> Callable[[io.IOBase], None]:
    """A function that runs in a Spark task and raises what the server says was wrong."""

    def expect_ok(answer: io.IOBase) -> None:
        import struct

        if answer.read(1) != b"\0":
            (size,) = struct.unpack(">i", answer.read(4) or bytes(4))
            raise OSError(answer.read(size).decode() or "The block server has ended.")

    return expect_ok
