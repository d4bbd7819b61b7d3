"""The block servers of this process: one per Ray node that needs one.

The pool keeps them until ``stop_spark``; `Blocks` keep those that own their data for longer, since
Ray ends an actor when its last handle is gone.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from raydp_ml.exceptions import DataLostError, RayDPMLError, ResourceError, SessionError
from raydp_ml.exchange.block_server import BlockServer
from raydp_ml.session import ray_runtime
from raydp_ml.session.full import shortage_in
from raydp_ml.session.sealing import seal

if TYPE_CHECKING:
    from raydp_ml.session.actors import Actor, RemoteMethod

_START_TIMEOUT = 60.0


@dataclass(frozen=True)
class Server:
    """A running block server, and where Spark tasks reach it."""

    actor: Actor
    node_id: str
    host: str
    path: str
    secret: str
    connection: str
    port: int = 0
    certificate: str = ""

    def line(self) -> str:
        """Its form for the Spark tasks (see Endpoint.java)."""
        return f"{self.node_id}|{self.host}|{self.port}|{self.certificate}|{self.path}"


_servers: dict[str, Server] = {}
# Held while servers start: of several threads that need the first one, one starts it. Whoever
# holds it takes no lock of ray_runtime's, which calls `stop` while it holds its own.
_lock = threading.Lock()


def servers_on(node_ids: Iterable[str], *, tcp: bool = False) -> list[Server]:
    """Block servers on these Ray nodes, started where there is none.

    Parameters
    ----------
    node_ids : iterable of str
        Ray nodes (hex ids).
    tcp : bool, default=False
        Whether Spark's executors may be on other hosts than the servers.

    Raises
    ------
    ResourceError
        A server did not start in time.
    DataLostError
        A server has ended, or a node that blocks were on is gone.
    """
    ray_runtime.ensure_ray()
    nodes = list(node_ids)
    with _lock:
        connection = ray_runtime.connection()
        for node in [n for n, s in _servers.items() if s.connection != connection]:
            del _servers[node]  # The user has ended that Ray, and its actors with it.
        is_first = not _servers
        _start_missing(nodes, connection)
        for node in nodes if tcp else []:
            server = _servers[node]
            if not server.port:
                port, certificate = call(server.actor.listen_tcp, server.host)
                _servers[node] = replace(server, port=port, certificate=certificate)
        servers = [_servers[node] for node in nodes]
    if is_first:
        ray_runtime.on_stop(stop)
    return servers


def _start_missing(nodes: list[str], connection: str) -> None:
    import ray

    missing = [node for node in dict.fromkeys(nodes) if node not in _servers]
    if not missing:
        return
    hosts = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    gone = [node[:8] for node in missing if node not in hosts]
    if gone:
        raise DataLostError(
            f"The Ray nodes {gone}, which held the data, are gone. Call from_spark, or the fit, "
            "again."
        )
    secret = next((server.secret for server in _servers.values()), None) or secrets.token_hex(16)
    for node, actor in {node: _start(node) for node in missing}.items():
        path = call(actor.path, timeout=_START_TIMEOUT)
        call(actor.take_secret, seal(secret, call(actor.public_key)))
        _servers[node] = Server(actor, node, hosts[node], path, secret, connection)


def _start(node: str) -> Actor:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # No CPU: it works while Spark's tasks wait for it, and must start on a full cluster.
    server = ray.remote(BlockServer).options(
        num_cpus=0,
        max_concurrency=4,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    return cast("Actor", server.remote())


def call(method: RemoteMethod, *args: object, timeout: float = 600.0) -> Any:
    """Call a server's method and wait for the answer, at most `timeout` seconds.

    Raises
    ------
    DataLostError
        The server has ended.
    ResourceError
        It did not answer in time.
    SessionError
        Ray was shut down meanwhile; the call would start another.
    RayDPMLError
        The server raised it.
    """
    import ray

    ray_runtime.require_open(ray_runtime.connection())
    try:
        return ray.get(method.remote(*args), timeout=timeout)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RayDPMLError):
            raise error.cause from None
        raise
    except ray.exceptions.GetTimeoutError as error:
        raise ResourceError(
            f"The block server did not answer within {timeout:.0f} s. The machine may be out of "
            "memory or processes; `ray status` and the logs in Ray's session folder tell."
        ) from error
    except ray_runtime.losses() as error:
        raise shortage_in(str(error)) or DataLostError(
            "The block server that holds the data has ended (killed, or its node is gone). Call "
            "from_spark or to_spark again."
        ) from error


def forget_dead() -> bool:
    """Drop servers that no longer answer; tell whether there was one."""
    with _lock:
        asked = dict(_servers)
    dead = {node: server for node, server in asked.items() if not _answers(server)}
    with _lock:
        for node, server in dead.items():
            if _servers.get(node) is server:  # and not its successor, from another thread
                del _servers[node]
    return bool(dead)


def _answers(server: Server) -> bool:
    try:
        call(server.actor.path, timeout=20)
    except (DataLostError, ResourceError, SessionError):
        return False
    return True


def stop() -> None:
    """Close all servers; those that own blocks in use live on, without a socket."""
    with _lock:
        servers = list(_servers.values())
        _servers.clear()
    for server in servers:
        if not ray_runtime.is_open(server.connection):
            continue  # It has ended with its Ray, and a call would start another Ray.
        try:
            call(server.actor.close, timeout=20)
        except (DataLostError, ResourceError):
            continue  # It has ended already, or ends with Ray.
