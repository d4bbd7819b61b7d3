"""What the machine or container gives: memory, files, CPUs, names and ports."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import tempfile
import threading
from pathlib import Path

from raydp_ml.diagnosis.report import Check, failure, ok, warning

# What a session in local mode takes at least: the JVM's smallest default heap and Ray's processes.
_LEAST_MIB = 1024 + 512
_EASY_MIB = 3 * 1024
_STORE_SHARE = 0.3  # of the memory, for Ray's object store
_MOST_ON_DISK_MIB = 10 * 10**9 // 1024**2  # of a store that Ray would rather keep on disk
_LEAST_DISK_MIB = 1024
_FULL = 0.95  # of a disk, beyond which Ray writes nothing more to it
_EASY_FILES = 1024
# The longest path below Ray's folder, of a process id of seven digits, and what a socket may have.
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
_LONGEST = 107
_ANSWER_SECONDS = 5.0
_MIB = 1024**2


def memory() -> Check:
    """Compare the memory that is free with what a session takes."""
    from raydp_ml.session.memory import available_mib, container_mib
    from raydp_ml.session.options import default_heap_mib

    free, limit = available_mib(), container_mib()
    inside = "" if limit is None else f" of the container's {limit:,}"
    found = (
        f"{free:,} MiB free{inside}; init_spark() takes {default_heap_mib():,} for Spark, and "
        f"Ray's object store up to {int(free * _STORE_SHARE):,}"
    )
    remedy = "End other programs, or give the container more memory (docker run --memory)."
    if free < _LEAST_MIB:
        return failure(found, f"{remedy} A session needs {_LEAST_MIB:,} MiB.")
    if free < _EASY_MIB:
        return warning(found, f"{remedy} init_spark(driver_memory='512m') takes less.")
    return ok(found)


def shared_memory() -> Check:
    """Look whether Ray's object store fits into ``/dev/shm``."""
    from raydp_ml.session.memory import available_mib, shared_memory_bytes

    size, free = (count // _MIB for count in shared_memory_bytes())
    if not size:
        return warning("there is no /dev/shm: Ray keeps its object store on disk", _SHM_REMEDY)
    wanted = min(int(available_mib() * _STORE_SHARE), _MOST_ON_DISK_MIB)
    found = f"{free:,} MiB free of {size:,}"
    if free < wanted:
        return warning(
            f"{found}, and Ray wants {wanted:,} for its object store: it keeps the store on disk, "
            "which is slow",
            _SHM_REMEDY,
        )
    return ok(f"{found}, for Ray's object store")


_SHM_REMEDY = (
    "In Docker: `docker run --shm-size=8g` (Kubernetes: an emptyDir of medium Memory at /dev/shm). "
    "Elsewhere: `mount -o remount,size=8g /dev/shm`. Some 30 % of the memory is right."
)


def temporary_files() -> Check:
    """Look whether the folders for temporary files can be written, have room, and short names."""
    for folder in dict.fromkeys([tempfile.gettempdir(), ray_folder()]):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return failure(
                f"{folder} cannot be written ({error.strerror})",
                "Set TMPDIR (and RAY_TMPDIR, where it is set) to a folder that can.",
            )
        usage = shutil.disk_usage(folder)
        found = f"{folder}: {usage.free // _MIB:,} MiB free"
        if usage.free < _LEAST_DISK_MIB * _MIB or usage.used > _FULL * usage.total:
            return warning(
                f"{found}; beyond {_FULL:.0%} Ray writes nothing more there",
                "Remove files (of Ray sessions that have ended: /tmp/ray/session_*), or set TMPDIR "
                "to another disk.",
            )
    length = len(ray_folder()) + len(_SOCKET)
    if length > _LONGEST:
        return failure(
            f"Ray's sockets below {ray_folder()} would have paths of {length} bytes, and "
            f"{_LONGEST} is the most",
            "Set RAY_TMPDIR to a shorter one, such as /tmp.",
        )
    return ok(found)


def ray_folder() -> str:
    """Folder in which Ray makes its folder ``ray``."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"


def open_files() -> Check:
    """Look at the limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,} at most"
    if soft != resource.RLIM_INFINITY and soft < _EASY_FILES:
        return warning(
            f"{soft:,} ({most}): many workers or partitions at a time need more",
            "`ulimit -n 65536` before Python starts (in Docker: --ulimit nofile=65536).",
        )
    return ok(f"{'no limit' if soft == resource.RLIM_INFINITY else f'{soft:,}'} ({most})")


def cpus() -> Check:
    """Compare the CPUs that programs see with those that the container may use."""
    seen = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else seen
    quota = _cpu_quota()
    if quota is not None:
        allowed = min(allowed, max(1, int(quota)))
    if allowed < seen:
        return warning(
            f"{allowed} of the {seen} that programs see",
            f"Ray and Spark know the limit; training in this process does not: set n_jobs={allowed}"
            " there, or num_workers=1.",
        )
    return ok(str(seen))


def _cpu_quota() -> float | None:
    """CPUs that the container's quota comes to; None without a quota."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            quota = Path(folder, "cpu.cfs_quota_us").read_text()
            period = Path(folder, "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except ValueError:  # "max"
        return None


def host_name() -> Check:
    """Look this machine's own name up, as Spark does."""
    name = socket.gethostname()
    answer: list[str] = []

    def look_up() -> None:
        try:
            answer.append(socket.gethostbyname(name))
        except OSError as error:
            answer.append(f"! {error}")

    # A name server that does not answer takes its time.
    asking = threading.Thread(target=look_up, daemon=True)
    asking.start()
    asking.join(_ANSWER_SECONDS)
    if answer and not answer[0].startswith("!"):
        return ok(f"{name} is {answer[0]}")
    why = answer[0][2:] if answer else f"no answer within {_ANSWER_SECONDS:.0f} s"
    return warning(
        f"{name} cannot be looked up: {why}",
        f"init_spark does not need it, a Spark session of your own does: put '127.0.0.1 {name}' "
        "into /etc/hosts, or set SPARK_LOCAL_IP=127.0.0.1.",
    )


def loopback() -> Check:
    """Listen on the loopback interface and connect to it."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), _ANSWER_SECONDS) as client,
        ):
            server.settimeout(_ANSWER_SECONDS)
            with server.accept()[0] as accepted:
                client.sendall(b"x")
                accepted.settimeout(_ANSWER_SECONDS)
                accepted.recv(1)
    except OSError as error:
        return failure(
            f"a program cannot reach another one over 127.0.0.1: {error}",
            "Bring the interface up (`ip link set lo up`), or have the sandbox allow it.",
        )
    return ok("127.0.0.1 takes connections")
