"""Handles of Ray's actors, as their callers see them; for type checkers only.

To Ray's own types, no method of an actor can be had that its class does not decorate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

    class RemoteMethod(Protocol):
        """A method of an actor."""

        def remote(self, *arguments: object, **named: object) -> ObjectRef[Any]:
            """Call it; the result is the reference's."""

    class Actor(ActorHandle[object]):
        """A handle of an actor."""

        def __getattr__(self, method: str) -> RemoteMethod: ...  # type: ignore[override]
