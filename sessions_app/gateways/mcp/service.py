"""The parts that both MCP servers of this gateway share: how they require a token, and the
requests that are not about tools.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.mcp.answers import Answer
from sessions_app.gateways.mcp.asked import Asked, Rejected


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller. ``holder`` names the token, to which sessions of the older protocol version are bound.

    ``client`` is an address.
    """

    holder: str
    client: str
    use: Any


class Service(Protocol):
    """One MCP server."""

    @property
    def path(self) -> str:
        """The path below the gateway's address."""

    @property
    def instructions(self) -> str:
        """The instructions for the model."""

    async def caller(self, headers: Mapping[str, str], client: str, method: str, body: bytes) -> Caller:
        """Return the caller. ``body`` is for the record. Raises Rejected."""

    async def tools(self, caller: Caller) -> list[Message]:
        """Return the tools that the caller may call, sorted by name. Raises StintError or ConnectorError."""

    def capabilities(self, caller: Caller) -> Message:
        """Return the capabilities that the server declares."""

    async def listed(self, caller: Caller, method: str) -> list[Message] | None:
        """Return the prompts, resources or templates that the caller may use; None if the server has none of
        them. Raises StintError or ConnectorError.
        """

    def completion(self, caller: Caller, params: Mapping[str, Any]) -> list[str] | None:
        """Return the values that complete an argument; None if there is no such argument."""

    async def call(self, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]) -> None:
        """Make or refuse a call, and respond to it. ``gone`` is done when the client has disconnected."""

    def cancel(self, caller: Caller, number: Any) -> None:
        """Cancel a call for its client."""

    async def stream(self, caller: Caller, answer: Answer, gone: asyncio.Task[None]) -> None:
        """Keep a stream open until the client disconnects or may no longer listen. Raises Rejected."""


def challenge(url: str, path: str, *, error: str = "", scope: str = "") -> Rejected:
    """Return the response that requires a token and shows where to get one.

    Source: RFC 9728 section 5.1; RFC 6750.
    """
    said = f'Bearer resource_metadata="{url}/.well-known/oauth-protected-resource{path}"'
    status = 403 if error == "insufficient_scope" else 401
    said += f', error="{error}"' if error else ""
    said += f', scope="{scope}"' if scope else ""
    why = (
        "The token's scopes do not cover this request."
        if status == 403
        else ("Send a token that is valid for this server.")
    )
    return Rejected(status, None, why, headers={"www-authenticate": said})
