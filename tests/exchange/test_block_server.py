"""The block server's protocol, spoken over its real socket to a server in this process.

Spark starts no speculative copy of a task on the host of the first, and all of this machine's
executors are on one host; so two attempts of one partition are played here.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from raydp_ml.exchange.block_server import BLOCK_BYTES, BlockServer

SCHEMA = pa.schema([("x", pa.int64())])


@pytest.fixture
def server(ray_cluster):
    made = BlockServer("secret")
    yield made
    made.close()


class Attempt:
    """A task attempt that has sent all its rows, but not the end of its stream."""

    def __init__(self, server, partition, number, values, batch_rows=100_000):
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(server.path())
        self.file = self.connection.makefile("rwb")
        self.file.write(f"secret PUT job {partition} {number}\n".encode())
        self.writer = pa.ipc.new_stream(self.file, SCHEMA)
        table = pa.table({"x": pa.array(values, pa.int64())})
        self.writer.write_table(table, max_chunksize=batch_rows)
        self.file.flush()

    def finish(self):
        self.writer.close()
        self.file.flush()
        status = self.file.read(1)
        answer = self.file.read(8) if status == b"\0" else self.file.read()
        self.connection.close()
        return int.from_bytes(answer, "big") if status == b"\0" else answer.decode()

    def die(self):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def rows_of(ray, blocks):
    return [value for _, ref, *_ in blocks for value in ray.get(ref).column("x").to_pylist()]


def test_only_the_committed_attempt_of_a_partition_counts(server, ray_cluster):
    server.open_job("job", SCHEMA, ())
    big = range(3 * BLOCK_BYTES // 8)
    slow = Attempt(server, 0, 1, [7] * 1000)
    both = [Attempt(server, 1, 3, [5, 6]), Attempt(server, 1, 4, [5, 6])]
    copies = {}

    def send(number):
        copies[number] = Attempt(server, 0, number, big).finish()

    threads = [threading.Thread(target=send, args=(number,)) for number in (2, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert copies == {2: len(big), 9: len(big)}
    Attempt(server, 1, 8, [99]).die()
    assert [attempt.finish() for attempt in both] == [2, 2]
    blocks, _ = server.commit("job", [(0, 2, 0), (1, 4, 1)])
    assert rows_of(ray_cluster, blocks) == [*big, 5, 6]
    # The first copy ends too late: the job is closed, and what was committed stays as it is.
    slow.finish()
    assert rows_of(ray_cluster, blocks) == [*big, 5, 6]
    with pytest.raises(KeyError):
        server.commit("job", [(0, 1, 0)])


def test_an_attempt_of_a_closed_job_is_told_so(server):
    server.open_job("job", SCHEMA, ())
    server.abort("job")
    assert "This export has ended" in Attempt(server, 0, 1, [1]).finish()


def test_small_neighbours_share_a_block_and_big_ones_do_not(server, ray_cluster):
    server.open_job("job", SCHEMA, ())
    for partition in range(10):
        assert Attempt(server, partition, partition, [partition] * 10).finish() == 10
    blocks, _ = server.commit("job", [(p, p, p) for p in (0, 1, 2, 5, 6)])
    # Positions 3 and 4 are on another server: their rows come in between.
    assert [(at, rows) for at, _, rows, _ in blocks] == [(0, 30), (5, 20)]
    assert rows_of(ray_cluster, blocks) == [p for p in (0, 1, 2, 5, 6) for _ in range(10)]


def test_a_server_without_file_descriptors_answers_when_it_has_some_again():
    done = subprocess.run(
        [sys.executable, "-m", "tests.exchange.low_limit"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    freed = said.pop("plenty")
    assert "was freed or its session was stopped" in freed
    refused = said.pop("none for long")
    assert "takes no connection ([Errno 24] Too many open files)" in refused
    assert "ulimit -n" in refused
    assert said == {"none": "no answer", "again": freed, "at last": freed, "left": "0 False"}
