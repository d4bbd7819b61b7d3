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
import weakref
from collections.abc import Callable

from raydp_ml.exceptions import SessionError

_CLIENT_REMEDY = (
    "Spark's driver and the object store must be on a machine of the Ray cluster. Run this "
    "program on one of its nodes (for example with `ray job submit`) and connect by "
    "`ray.init(address='auto')`, or let init_spark start Ray."
)

logger = logging.getLogger(__name__)
_lock = threading.RLock()
_opened: str | None = None  # what connection() said of the one we opened
_closing_is_due = False
_holders: dict[int, weakref.ref[object]] = {}
_callbacks: list[Callable[[], object]] = []


def ensure_ray() -> None:
    """Connect to Ray if this process is not connected yet, starting a local one if need be.

    Raises
    ------
    SessionError
        If the connection is (or ``RAY_ADDRESS`` asks for) a ``ray://`` client, or Ray does not
        start.
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
        # Its warning that a local Ray guards itself by a token asks nothing of the user.
        logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(
            logging.ERROR
        )
        try:
            ray.init(include_dashboard=False, logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise SessionError(
                f"Ray did not start: {error} If a Ray cluster ran here before, `ray stop` or "
                "unsetting RAY_ADDRESS clears its address."
            ) from error
        _opened = connection()
        _closing_is_due = False
        _close_at_exit()


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

    return client.is_connected()


def _close_at_exit() -> None:
    # Handlers run last in, first out: ours must come after those that importing ray and
    # starting it have registered, so that it runs before them.
    atexit.unregister(_exit)
    atexit.register(_exit, os.getpid())


def _exit(pid: int) -> None:
    if pid == os.getpid():  # a forked child must not end its parent's Ray
        close(even_if_held=True)
