"""What whoever has the secret may send to a block server: each an answer, and the server goes on.

Without the secret nothing is read at all (`test_block_server`). The server is alone in a process,
which must not crash, hang, run anything, nor take memory beyond what was sent to it.
"""

from __future__ import annotations

import pickle
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from tests.exchange.lone_server import SCHEMA
from tests.peak_memory import Peak

RAN = Path(tempfile.gettempdir(), "raydp_ml_hostile")
MOST_MEMORY = 64 << 20
PUT = b"secret PUT job 0 0\n"
NO_STREAM = "RayDPMLError: What came for partition 0 is no Arrow stream of this export"
UNKNOWN = "RayDPMLError: The block server has no such request"


@pytest.fixture(scope="module")
def server():
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.exchange.lone_server"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process, process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def answer(path, sent):
    """The number of rows that were taken, or the text of the error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            if file.read(1) == b"\0":
                return int.from_bytes(file.read(8), "big")
            return file.read(int.from_bytes(file.read(4), "big")).decode()


TABLE = pa.table(
    {"x": range(1000), "s": [f"row {i}" for i in range(1000)], "v": [[1.0, 2.0]] * 1000},
    schema=SCHEMA,
)


def stream(table=TABLE, end=True, **options):
    sink = pa.BufferOutputStream()
    writer = pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options))
    writer.write_table(table)
    if end:
        writer.close()
    return sink.getvalue().to_pybytes()


def messages(data):
    """Where each message of a stream begins, and where its body does."""
    places, reader = [], pa.BufferReader(data)
    while True:
        begin = reader.tell()
        length = struct.unpack("<i", data[begin + 4 : begin + 8])[0]
        if not length:
            return places
        places.append((begin, begin + 8 + length))
        pa.ipc.read_message(reader)


def changed(old, new, data=None, dtype="<q"):
    """A stream in whose batch's metadata a number is another, wherever it stands."""
    data = stream() if data is None else data
    begin, body = messages(data)[-1]
    told, meant = (np.array(each, dtype).tobytes() for each in (old, new))
    metadata = data[begin:body]
    assert told in metadata
    return data[:begin] + metadata.replace(told, meant) + data[body:]


def swapped(array, old, new):
    """A stream of an array in the place of "s", and then of other bytes in place of some."""
    data = in_place(array)
    begin, _ = messages(data)[-1]
    at = data.rindex(old)
    assert at > begin
    return data[:at] + new + data[at + len(old) :]


def in_place(array):
    """Three rows with an array in the place of "s"."""
    columns = [pa.array([1, 2, 3]), array, pa.array([[1.0, 2.0]] * 3, SCHEMA.field("v").type)]
    return stream(pa.table(columns, names=["x", "s", "v"]))


def text(*offsets):
    """Three words, at places of the text's bytes that pyarrow itself would not write."""
    return swapped(WORDS, places(0, 1, 2, 3), places(*offsets))


def places(*values):
    return np.array(values, np.int32).tobytes()


def dictionary(*indices):
    """Strings by their numbers in a dictionary of two."""
    numbers = pa.array(indices, pa.int32())
    return in_place(pa.DictionaryArray.from_arrays(numbers, ["a", "b"], safe=False))


def told(compressed, size):
    """Numbers that say of themselves how long they are once they are decompressed."""
    assert struct.pack("<q", 8000) in compressed
    return compressed.replace(struct.pack("<q", 8000), struct.pack("<q", size))


class Runs:
    """What a pickle of it does where it is loaded."""

    def __reduce__(self):
        return (Path.touch, (RAN,))


def without_dictionary():
    data = dictionary(0, 1, 1)
    _, (begin, _), (batch, _) = messages(data)
    return data[:begin] + data[batch:]


def union(kind):
    values = pa.array([1, 2, 3])
    return pa.UnionArray.from_sparse(pa.array([kind] * 3, pa.int8()), [values], type_codes=[kind])


def of_extension(name, told):
    metadata = {b"ARROW:extension:name": name, b"ARROW:extension:metadata": told}
    return stream(TABLE.cast(SCHEMA.set(1, pa.field("s", pa.string(), metadata=metadata))))


def nested(depth):
    kind = pa.int64()
    for _ in range(depth):
        kind = pa.list_(kind)
    return pa.schema([("x", kind)]).serialize().to_pybytes()


WORDS = pa.array(["a", "b", "c"])
WHOLE = stream()
(_, _), (BATCH, BODY) = messages(WHOLE)
LZ4 = stream(compression="lz4")
ZSTD = stream(compression="zstd")
LONG_TEXT = b"secret PUT job 0 0" + b" " * 5000

REQUESTS = {
    "nothing": (b"secret \n", UNKNOWN),
    "no job": (b"secret PUT\n", UNKNOWN),
    "no partition": (b"secret PUT job\n", UNKNOWN),
    "no attempt": (b"secret PUT job 0\n", UNKNOWN),
    "a partition in words": (b"secret PUT job x 0\n", UNKNOWN),
    "an attempt in words": (b"secret PUT job 0 y\n", UNKNOWN),
    "a partition below zero": (b"secret PUT job -1 0\n", UNKNOWN),
    "too many numbers": (b"secret PUT job 0 0 0\n", UNKNOWN),
    "an exponent": (b"secret PUT job 1e3 0\n", UNKNOWN),
    "a number of 4,000 digits": (b"secret PUT job 0 " + b"9" * 4000 + b"\n", UNKNOWN),
    "another export": (b"secret PUT other 0 0\n", "This export has ended"),
    "no table": (b"secret GET\n", UNKNOWN),
    "no part": (b"secret GET table\n", UNKNOWN),
    "a part below zero": (b"secret GET table -1\n", UNKNOWN),
    "a part beyond": (b"secret GET table 0\n", "has 0 parts here, and no part 0"),
    "a part of no ASCII": ("secret GET table ٣\n".encode(), UNKNOWN),
    "another table": (b"secret GET other 0\n", "was freed or its session was stopped"),
    "a path": (b"secret GET ../../etc/passwd 0\n", "was freed or its session was stopped"),
    "another verb": (b"secret POST job 0 0\n", UNKNOWN),
    "small letters": (b"secret put job 0 0\n", UNKNOWN),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "given a wrong secret"),
    "zeros": (b"secret \0\0\0\0\n", UNKNOWN),
    "no text": (b"secret \xff\xfe\xfd\n", UNKNOWN),
    "no end of the line": (b"secret PUT job 0 0", UNKNOWN),
    "a line without end": (LONG_TEXT, UNKNOWN),
}

STREAMS = {
    "nothing": (b"", NO_STREAM),
    "noise": (b"garbage " * 1000, NO_STREAM),
    "zeros": (b"\0" * 100_000, NO_STREAM),
    "HTTP": (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", NO_STREAM),
    "a file of Arrow": (b"ARROW1\0\0" + WHOLE, NO_STREAM),
    "Parquet": (b"PAR1" + b"\x15\x04" * 500 + b"PAR1", NO_STREAM),
    "a schema cut off": (WHOLE[: BATCH // 2], NO_STREAM),
    "metadata cut off": (WHOLE[: BATCH + 40], NO_STREAM),
    "a body cut off": (WHOLE[: BODY + 100], NO_STREAM),
    "a last byte cut off": (stream(end=False)[:-1], NO_STREAM),
    "a batch before the schema": (WHOLE[BATCH:], NO_STREAM),
    "two schemas": (WHOLE[:BATCH] + WHOLE, NO_STREAM),
    "a schema of 2 GiB": (b"\xff" * 4 + struct.pack("<i", 2**31 - 1) + b"x" * 100, NO_STREAM),
    "a schema below zero": (b"\xff" * 4 + struct.pack("<i", -5) + b"x" * 100, NO_STREAM),
    "a message of 2 GiB": (
        WHOLE[:BATCH] + b"\xff" * 4 + struct.pack("<i", 2**31 - 1) + b"x" * 100,
        NO_STREAM,
    ),
    "a body of 2**62 bytes": (changed(len(WHOLE) - BODY - 8, 2**62), NO_STREAM),
    "a body below zero": (changed(len(WHOLE) - BODY - 8, -64), NO_STREAM),
    "2**62 rows": (changed(1000, 2**62), NO_STREAM),
    "rows below zero": (changed(1000, -1), NO_STREAM),
    "more rows than there are": (changed(1000, 1001), NO_STREAM),
    "a buffer of 2**40 bytes": (changed(8000, 2**40), NO_STREAM),
    "a buffer below zero": (changed(8000, -8), NO_STREAM),
    "2,000 nulls of three": (
        changed(1, 2000, in_place(pa.array(["a", "b", None]))),
        NO_STREAM,
    ),
    "text beyond the buffer": (text(0, 1, 2, 2**30), NO_STREAM),
    "text before the buffer": (text(-5, 1, 2, 3), NO_STREAM),
    "text backwards": (text(0, 3, 1, 3), NO_STREAM),
    "text that is none": (
        swapped(WORDS, b"abc", b"\xff\xfe\xfd"),
        "SchemaError: The strings of column 's' are not all valid UTF-8",
    ),
    "a dictionary's 9th of two": (dictionary(0, 1, 9), NO_STREAM),
    "a dictionary's one before": (dictionary(0, 1, -1), NO_STREAM),
    "a number of 2**31 - 1": (dictionary(0, 1, 2**31 - 1), NO_STREAM),
    "no dictionary": (without_dictionary(), NO_STREAM),
    "views beyond the buffer": (
        swapped(
            pa.array(["a" * 20, "b", "c"], pa.string_view()),
            struct.pack("<i4sii", 20, b"aaaa", 0, 0),
            struct.pack("<i4sii", 20, b"aaaa", 7, 0),
        ),
        NO_STREAM,
    ),
    "lists beyond their numbers": (
        swapped(pa.array([[1], [2], [3]]), places(0, 1, 2, 3), places(0, 1, 2, 2**30)),
        NO_STREAM,
    ),
    "numbers that are words": (in_place(pa.array([b"\xff\xff"] * 3)), NO_STREAM),
    "no struct": (in_place(pa.array([{"a": 1}] * 3)), NO_STREAM),
    "no map": (in_place(pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64()))), NO_STREAM),
    "no union": (in_place(union(5)), NO_STREAM),
    "a union of no such kind": (swapped(union(5), b"\5\5\5", b"\7\7\7"), NO_STREAM),
    "a column too few": (stream(TABLE.drop_columns("s")), NO_STREAM),
    "a column too many": (stream(TABLE.append_column("more", TABLE["x"])), NO_STREAM),
    "3,000 columns": (stream(pa.table({f"c{i}": [1] for i in range(3000)})), NO_STREAM),
    "words for numbers": (stream(TABLE.set_column(0, "x", TABLE["s"])), NO_STREAM),
    "numbers that are too large": (
        stream(TABLE.set_column(0, "x", pa.array([2**64 - 1] * 1000, pa.uint64()))),
        NO_STREAM,
    ),
    "lists in lists": (nested(5000), NO_STREAM),
    "vectors of unequal length": (
        stream(TABLE.set_column(2, "v", pa.array([[1.0], [1.0, 2.0]] * 500))),
        "SchemaError: The vectors of column 'v' differ in length",
    ),
    "damaged lz4": (LZ4[:-200] + b"\xff" * 100 + LZ4[-100:], NO_STREAM),
    "damaged zstd": (ZSTD[:-200] + b"\xff" * 100 + ZSTD[-100:], NO_STREAM),
    "lz4 of 2**40 bytes": (told(LZ4, 2**40), NO_STREAM),
    "zstd below zero": (told(ZSTD, -9), NO_STREAM),
}  # fmt: skip

HARMLESS = {
    # The task has died: what it sent is not committed.
    "no end": (stream(end=False), 1000),
    "more behind the end": (WHOLE + b"more" * 1000, 1000),
    "no rows": (stream(TABLE.slice(0, 0)), 0),
    "no columns": (stream(pa.table({})), 0),
    "other names": (stream(TABLE.rename_columns(["; DROP TABLE x", "`", "\0"])), 1000),
    "words by numbers": (dictionary(0, 1, 1), 3),
    "lz4": (LZ4, 1000),
    "zstd": (ZSTD, 1000),
    "an unknown extension": (of_extension(b"no.such", b"\xff" * 100), 1000),
    "an extension of Python's": (
        of_extension(b"arrow.py_extension_type", pickle.dumps(Runs())),
        1000,
    ),
}


def check(server, sent, expected):
    process, path = server
    peak = Peak(process.pid)
    said = answer(path, sent)
    assert peak.rise() < MOST_MEMORY + 2 * len(sent)
    if isinstance(expected, int):
        assert said == expected
    else:
        assert isinstance(said, str), f"{said} rows were taken"
        assert expected in said
        assert len(said) < 2000
    assert answer(path, PUT + WHOLE) == 1000, "the server goes on"
    assert not psutil.Process(process.pid).children()


@pytest.mark.parametrize("case", REQUESTS)
def test_requests(server, case):
    check(server, *REQUESTS[case])


@pytest.mark.parametrize("case", STREAMS)
def test_streams(server, case):
    data, text = STREAMS[case]
    check(server, PUT + data, text)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_no_harm(server, case):
    data, rows = HARMLESS[case]
    check(server, PUT + data, rows)
    assert not RAN.exists()
