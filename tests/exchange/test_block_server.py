"""The block server's protocol, spoken over its real socket to a server in this process.

Spark starts no speculative copy of a task on the host of the first, and all of this machine's
executors are on one host; so two attempts of one partition are played here.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from raydp_ml.exchange import block_server
from raydp_ml.exchange.block_server import BLOCK_BYTES, BlockServer
from raydp_ml.exchange.certificate import certified
from raydp_ml.exchange.python_tasks import _connector
from raydp_ml.session.sealing import seal

SCHEMA = pa.schema([("x", pa.int64())])


def started():
    server = BlockServer()
    server.take_secret(seal("secret", server.public_key()))
    return server


@pytest.fixture
def server(ray_cluster):
    made = started()
    yield made
    made.close()


def said(file):
    """The text of an error, after its first byte."""
    return file.read(int.from_bytes(file.read(4), "big")).decode()


def connected(server):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(server.path())
    return connection


class Attempt:
    """A task attempt that has sent all its rows, but not the end of its stream."""

    def __init__(self, server, partition, number, values, batch_rows=100_000, connection=None):
        self.connection = connection or connected(server)
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
        answer = int.from_bytes(self.file.read(8), "big") if status == b"\x00" else said(self.file)
        self.connection.close()
        return answer

    def die(self):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def rows_of(ray, blocks):
    return [value for _, ref, *_ in blocks for value in ray.get(ref).column("x").to_pylist()]


@pytest.mark.slow
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


@pytest.mark.slow
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


def encrypted(server, certificate=None):
    port, its_own = server.listen_tcp("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=base64.b64decode(certificate or its_own))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)))


def test_rows_come_encrypted_from_other_hosts(server, ray_cluster):
    server.open_job("job", SCHEMA, ())
    big = range(BLOCK_BYTES // 4)
    assert Attempt(server, 0, 1, big, connection=encrypted(server)).finish() == len(big)
    blocks, _ = server.commit("job", [(0, 1, 0)])
    assert rows_of(ray_cluster, blocks) == [*big]
    assert (
        "This export has ended" in Attempt(server, 0, 2, [1], connection=encrypted(server)).finish()
    )
    # Nothing of the key is left for others to read.
    assert os.listdir(Path(server.path()).parent) == ["blocks"]


def test_another_server_in_its_place_is_not_trusted(server, tmp_path):
    _, certificate = certified(str(tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError):
        encrypted(server, certificate)


def test_what_is_not_encrypted_is_not_answered(server):
    with half_open(server) as plain:
        plain.sendall(b"secret GET table 0\n")
        got = b""
        with contextlib.suppress(ConnectionError):
            while part := plain.recv(1 << 16):
                got += part
    # A TLS alert, and nothing of the protocol behind it.
    assert b"freed" not in got
    assert len(got) < 16


@pytest.mark.parametrize("make", [connected, encrypted])
@pytest.mark.parametrize(
    "first", [b"wrong PUT job 0 0\n", b"\n", b"\xff" * 5000, b"secretx GET t 0\n"]
)
def test_without_the_secret_nothing_is_done(server, make, first):
    server.open_job("job", SCHEMA, ())
    with make(server) as connection, connection.makefile("rb") as file:
        connection.sendall(first)
        assert file.read(1) == b"\1"
        assert said(file) == "RayDPMLError: The block server was given a wrong secret."


def test_before_it_has_a_secret_nobody_is_served(ray_cluster):
    server = BlockServer()
    for first in (b"\n", b"None GET t 0\n", b" GET t 0\n"):
        with connected(server) as connection, connection.makefile("rb") as file:
            connection.sendall(first)
            assert file.read(1) == b"\1"
            assert "wrong secret" in said(file)
    server.close()


@pytest.mark.parametrize("make", [connected, encrypted])
def test_strangers_who_say_nothing_are_sent_away(ray_cluster, make, monkeypatch):
    monkeypatch.setattr(block_server, "GREETING_SECONDS", 0.5)
    monkeypatch.setattr(block_server, "MOST_STRANGERS", 4)
    server = started()
    mute = [make(server) if make is connected else half_open(server) for _ in range(12)]
    # They are more than may be undecided at a time; whoever has the secret is served after them.
    server.open_job("job", SCHEMA, ())
    assert Attempt(server, 0, 1, [1, 2], connection=make(server)).finish() == 2
    for connection in mute:
        connection.close()
    server.close()


def half_open(server):
    """A TCP connection on which no encryption begins."""
    return socket.create_connection(("127.0.0.1", server.listen_tcp("127.0.0.1")[0]))


def endpoint(server, path=None):
    port, certificate = server.listen_tcp("127.0.0.1")
    return f"node|127.0.0.1|{port}|{certificate}|{path or server.path()}"


def test_the_first_rows_of_a_python_task_may_be_long_in_coming(ray_cluster, monkeypatch):
    monkeypatch.setattr(block_server, "GREETING_SECONDS", 0.3)
    server = started()
    server.open_job("job", SCHEMA, ())
    _, connection, stream = _connector(endpoint(server))("secret PUT job 0 1")
    time.sleep(1.0)  # longer than the server waits for the request
    with connection, connection.makefile("rb") as answer:
        with pa.ipc.new_stream(stream, SCHEMA) as writer:
            writer.write_table(pa.table({"x": [1, 2, 3]}))
        stream.flush()
        assert answer.read(9) == b"\0" + (3).to_bytes(8, "big")
    server.close()


@pytest.mark.parametrize("fault", ["a stranger's", "nobody listens"])
def test_a_path_that_is_not_the_server_s_hears_no_secret(server, tmp_path, fault):
    path = str(tmp_path / "blocks")
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    heard.bind(path)
    if fault == "a stranger's":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        heard.listen()
        os.chown(path, 65534, 65534)
    server.open_job("job", SCHEMA, ())
    _, connection, stream = _connector(endpoint(server, path))("secret PUT job 0 1")
    assert isinstance(connection, ssl.SSLSocket)
    with connection:
        stream.close()
    heard.setblocking(False)
    with heard, pytest.raises(OSError, match=r"Resource temporarily|Invalid argument"):
        heard.accept()
