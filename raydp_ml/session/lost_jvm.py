"""The end of the driver JVM, and what it lacks, told as one error by whatever call meets it.

Every call of PySpark's and ours goes through py4j's client, which tells of a JVM that is gone as a
refused connection, a broken one, or an "error while calling o12.count", after printing a stack
trace. A full disk it tells as the failure of a job, in a stack trace of some thousand characters.
"""

from __future__ import annotations

import logging
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from raydp_ml.exceptions import SessionError
from raydp_ml.session.full import shortage_in
from raydp_ml.session.jvm_output import JvmOutput

if TYPE_CHECKING:
    from py4j.java_gateway import JavaGateway

_ENDS_WITHIN = 5.0
"""Seconds from a connection that breaks to the end of the process that held it."""

_NOISE = "Exception while sending command."
_OUT_OF_HEAP = 52  # Spark's own exit status for it
_SHOWN = 2000  # characters of its last lines


class LostJvm:
    """Raises `SessionError` from every call of py4j's that finds the JVM ended.

    Where a call fails for want of disk, or of executors, it raises `ResourceError`.

    Parameters
    ----------
    gateway : py4j.java_gateway.JavaGateway
        The gateway to the JVM.
    process : subprocess.Popen
        The JVM.
    output : JvmOutput
        What it prints.
    memory : str
        The session's ``driver_memory``, for the text of the error.
    """

    def __init__(
        self,
        gateway: JavaGateway,
        process: subprocess.Popen[bytes],
        output: JvmOutput,
        memory: str,
    ) -> None:
        self._process = process
        self._output = output
        self._memory = memory
        self._was_stopped = False
        self._client = gateway._gateway_client
        self._send = self._client.send_command
        self._client.send_command = self._send_command
        logging.getLogger().addFilter(self._is_worth_printing)

    def expect_end(self) -> None:
        """Take the end of the JVM, from now on, for that of a stopped session."""
        self._was_stopped = True
        logging.getLogger().removeFilter(self._is_worth_printing)

    def _has_ended(self) -> bool:
        """Whether the JVM has ended, or is about to."""
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _error(self) -> SessionError:
        """Say that the JVM has ended, why as far as can be known, and what to do."""
        if self._was_stopped:
            return SessionError(
                "The SparkSession of this call was stopped. Start one (raydp_ml.init_spark) and "
                "make its DataFrames again from their sources."
            )
        tail = self._output.tail()[-_SHOWN:]
        status = self._process.returncode
        if status == -signal.SIGKILL:
            why = "it was killed, as the system does when the machine is out of memory"
            remedy = "a smaller driver_memory, or less beside it, if the machine is short of memory"
        elif status == _OUT_OF_HEAP or "OutOfMemoryError" in tail:
            why = "it ran out of heap"
            remedy = "a larger driver_memory"
        else:
            said = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            why, remedy = said, "what its last lines ask for"
        return SessionError(
            f"The driver JVM has ended, and this Spark session with it: {why} (driver_memory="
            f"{self._memory!r}). Blocks and fitted models are whole; DataFrames must be made again "
            f"from their sources. Call raydp_ml.stop_spark() and init_spark(...), with {remedy}. "
            f"It said last: {tail or 'nothing'}"
        )

    def _send_command(self, *args: Any, **kwargs: Any) -> Any:
        from py4j.protocol import ERROR, REFERENCE_TYPE, Py4JNetworkError

        try:
            answer = self._send(*args, **kwargs)
        except (Py4JNetworkError, OSError):
            if self._has_ended():
                raise self._error() from None  # what py4j saw of it says nothing more
            raise
        # A bare mark is py4j's own; what the JVM says of a call that fails is longer.
        if answer == ERROR and self._has_ended():
            raise self._error()
        if self._was_stopped and isinstance(answer, str) and answer.startswith(ERROR):
            raise self._error()  # such as that of a job whose Spark was stopped under it
        if isinstance(answer, str) and answer.startswith(f"{ERROR}{REFERENCE_TYPE}"):
            self._raise_shortage(answer)
        return answer

    def _raise_shortage(self, answer: str) -> None:
        """Raise `ResourceError` for an answer that refers to an exception for want of something."""
        from py4j.protocol import (
            END_COMMAND_PART,
            EXCEPTION_COMMAND_NAME,
            Py4JError,
            get_return_value,
        )

        # What py4j sends for the text of a Py4JJavaError, before it makes one: whoever makes it
        # owns the exception in the JVM.
        reference = answer[1:]
        said = self._send(f"{EXCEPTION_COMMAND_NAME}{reference}\n{END_COMMAND_PART}")
        shortage = shortage_in(str(get_return_value(said, self._client, None, None)))
        if shortage is None:
            return
        try:
            get_return_value(answer, self._client)
        except Py4JError as error:
            raise shortage from error

    def _is_worth_printing(self, record: logging.LogRecord) -> bool:
        return record.msg != _NOISE or not self._has_ended()
