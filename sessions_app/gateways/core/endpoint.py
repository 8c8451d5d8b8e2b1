"""The services of a gateway process for its endpoints, and the interface of an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sessions_app.gateways.core.body_budget import BodyBudget
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.together import Together
from sessions_app.operations.sessions.try_command import Tried


@dataclass(frozen=True, slots=True)
class Shared:
    """The services that every endpoint of one process uses.

    ``name`` is the gateway's name. ``closed_because`` returns why the gateway admits no one, or an empty
    string if the gateway is open. ``tries`` records attempts. ``room`` limits the memory for bodies.
    """

    database: Database
    node: Node
    holds: Holds
    name: str
    closed_because: Callable[[], str]
    tries: Together[Tried]
    room: BodyBudget = field(default_factory=BodyBudget)


class Endpoint(Protocol):
    """One listener with its own protocol. ``name`` is the name by which people select it."""

    name: str

    async def open(self, shared: Shared) -> None:
        """Start to listen. The node already has its lease, and renews it.

        Raises OSError if the address is in use, StintError for invalid settings, and Unavailable without a
        database.
        """

    def drain(self) -> None:
        """Accept no new connections. Open ones continue."""

    async def close(self) -> None:
        """Stop listening immediately, and drop the remaining connections.

        The node has already cut the sessions.
        """
