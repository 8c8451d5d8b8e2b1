"""Reach the MCP server behind a target of the catalog."""

from __future__ import annotations

from dataclasses import replace

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.conversation import Conversation
from sessions_app.connectors.mcp.parameters import parameters_of
from sessions_app.connectors.mcp.upstream import Endpoint, request


def endpoint_of(place: TargetSpec, *, idle: float = 6.0) -> Endpoint:
    """Return the server's endpoint, with Stint's own token for it. Raises ConnectorError."""
    parameters, target = parameters_of(place), place.target
    return Endpoint(
        name=target.name,
        address=target.address,
        port=target.port,
        path=parameters.path,
        host=parameters.host,
        tls=parameters.tls,
        ca=parameters.ca,
        idle=idle,
        token=parameters.token.get_secret_value() if parameters.token else "",
    )


def conversation_with(place: TargetSpec, *, idle: float = 6.0) -> Conversation:
    """Return a conversation that has not begun. Raises ConnectorError."""
    return Conversation(endpoint_of(place, idle=idle))


async def status_for_strangers(place: TargetSpec) -> int:
    """Return the status of the response to a request without a token. Raises ConnectorError."""
    endpoint = replace(endpoint_of(place), token="")
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "server/discover",
        "params": {"_meta": {wire.VERSION_KEY: wire.MODERN, wire.CAPABILITIES_KEY: {}}},
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        **wire.routing_headers("server/discover", {}),
    }
    async with request(endpoint, "POST", headers, wire.dump(asked)) as answer:
        return answer.status
