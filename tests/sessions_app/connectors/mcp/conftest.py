"""A real MCP server as the target."""

import socket

import pytest

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.mcp.connector import MCPConnector
from sessions_app.connectors.mcp.parameters import MCPParameters
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.mcp_desk import DESK_TOKEN, desk


def place_at(port: int, *, name: str = "desk", **parameters) -> TargetSpec:
    return TargetSpec(
        cluster="desk",
        target=TargetFacts(id=1, name=name, address="127.0.0.1", port=port, account="", host_key=""),
        parameters=MCPParameters(**{"token": DESK_TOKEN, "tls": False, **parameters}),
    )


@pytest.fixture(scope="module")
def server():
    with desk() as running:
        yield running


@pytest.fixture
def connector():
    return MCPConnector()


@pytest.fixture
def place(server):
    return place_at(server.port)


@pytest.fixture(scope="session")
def hung():
    """A port that takes connections and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield silent.getsockname()[1]
