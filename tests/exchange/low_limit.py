"""A block server whose process runs out of file descriptors: a program of `test_block_server`.

A process of its own, since a limit holds for all of it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time

from raydp_ml.exchange import block_server
from raydp_ml.session.sealing import seal

_LIMIT = 64


class Client:
    """A task that asks for a table that is not there, and so is answered with an error."""

    def __init__(self, server: block_server.BlockServer) -> None:
        self._server = server
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def connect(self) -> Client:
        self._socket.connect(self._server.path())
        return self

    def ask(self) -> Client:
        self.connect()._socket.sendall(b"secret GET table 0\n")
        return self

    def close(self) -> None:
        self._socket.close()

    def answer(self, timeout: float = 20) -> str:
        self._socket.settimeout(timeout)
        text = b""
        try:
            while part := self._socket.recv(1 << 16):
                text += part
        except TimeoutError:
            return "no answer"
        finally:
            if text:
                self.close()
        return text[5:].decode()  # after a byte and the length


def main() -> None:
    server = block_server.BlockServer()
    server.take_secret(seal("secret", server.public_key()))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, hard))
    hoard: list[int] = []

    kept = []

    def starve() -> None:
        """Take all descriptors, also those that the server gives back or has in its hand."""
        for _ in range(3):
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                while True:
                    hoard.append(os.open(os.devnull, os.O_RDONLY))
            kept.append(clients.pop().connect())

    def recover() -> None:
        while hoard:
            os.close(hoard.pop())

    clients = [Client(server) for _ in range(10)]
    print("plenty:", clients.pop().ask().answer())
    starve()
    waits = clients.pop().ask()
    print("none:", waits.answer(1.0))
    recover()
    print("again:", waits.answer())
    block_server.REFUSE_SECONDS = 0.5
    starve()
    print("none for long:", clients.pop().ask().answer())
    recover()
    print("at last:", Client(server).ask().answer())
    for client in kept:
        client.close()
    server.close()
    deadline = time.monotonic() + 20
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    print("left:", threading.active_count() - 1, os.path.exists(server.path()))


if __name__ == "__main__":
    main()
