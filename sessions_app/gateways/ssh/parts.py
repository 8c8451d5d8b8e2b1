"""The shared services for running commands, and a command's outcome."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sessions_app.connectors.ssh.connection import Dialer
from sessions_app.gateways.core.broadcast import Broadcasts
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.registry import OpenSession, User
from sessions_app.gateways.core.reports import Reports
from sessions_app.gateways.core.stops import Stops
from sessions_app.gateways.ssh.alone import Alone
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.queries.record.recording_files import Rooms

State = Literal["done", "cut", "failed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """How a command ended. If there is neither an exit status nor a signal, ``message`` has the reason."""

    state: State
    exit_status: int | None = None
    signal: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The services that running a command requires."""

    database: Database
    clock: LoopClock
    dialer: Dialer
    holds: Holds
    reports: Reports
    gateway_id: int
    recordings: Path
    alone: Alone
    rooms: Rooms
    broadcasts: Broadcasts
    stops: Stops


class Channels(Protocol):
    """The interface of a holder's connection to its channels."""

    parts: Parts

    async def session_for(self, line: str | None) -> tuple[OpenSession[Use], Allowed | Refused | None]:
        """Return the session for a line or for the prompt, and the decision on the line.

        Raises NoAccess, SeveralGrants, Unavailable.
        """

    async def session_for_files(self) -> OpenSession[Use]:
        """Return the session of the grant that has file rules.

        Raises NoAccess, SeveralGrants, Unavailable.
        """

    def left(self, channel: User) -> None:
        """Handle the end of a channel."""

    def abort_if_unused(self, channel: User) -> None:
        """Cut the connection unless other channels use it."""
