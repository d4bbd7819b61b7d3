"""Ctrl-C while Spark works: cancel its jobs, then let Python's KeyboardInterrupt through.

PySpark's own handler calls the JVM on the connection that the interrupted call is using, which
fails and prints two stack traces of py4j's in front of the interrupt.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import SparkContext


_CANCEL_SECONDS = 2
_NOISE = "KeyboardInterrupt while sending command."


class InterruptHandling:
    """What SIGINT does while a session lives; created before its SparkContext.

    Only the main thread may set signal handlers: in another thread this does nothing.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        self._context: SparkContext | None = None
        self._in_main_thread = threading.current_thread() is threading.main_thread()

    def install(self, context: SparkContext) -> None:
        """Replace the handler that creating `context` has set."""
        self._context = context
        if self._in_main_thread:
            # Not callable: SIGINT was ignored, as under nohup, and it stays so.
            signal.signal(signal.SIGINT, self._handle if callable(self._before) else self._before)
            # py4j logs the interrupt, with its stack trace, to the root logger.
            logging.getLogger().addFilter(_is_worth_printing)

    def remove(self) -> None:
        """Put back what was there before."""
        logging.getLogger().removeFilter(_is_worth_printing)
        ours = self._context is not None and signal.getsignal(signal.SIGINT) == self._handle
        if ours and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)
        self._context = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        # Another thread has another connection to the JVM; and Ctrl-C must not wait for long.
        cancel = threading.Thread(target=self._cancel_jobs, daemon=True)
        cancel.start()
        cancel.join(_CANCEL_SECONDS)
        if self._before is signal.default_int_handler:
            with contextlib.suppress(Exception):
                self._give_up_connection()
        assert callable(self._before)
        self._before(signum, frame)

    def _give_up_connection(self) -> None:
        # Where it finds a socket, py4j asks the JVM to close it, and that may close, later, the
        # new connection that this thread opens next: its calls then fail instead of the interrupt.
        context = self._context
        assert context is not None
        assert context._gateway is not None
        connection = context._gateway._gateway_client.get_thread_connection()
        connection.socket.shutdown(socket.SHUT_RDWR)
        connection.socket = None
        connection.is_connected = False

    def _cancel_jobs(self) -> None:
        with contextlib.suppress(Exception):
            assert self._context is not None
            self._context.cancelAllJobs()


def _is_worth_printing(record: logging.LogRecord) -> bool:
    return record.msg != _NOISE
