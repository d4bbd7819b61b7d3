"""Streams read into memory that is used again."""

from __future__ import annotations

import os
import socket
import threading
import tracemalloc

import pytest

from raydp_ml.exchange.arena import Arena, ArenaStream


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def sent(connection, data):
    def send():
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, 100_000_000])
def test_what_is_read_is_what_was_sent(ends, size):
    data = os.urandom(size)
    sent(ends[1], data + b"more")
    stream = ArenaStream(ends[0], Arena(1 << 20))
    assert bytes(stream.read_buffer(size)) == data
    assert stream.read(100) == b"more", "fewer at the end"


def test_a_message_s_own_word_on_its_size_is_not_believed(ends):
    sent(ends[1], b"ten bytes.")
    tracemalloc.start()
    try:
        got = ArenaStream(ends[0], Arena(1 << 20)).read_buffer(1 << 50)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bytes(got) == b"ten bytes."
    assert peak < 64 << 20
