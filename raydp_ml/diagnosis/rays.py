"""Which Ray a session would use, whose it is, and whether it lets this process in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from raydp_ml.diagnosis.machine import ray_folder
from raydp_ml.diagnosis.report import Check, failure, ok, warning

_REACH_SECONDS = 3.0
_CONNECT_SECONDS = 60.0
_LISTENS = "0A"  # a socket's state in /proc/net/tcp
_NO_TOKEN = ("InvalidAuthToken", "AuthenticationError")
_TRIES = {"RAY_NUM_REDIS_GET_RETRIES": "3"}  # of one a second, where Ray itself makes 20
# As ensure_ray connects. It says who is there, or ends with the error in its last line.
_CONNECT = """
import logging, ray
ray.init(logging_level=logging.ERROR, log_to_driver=False)
nodes = [node for node in ray.nodes() if node["Alive"]]
print(len(nodes), "nodes" if len(nodes) != 1 else "node", "and %g CPUs" %
      ray.cluster_resources().get("CPU", 0))
ray.shutdown()
"""


def connected() -> str | None:
    """Say which Ray this process is connected to, or None."""
    if "ray" not in sys.modules:
        return None
    import ray

    if not ray.is_initialized():
        return None
    nodes = sum(node["Alive"] for node in ray.nodes())
    cpus = ray.cluster_resources().get("CPU", 0)
    address = ray.get_runtime_context().gcs_address
    return f"this process is connected to {address}: {nodes} nodes and {cpus:g} CPUs"


def address() -> tuple[str, str] | None:
    """Address of the Ray that init_spark would connect to and where it is written, or None."""
    given = os.environ.get("RAY_ADDRESS", "")
    if given:
        return None if given == "local" else (given, "RAY_ADDRESS")
    file = Path(ray_folder(), "ray", "ray_current_cluster")
    try:
        found = file.read_text().strip()
    except OSError:
        return None
    return (found, str(file)) if found else None


def cluster() -> Check:
    """Look at the Ray that init_spark would connect to."""
    here = connected()
    if here is not None:
        return ok(here)
    found = address()
    if found is None:
        return ok("none runs here that init_spark would use: it starts one of its own")
    place, said_by = found
    if place.startswith("ray://"):
        return failure(
            f"{said_by} is {place}, a client connection, which raydp_ml cannot use",
            "Run the program on a node of the cluster (`ray job submit`), and unset RAY_ADDRESS.",
        )
    host, _, port = place.rpartition(":")
    if place == "auto" or not port.isdecimal():
        return _let_in(f"{said_by} is {place!r}", other=False)
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except OSError as error:
        return failure(
            f"{said_by} names a Ray at {place}, where nobody answers ({error})",
            "It has ended: unset RAY_ADDRESS"
            if said_by == "RAY_ADDRESS"
            else f"It has ended: remove {said_by} (`ray stop` does).",
        )
    user = owner_of(int(port))
    other = user not in (None, os.getuid())
    whose = f", of the user {_user_name(user)}" if other and user is not None else ""
    return _let_in(f"a Ray runs at {place} ({said_by}){whose}", other=other)


def _let_in(what: str, *, other: bool) -> Check:
    """Connect to a running Ray, in a process of its own, and see."""
    leave = (
        "To start a Ray of your own beside it, set RAY_ADDRESS=local (and RAY_TMPDIR to a folder "
        "of your own)."
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CONNECT],
            env={**os.environ, **_TRIES},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CONNECT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return failure(f"{what}, and does not answer within {_CONNECT_SECONDS:.0f} s", leave)
    if done.returncode:
        error, remedy = _refusal(done.stderr)
        return failure(f"{what}, and does not let this process in: {error}", f"{remedy}{leave}")
    found = f"{what}: {done.stdout.strip()}"
    if other:
        return warning(f"{found}; what you fit runs in that user's processes", leave)
    return ok(found)


def _refusal(said: str) -> tuple[str, str]:
    """Tell why Ray did not let a process in, from what that printed, and what to do."""
    lines = [line for line in said.splitlines() if line.strip()] or ["it said nothing"]
    if any(word in said for word in _NO_TOKEN):
        return (
            "it asks for a token, and this process has none or another one",
            "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a file with the cluster's token, "
            "which who started it has (`ray get-auth-token`). ",
        )
    if "Version mismatch" in said:
        (line, *rest) = said[said.index("Version mismatch") :].splitlines()
        versions = "; ".join(text.strip() for text in rest[:5] if text.strip())
        return f"{line} {versions}", "Use the cluster's versions of Python and Ray. "
    return lines[-1], ""


def owner_of(port: int) -> int | None:
    """User id of the program that listens on a port of this machine, or None."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        for row in rows:
            if row[1].endswith(wanted) and row[3] == _LISTENS:
                return int(row[7])
    return None


def _user_name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def authentication() -> Check:
    """Look how Ray tells who may run code in it, and who may read the token."""
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    if mode == "disabled":
        return warning(
            "RAY_AUTH_MODE=disabled: whoever reaches Ray's ports runs code as this user",
            "Unset it; a Ray that init_spark starts then asks for a token.",
        )
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN"):
        return ok("by a token, from RAY_AUTH_TOKEN")
    if not file.exists():
        return ok(f"by a token, which Ray will make ({file})")
    if _others_can_read(file):
        return warning(
            f"by a token, from {file}, which every user of this machine can read",
            f"chmod 600 {file} (Ray makes it with the permissions of any file).",
        )
    return ok(f"by a token, from {file}")


def _others_can_read(file: Path) -> bool:
    path = file.resolve()
    open_folders = all(parent.stat().st_mode & 0o001 for parent in path.parents)
    return open_folders and bool(path.stat().st_mode & 0o004)
