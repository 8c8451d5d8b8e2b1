"""What a gateway process gives to its endpoints, and what it expects of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sessions_app.gateways.core.body_budget import BodyBudget
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.node import Node


@dataclass(frozen=True, slots=True)
class Shared:
    """What every endpoint of one process uses.

    ``name`` is the gateway's. ``closed_because`` says why no use is admitted; empty while the gateway takes uses. ``room``
    is that of bodies in memory.
    """

    database: Database
    node: Node
    holds: Holds
    name: str
    closed_because: Callable[[], str]
    room: BodyBudget = field(default_factory=BodyBudget)


class Endpoint(Protocol):
    """One way in, with a protocol of its own. ``name`` is how people choose it."""

    name: str

    async def open(self, shared: Shared) -> None:
        """Begin to listen. The node already has its lease, and renews it.

        Raises OSError if the address is taken, StintError for bad settings, and Unavailable without a database.
        """

    def drain(self) -> None:
        """Let nobody new connect. Connections that are there go on."""

    async def close(self) -> None:
        """Stop listening at once, and drop every connection that is left. The node has cut what was open."""
