"""A full object store or disk, told as one error by whatever call meets it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from raydp_ml.exceptions import ResourceError

_NO_SPACE = "No space left on device"  # the C library's words, in Java as in Python
_NO_SPACE_IN_XGBOOST = "FileStream.Write incomplete"
_NO_EXECUTOR = "All executors of the session are lost"  # ExecutorWatch.java's
_FULL = 0.95  # of a disk, beyond which Ray writes nothing more to it
_EXCEPTION = re.compile(r"[\w.$]+(?:Exception|Error): ")
_MOST_SAID = 200  # characters, the file's path mostly


@contextlib.contextmanager
def store_may_be_full() -> Iterator[None]:
    """Raise `ResourceError` where Ray's object store takes no more, nor the disk behind it."""
    import ray

    try:
        yield
    except (ray.exceptions.OutOfDiskError, ray.exceptions.ObjectStoreFullError) as error:
        raise full_store(ray.get_runtime_context().get_node_id()) from error


@contextlib.contextmanager
def disk_may_be_full(folder: str = "") -> Iterator[None]:
    """Raise `ResourceError` where there is no space on a disk, such as that of a folder."""
    try:
        yield
    except Exception as error:
        shortage = None if isinstance(error, ResourceError) else shortage_in(str(error), folder)
        if shortage is None:
            raise
        raise shortage from error


def shortage_in(said: str, folder: str = "") -> ResourceError | None:
    """Return the error that lies behind what Java or a worker said, if it is one of these.

    Parameters
    ----------
    said : str
        The text of an exception, with its stack trace where it is Java's.
    folder : str, optional
        What was written to, if that is known.
    """
    lines = [line.strip() for line in said.splitlines()]
    for line in lines:
        if _NO_EXECUTOR in line:
            return ResourceError(line[line.index(_NO_EXECUTOR) :])
    for line in lines:
        if _NO_SPACE_IN_XGBOOST in line:
            return ResourceError(_full_disk(_NO_SPACE, folder))
        if _NO_SPACE in line:
            before, _, after = line.partition(_NO_SPACE)
            path = _EXCEPTION.split(before)[-1]
            return ResourceError(_full_disk(f"{path}{_NO_SPACE}{after[:_MOST_SAID]}", folder))
    return None


def full_store(node_id: str) -> ResourceError:
    """Return the error of a full object store, of a Ray node (hex id)."""
    import ray

    nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes()}
    size = nodes.get(node_id, {}).get("object_store_memory", 0)
    is_here = node_id == ray.get_runtime_context().get_node_id()
    room = f" ({_room(_spill_folder())})" if is_here else ""
    return ResourceError(
        f"Ray's object store on node {node_id[:8]} ({size / 1e6:,.0f} MB) is full of "
        f"data that is in use, and so is the disk that it spills to{room}. Free what is not "
        "needed (Blocks.free(), fits that have ended), copy fewer columns or dtype='float32', or "
        "start Ray with more room: ray.init(object_store_memory=..., object_spilling_directory="
        "<a folder on a larger disk>)."
    )


def _full_disk(said: str, written: str) -> str:
    spark = os.environ.get("SPARK_LOCAL_DIRS", "")
    folders = [written, tempfile.gettempdir(), spark, _spill_folder()]
    full = [_room(folder) for folder in dict.fromkeys(folders) if folder and _is_full(folder)]
    where = (
        f"Full on this machine: {'; '.join(full)}."
        if full
        else "It is none of this machine's temporary folders: look at the folder that was written "
        "to, and at the disks of the other machines."
    )
    return (
        f"A disk is full: {said}. {where} Remove files there, or start anew with TMPDIR (temporary "
        "files of Spark and of raydp_ml; SPARK_LOCAL_DIRS for Spark's alone) or RAY_TMPDIR (Ray's) "
        "set to a folder on a larger disk."
    )


def _is_full(folder: str) -> bool:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return False
    return usage.used > _FULL * usage.total


def _room(folder: str) -> str:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:  # it is gone, or unknown
        return folder or "of object_spilling_directory"
    return f"{folder}: {usage.free / 1e6:,.0f} of {usage.total / 1e6:,.0f} MB free"


def _spill_folder() -> str:
    """Where this node's Ray writes what its store cannot hold; "" if that cannot be known.

    Ray tells it to nobody but its raylet.
    """
    import ray

    node = ray._private.worker._global_node
    if node is None:
        return ""
    socket = f"--raylet_socket_name={node.raylet_socket_name}".encode()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that has ended
            arguments = line.read_bytes().split(b"\0")
            if socket in arguments:
                marked = b"--fallback_directory="
                found = [a for a in arguments if a.startswith(marked)]
                return found[0].removeprefix(marked).decode() if found else ""
    return ""
