"""The actor on each Ray node that takes Arrow streams from Spark tasks and sends blocks to them.

It owns the blocks that it receives, so they live as long as it does and not as long as Spark. A
request is one line over a Unix-domain socket, or over TCP with TLS (see certificate.py)::

    SECRET PUT job partition attempt     then an Arrow IPC stream; answer: ok, rows (8 bytes)
    SECRET GET table part                answer: ok, rows (8 bytes), then an Arrow IPC stream

The answer begins with a zero byte, or with another byte, a length (4 bytes) and the text of an
error.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import select
import socket
import ssl
import struct
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from raydp_ml.exceptions import RayDPMLError, ResourceError, SchemaError
from raydp_ml.exchange.arena import Arena, ArenaPool, ArenaStream
from raydp_ml.exchange.certificate import certified
from raydp_ml.exchange.schema import VECTOR, fixed_size, spark_ready
from raydp_ml.exchange.unify import aligned
from raydp_ml.session.full import store_may_be_full
from raydp_ml.session.guard import Guard
from raydp_ml.session.sealing import Receiver

if TYPE_CHECKING:
    import ray

BLOCK_BYTES = 32 << 20
"""A block is put into the object store when it has this size, also in the middle of a partition."""

_SMALL_BYTES = 2 << 20
"""What is left of a partition is held back, to share a block with its neighbours, below this."""

_ARENA_BYTES = BLOCK_BYTES + (8 << 20)
"""A block, and the batch that makes it full."""

_SEND_ROWS = 1 << 16
_OK = b"\0"
_LONGEST_ROOT = 70
_LONGEST_REQUEST = 4096
_PUT = re.compile(r"PUT (\S+) (\d{1,18}) (\d{1,18})\n", re.ASCII)
_GET = re.compile(r"GET (\S+) (\d{1,18})\n", re.ASCII)
_ACCEPT_AGAIN_SECONDS = 0.1
_DRAIN_SECONDS = 5.0
_REFUSAL_SECONDS = 0.2
REFUSE_SECONDS = 60.0
"""So long a task may wait while no connection can be accepted, before it is told why."""

GREETING_SECONDS = 20.0
"""Until which a connection must have shown the secret."""

MOST_STRANGERS = 128
"""Connections at a time that have not shown the secret yet; further ones wait to be accepted."""

# A host that is gone must be noticed; silence alone is no sign, a slow task is silent too.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 6}


_Part = tuple["ray.ObjectRef[pa.Table]", int, int]
"""Rows of a block, from the first number to the second."""


@dataclass
class _Attempt:
    """What one task attempt has sent: blocks with their rows and bytes, and the rest."""

    blocks: list[tuple[ray.ObjectRef[pa.Table], int, int]] = field(
        default_factory=list
    )  # ref, rows, bytes
    tail: pa.Table | None = None  # too small for a block of its own; vectors are still lists
    rows: int = 0


@dataclass
class _Job:
    """One export: the schema that is expected, and the attempts received so far."""

    schema: pa.Schema
    vectors: tuple[str, ...]
    widths: dict[str, int] = field(default_factory=dict)
    attempts: dict[tuple[int, int], _Attempt] = field(default_factory=dict)
    error: SchemaError | ResourceError | None = None


class BlockServer:
    """Owner of blocks on one node; see the module's text for its protocol."""

    def __init__(self) -> None:
        self._receiver = Receiver()
        self._secret: str | None = None
        self._jobs: dict[str, _Job] = {}
        self._tables: dict[
            str, tuple[list[tuple[ray.ObjectRef[pa.Table], int, int]], pa.Schema]
        ] = {}
        self._lock = threading.Lock()
        self._arenas = ArenaPool(_ARENA_BYTES)
        self._listeners: list[socket.socket] = []
        self._tcp: tuple[int, str] | None = None
        self._closed = False
        # A descriptor to give up when there is none left to say so with.
        self._spare = open(os.devnull, "rb")  # noqa: SIM115
        # The path of a Unix-domain socket has at most 107 bytes.
        root = tempfile.gettempdir() if len(tempfile.gettempdir()) < _LONGEST_ROOT else "/tmp"
        self._directory = tempfile.mkdtemp(prefix="raydp_ml_", dir=root)
        self._guard = Guard(None, self._directory)
        self._path = os.path.join(self._directory, "blocks")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self._path)
        self._listen(listener)

    def path(self) -> str:
        """Path of the Unix-domain socket."""
        return self._path

    def public_key(self) -> bytes:
        """What to seal the secret with."""
        return self._receiver.public_key()

    def take_secret(self, sealed: bytes) -> None:
        """Serve whoever begins with this secret (see sealing.py); until then, nobody."""
        self._secret = self._receiver.open(sealed)

    def listen_tcp(self, host: str) -> tuple[int, str]:
        """Listen on TCP too, for Spark executors on other hosts.

        Returns
        -------
        port : int
        certificate : str
            What clients are to expect (DER, in base64).
        """
        if self._tcp is None:
            context, certificate = certified(self._directory)
            listener = _listener(host)
            self._tcp = listener.getsockname()[1], certificate
            self._listen(listener, context)
        return self._tcp

    def close(self) -> None:
        """Serve Spark no more: remove the socket file, let go of what was offered."""
        self._guard.release()
        self._guard.wait()
        self._closed = True
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        self._spare.close()
        self._tables.clear()
        self._jobs.clear()

    # -- control, called by the driver --

    def open_job(self, job: str, schema: pa.Schema, vectors: tuple[str, ...]) -> None:
        """Accept streams of `job`, whose tables have `schema`."""
        self._jobs[job] = _Job(schema, vectors)

    def commit(
        self, job: str, attempts: list[tuple[int, int, int]]
    ) -> tuple[list[tuple[int, ray.ObjectRef[pa.Table], int, int]], dict[str, int]]:
        """Keep what the successful attempts sent and drop the rest.

        Parameters
        ----------
        job : str
            From `open_job`; it is closed, and attempts that are still running are refused.
        attempts : list of (partition, attempt, position)
            In the order of the rows; consecutive positions are neighbours, whose small tables may
            share a block.

        Returns
        -------
        blocks : list of (position, ray.ObjectRef, rows, bytes)
            In order.
        widths : dict of str to int
            Length of the vectors of each vector column seen.
        """
        with self._lock:
            state = self._jobs.pop(job)
        blocks: list[tuple[int, ray.ObjectRef[pa.Table], int, int]] = []
        small: list[pa.Table] = []
        small_at = last = -2

        def flush() -> None:
            if small:
                table = pa.concat_tables(small)
                blocks.append((small_at, _put(table), table.num_rows, table.nbytes))
                small.clear()

        for partition, attempt, position in attempts:
            sent = state.attempts[partition, attempt]
            if position != last + 1 or sent.blocks:
                flush()
            blocks += [(position, *block) for block in sent.blocks]
            if sent.tail is not None:
                if not small:
                    small_at = position
                small.append(_with_vectors(sent.tail, state))
                if sum(table.nbytes for table in small) >= BLOCK_BYTES // 2:
                    flush()
            last = position
        flush()
        return blocks, state.widths

    def abort(self, job: str) -> SchemaError | ResourceError | None:
        """Drop a job and what was sent for it; return the error here, if one ended it."""
        with self._lock:
            state = self._jobs.pop(job, None)
        return state.error if state else None

    def offer(self, table: str, parts: list[_Part], schema: pa.Schema) -> None:
        """Send, on request, rows ``start`` to ``stop`` of each ``(ref, start, stop)``.

        The reader goes by the columns' places: each block is brought to `schema` first.
        """
        self._tables[table] = parts, schema

    def withdraw(self, table: str) -> None:
        """Stop offering a table, and let go of its blocks."""
        self._tables.pop(table, None)

    # -- data, asked for by Spark tasks --

    def _listen(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        listener.listen(1024)
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, context), daemon=True).start()

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        waiting_since: float | None = None
        strangers = threading.BoundedSemaphore(MOST_STRANGERS)
        while not self._closed:
            strangers.acquire()
            try:
                connection, _ = listener.accept()
            except OSError as error:
                strangers.release()
                # Descriptors or memory that others will give back, or a client that is gone. Who
                # comes meanwhile waits in the socket's queue, but not for ever.
                now = time.monotonic()
                waiting_since = (waiting_since or now) if _has_client(listener) else None
                if waiting_since is not None and now - waiting_since > REFUSE_SECONDS:
                    self._refuse(listener, error)
                time.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            waiting_since = None
            try:
                threading.Thread(
                    target=self._answer, args=(connection, context, strangers), daemon=True
                ).start()
            except RuntimeError as error:  # no more threads
                strangers.release()
                with connection:
                    _send_error(connection, error)

    def _refuse(self, listener: socket.socket, error: OSError) -> None:
        """Tell one client that waits why nobody answers it."""
        self._spare.close()
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            _send_error(
                connection,
                ResourceError(
                    f"The block server takes no connection ({error}). It may have reached its "
                    "limit of open files: raise it (ulimit -n) before Ray starts."
                ),
                _REFUSAL_SECONDS,  # the next one waits
            )
        with contextlib.suppress(OSError):
            self._spare = open(os.devnull, "rb")  # noqa: SIM115

    def _answer(
        self,
        plain: socket.socket,
        context: ssl.SSLContext | None,
        strangers: threading.BoundedSemaphore,
    ) -> None:
        try:
            connection, request = self._greeted(plain, context)
        except (OSError, RayDPMLError) as error:
            with plain:
                _send_error(plain, error, _REFUSAL_SECONDS)
            return
        finally:
            strangers.release()
        with connection:
            try:
                with self._arenas.lend() as arena:
                    self._serve(connection, request, arena)
            except Exception as error:
                # Whatever it is, the task must hear of it, unless it has ended: then its attempt
                # is not committed.
                _send_error(connection, error)

    def _greeted(
        self, connection: socket.socket, context: ssl.SSLContext | None
    ) -> tuple[socket.socket, str]:
        """Return the connection, encrypted where it is to be, and the request that came first."""
        connection.settimeout(GREETING_SECONDS)
        if context is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEP_ALIVE.items():
                if hasattr(socket, option):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            connection = context.wrap_socket(connection, server_side=True)
        try:
            line = _first_line(connection).decode(errors="replace")
            secret, _, request = line.partition(" ")
            known = self._secret
            if known is None or not hmac.compare_digest(secret.encode(), known.encode()):
                raise RayDPMLError("The block server was given a wrong secret.")
        except BaseException as error:
            if context is not None:  # which has taken the socket out of the plain one
                with connection:
                    _send_error(connection, error, _REFUSAL_SECONDS)
            raise
        connection.settimeout(None)
        return connection, request

    def _serve(self, connection: socket.socket, request: str, arena: Arena) -> None:
        if put := _PUT.fullmatch(request):
            stream = ArenaStream(connection, arena)
            rows = self._receive(stream, arena, put[1], int(put[2]), int(put[3]))
            connection.sendall(_OK + struct.pack(">q", rows))
        elif get := _GET.fullmatch(request):
            self._send(connection, get[1], int(get[2]))
        else:
            raise RayDPMLError(f"The block server has no such request: {request[:80]!r}.")

    def _receive(
        self, stream: ArenaStream, arena: Arena, job: str, partition: int, number: int
    ) -> int:
        state = self._jobs.get(job)
        if state is None:
            raise RayDPMLError("This export has ended: another attempt of the task was taken.")
        try:
            attempt = _read_attempt(stream, arena, state)
        except (SchemaError, ResourceError) as error:
            state.error = error
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RayDPMLError(
                f"What came for partition {partition} is no Arrow stream of this export "
                f"({type(error).__name__}: {error})."
            ) from error
        with self._lock:
            state.attempts[partition, number] = attempt
        return attempt.rows

    def _send(self, connection: socket.socket, table: str, part: int) -> None:
        from raydp_ml.exchange.blocks import fetch

        offered = self._tables.get(table)
        if offered is None:
            raise RayDPMLError(
                "The data behind this DataFrame was freed or its session was stopped. Keep the "
                "Blocks until the last use, or call to_spark again."
            )
        parts, schema = offered
        if part >= len(parts):
            raise RayDPMLError(f"This DataFrame has {len(parts)} parts here, and no part {part}.")
        ref, start, stop = parts[part]
        (block,) = fetch([ref])
        rows = spark_ready(aligned(block.slice(start, stop - start), schema, "these Blocks"))
        connection.sendall(_OK + struct.pack(">q", rows.num_rows))
        with (
            connection.makefile("wb", 1 << 16) as stream,
            pa.ipc.new_stream(stream, rows.schema) as writer,
        ):
            writer.write_table(rows, max_chunksize=_SEND_ROWS)


def _listener(host: str) -> socket.socket:
    """Listen at an address, or at all where it is none of this machine's own, as behind a NAT."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, 0), family=family)
    except OSError:
        return socket.create_server(("", 0), family=family)


def _first_line(connection: socket.socket) -> bytes:
    """Read a line byte by byte: what follows belongs to another reader."""
    line = b""
    until = time.monotonic() + GREETING_SECONDS
    while not line.endswith(b"\n") and len(line) < _LONGEST_REQUEST:
        byte = connection.recv(1)
        if not byte:
            break
        if time.monotonic() > until:  # a byte now and then is not enough
            raise TimeoutError(f"No request came within {GREETING_SECONDS:.0f} s.")
        line += byte
    return line


def _has_client(listener: socket.socket) -> bool:
    """Whether a connection waits to be accepted; accept itself may fail before it looks."""
    if listener.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def _send_error(
    connection: socket.socket, error: BaseException, patience: float = _DRAIN_SECONDS
) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(patience)
        text = f"{type(error).__name__}: {error}".encode()
        connection.sendall(b"\1" + struct.pack(">i", len(text)) + text)
        # Read what the task still sends: closing on unread bytes would destroy our answer.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass


def _read_attempt(stream: ArenaStream, arena: Arena, job: _Job) -> _Attempt:
    """Read one stream to its end, and put it into the object store block by block."""
    attempt = _Attempt()
    batches: list[pa.RecordBatch] = []
    size = 0

    def put() -> bool:
        """Make a block of the batches; not while the width of a vector column is unknown."""
        block = _with_vectors(_plain(batches, job), job)
        if any(block.schema.field(name).type.list_size == 0 for name in job.vectors):
            return False
        attempt.blocks.append((_put(block), block.num_rows, block.nbytes))
        return True

    for batch in pa.ipc.open_stream(pa.PythonFile(stream, mode="r")):
        _validate(batch, job)  # places in it that lie outside would end this process
        batches.append(batch)
        size += batch.nbytes
        attempt.rows += batch.num_rows
        if size >= BLOCK_BYTES and put():
            batches, size = [], 0
            arena.rewind()
    if batches and not (size >= _SMALL_BYTES and put()):
        attempt.tail = _copied(_plain(batches, job))
        _with_vectors(attempt.tail, job)  # finds vectors of unequal length now
    return attempt


def _validate(batch: pa.RecordBatch, job: _Job) -> None:
    """Raise `SchemaError` for text that is no UTF-8, which Spark has, and ArrowInvalid else."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        for name, column in zip(job.schema.names, batch.columns, strict=False):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                if "UTF8" in str(error):
                    raise SchemaError(
                        f"The strings of column {name!r} are not all valid UTF-8, which Arrow's "
                        "are. Find such rows with ~is_valid_utf8, mend them with make_valid_utf8 "
                        "(pyspark.sql.functions), or take the bytes: cast the column to binary."
                    ) from error
        raise


def _put(table: pa.Table) -> ray.ObjectRef[pa.Table]:
    import ray

    with store_may_be_full():
        return ray.put(table)


def _plain(batches: list[pa.RecordBatch], job: _Job) -> pa.Table:
    # Names, field metadata and nullability differ between Spark's two writers.
    return pa.Table.from_batches(batches).rename_columns(job.schema.names).cast(job.schema)


def _copied(table: pa.Table) -> pa.Table:
    """Move a table out of the arena."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _with_vectors(table: pa.Table, job: _Job) -> pa.Table:
    """Make the vector columns fixed-size lists, as long as their width is known (else 0 wide)."""
    for name in job.vectors:
        column = fixed_size(table.column(name), name, job.widths.get(name))
        # Another stream may have told its width meanwhile.
        width = job.widths.setdefault(name, column.type.list_size) if column.type.list_size else 0
        if width != column.type.list_size:
            column = fixed_size(column, name, width)  # says which lengths there are
        index = table.schema.get_field_index(name)
        table = table.set_column(index, pa.field(name, column.type, metadata=VECTOR), column)
    return table
