"""The Ray that Spark, the exchange and training share, and who keeps it up.

Ray is started here when nobody has started it, and then it is ours to end: with ``stop_spark``,
unless someone still holds it (blocks stay readable), and at interpreter exit in any case.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path

from raydp_ml.exceptions import ResourceError, SessionError
from raydp_ml.session.memory import shared_memory_bytes

_CLIENT_REMEDY = (
    "Spark's driver and the object store must be on a machine of the Ray cluster. Run this "
    "program on one of its nodes (for example with `ray job submit`) and connect by "
    "`ray.init(address='auto')`, or let init_spark start Ray."
)

_START_SECONDS = 120.0
_STORE = "object_store_memory"
_HANGS = (
    "Ray has not started for %.0f s. The end of raylet.err in the logs of Ray's folder "
    "(/tmp/ray/session_latest/logs) may say why its workers do not start; then only `kill` ends "
    "this program."
)
_SLOW_START = "timed out during startup"  # of a plain Exception of Ray's, after 30 seconds

logger = logging.getLogger(__name__)
_lock = threading.RLock()
_opened: str | None = None  # what connection() said of the one we opened
_closing_is_due = False
_holders: dict[int, weakref.ref[object]] = {}
_callbacks: list[Callable[[], object]] = []


def ensure_ray(timeout: float = _START_SECONDS) -> None:
    """Connect to Ray if this process is not connected yet, starting a local one if need be.

    Parameters
    ----------
    timeout : float, default=120
        Seconds to try. Ray itself gives up after some 30, which is the grain of this limit.

    Raises
    ------
    SessionError
        If the connection is (or ``RAY_ADDRESS`` asks for) a ``ray://`` client, or Ray does not
        start.
    ResourceError
        If Ray did not come up in time on this machine.
    """
    global _opened, _closing_is_due
    with _lock:
        address = os.environ.get("RAY_ADDRESS", "")
        import ray

        if _is_client():
            raise SessionError(
                "Ray is connected as a client (ray://), which raydp_ml cannot use. "
                f"{_CLIENT_REMEDY}"
            )
        if ray.is_initialized():
            _closing_is_due = False
            return
        if address.startswith("ray://"):
            raise SessionError(
                f"RAY_ADDRESS is {address!r}, a client connection, which raydp_ml cannot use. "
                f"{_CLIENT_REMEDY}"
            )
        _, room = shared_memory_bytes()  # Ray's own measure, before it takes its part
        _start(timeout)
        _opened = connection()
        _warn_of_slow_store(room)
        _closing_is_due = False
        _close_at_exit()


def _start(timeout: float) -> None:
    import ray

    _check_folder()
    begun = time.monotonic()
    while True:
        # Where Ray's workers end as they start, it waits for them for ever, deaf to signals.
        late = threading.Timer(timeout, logger.warning, [_HANGS, timeout])
        late.daemon = True
        late.start()
        try:
            ray.init(include_dashboard=False, logging_level=logging.ERROR)
            return
        except BaseException as error:
            _end_half_started(error)
            if not isinstance(error, Exception):  # Ctrl-C
                raise
            if _SLOW_START not in str(error):
                raise SessionError(
                    f"Ray did not start: {error} If a Ray cluster ran here before, `ray stop` or "
                    "unsetting RAY_ADDRESS clears its address."
                ) from error
            waited = time.monotonic() - begun
            if waited > timeout:
                raise ResourceError(
                    f"Ray did not start on this machine within {waited:.0f} s (timeout="
                    f"{timeout:g}): the machine is busy, or short of memory or processes, or the "
                    "logs in Ray's folder (/tmp/ray/session_latest/logs) say why. End other work, "
                    "or raise timeout."
                ) from error
            logger.warning("Ray did not start within %.0f s; raydp_ml tries again.", waited)
        finally:
            late.cancel()


def _check_folder() -> None:
    """Refuse a temporary folder within the virtual environment, where no worker of Ray starts."""
    if os.environ.get("RAY_ADDRESS") or not os.environ.get("VIRTUAL_ENV"):
        return
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    folder = Path(os.environ.get(name, "/tmp")).resolve()
    environment = Path(os.environ["VIRTUAL_ENV"]).resolve()
    if folder.is_relative_to(environment):
        raise SessionError(
            f"Ray keeps its files in {name}, which is {str(folder)!r}, and refuses a folder within "
            f"the virtual environment ({str(environment)!r}). Set RAY_TMPDIR to a folder elsewhere."
        )


def _warn_of_slow_store(room: int) -> None:
    """Say that the object store is on disk, which Ray does in a warning that is not shown."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    store = sum(n["Resources"].get(_STORE, 0) for n in ray.nodes() if n["NodeID"] == here)
    if room < store and sys.platform == "linux" and not os.environ.get("RAY_ADDRESS"):
        logger.warning(
            "Ray's object store is a file on disk, as /dev/shm has no more than %d MB free, and "
            "is slow. In Docker give the container more (--shm-size=8g), elsewhere remount "
            "/dev/shm.",
            room // 10**6,
        )


def _end_half_started(error: BaseException) -> None:
    """End the processes of a Ray whose start has failed, which ``ray.init`` leaves behind."""
    from ray._private.node import Node

    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node) and frame.f_code.co_name == "__init__":
            try:
                node.kill_all_processes(check_alive=False, allow_graceful=False)
            except Exception:
                logger.warning("Ray's half-started processes did not end", exc_info=True)


def is_ours() -> bool:
    """Whether this process' Ray connection was opened by `ensure_ray` and is still open."""
    return _opened is not None and _opened == connection()


def connection() -> str:
    """Name this process' connection to Ray, or give "" where there is none.

    It is another one after Ray was shut down and started again, and in a forked child.
    """
    if "ray" not in sys.modules:
        return ""
    import ray

    if not ray.is_initialized():
        return ""
    context = ray.get_runtime_context()
    job, node = context.get_job_id(), context.get_node_id()
    return f"{os.getpid()} {context.gcs_address} {job} {node}"


def is_open(opened: str) -> bool:
    """Whether this process still has the connection that `connection` named `opened`.

    To be asked before any call of Ray while cleaning up: where the user has ended Ray, the call
    would start another.
    """
    return opened != "" and opened == connection()


def require_open(opened: str) -> None:
    """Raise `SessionError` where the connection that `connection` named `opened` was ended."""
    if not is_open(opened):
        raise SessionError(
            "Ray was shut down (by ray.shutdown(), stop_spark() or the end of the program) while "
            "it was at work. Call again when the session that is needed is there."
        )


def losses() -> tuple[type[Exception], ...]:
    """Return Ray's exceptions that say that a process, or its node, has ended."""
    import ray

    return (
        ray.exceptions.RayActorError,
        ray.exceptions.ActorUnschedulableError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.WorkerCrashedError,
    )


def hold(obj: object) -> None:
    """Keep a Ray that we started up after ``stop_spark`` for as long as `obj` lives.

    When `obj` dies unreleased, nothing happens at once (Ray must not be shut down from inside the
    garbage collector): the next `release` or `close` counts without it.
    """
    with _lock:
        key = id(obj)
        _holders[key] = weakref.ref(obj, lambda _: _holders.pop(key, None))


def release(obj: object) -> None:
    """End the hold of `obj`; the last one to go after ``stop_spark`` ends the Ray we started."""
    with _lock:
        _holders.pop(id(obj), None)
        if _closing_is_due and not _holders:
            close()


def on_stop(callback: Callable[[], object]) -> None:
    """Have ``stop_spark`` call `callback` once, after Spark has stopped and before Ray does.

    The latest registration runs first. At interpreter exit the callbacks run too.
    """
    with _lock:
        _callbacks.append(callback)
        _close_at_exit()


def close(*, even_if_held: bool = False) -> None:
    """Run the ``on_stop`` callbacks, then end the Ray we started unless it is held."""
    global _opened, _closing_is_due
    with _lock:
        while _callbacks:
            callback = _callbacks.pop()
            try:
                callback()
            except Exception:
                # One part that fails to clean up must not keep the others from doing so.
                logger.warning("a clean-up of raydp_ml failed", exc_info=True)
        if not is_ours():
            _opened = None
            _closing_is_due = False
            return
        if _holders and not even_if_held:
            _closing_is_due = True
            return
        import ray

        ray.shutdown()
        _opened = None
        _closing_is_due = False


def _is_client() -> bool:
    if "ray.util.client" not in sys.modules:
        return False
    from ray.util.client import ray as client

    return bool(client.is_connected())


def _close_at_exit() -> None:
    # Handlers run last in, first out: ours must come after those that importing ray and
    # starting it have registered, so that it runs before them.
    atexit.unregister(_exit)
    atexit.register(_exit, os.getpid())


def _exit(pid: int) -> None:
    if pid == os.getpid():  # a forked child must not end its parent's Ray
        close(even_if_held=True)
