"""Each gateway with its target, and a breakable connection to its database: for the contract and
smoke tests.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.sessions_app.gateways.conftest import make_place
from tests.support.servers.endpoints import TERMS, MCPEndpoint, SSHEndpoint, policies
from tests.support.servers.http_endpoint import HTTPEndpoint
from tests.support.servers.http_place import http_place
from tests.support.servers.kubernetes_endpoint import KubernetesEndpoint
from tests.support.servers.kubernetes_place import kubernetes_place, policy
from tests.support.servers.mcp_place import mcp_place
from tests.support.servers.postgres_endpoint import PostgresEndpoint
from tests.support.servers.postgres_place import postgres_place
from tests.support.servers.proxy import BlackHole, black_hole
from tests.support.world.mcp_site import COMMAND_SET

KUBERNETES_FILES = {"policies/prod-work.yaml": policy("prod-work", **TERMS)}
_FLOOD = """
  - tool: flood_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: burst_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - deny"""
MCP_FILES = {
    **policies("desk", "agent-ticket"),
    "command-sets/agent-ticket.yaml": (
        COMMAND_SET.replace("\n  - deny", _FLOOD).partition("\naccept:")[0] + "\n"
    ),
}
Change = Callable[[dict[str, str]], dict[str, str]]


@contextlib.contextmanager
def ssh_endpoint(blocker: Any, tmp_path_factory: Any) -> Iterator[SSHEndpoint]:
    """Run the SSH gateway."""
    with blocker.unblock():
        for place in make_place(tmp_path_factory, start=False):
            with black_hole(place.folder / "hole", place.env["DATABASE_URL"]) as (way, url):
                place.world.catalog.update({**place.catalog(), **policies("web", "restart-web")})
                place.world.apply()
                opened = SSHEndpoint(place, way, url)
                opened.start()
                yield opened
                opened.stop()


@contextlib.contextmanager
def http_endpoint(blocker: Any, tmp_path_factory: Any) -> Iterator[HTTPEndpoint]:
    """Run the HTTP gateway."""
    folder = tmp_path_factory.mktemp("http")
    with (
        _breakable(folder) as (ways, through, close),
        http_place(blocker, folder, change=through) as place,
    ):
        yield HTTPEndpoint(place, ways[0])
        place.stop(signal.SIGTERM)
        close()


@contextlib.contextmanager
def kubernetes_endpoint(blocker: Any, tmp_path_factory: Any) -> Iterator[KubernetesEndpoint]:
    """Run the Kubernetes gateway, in front of a test API server."""
    folder = tmp_path_factory.mktemp("kube")
    with (
        blocker.unblock(),
        _breakable(folder) as (ways, through, close),
        kubernetes_place(blocker, folder, files=KUBERNETES_FILES, change=through) as place,
    ):
        yield KubernetesEndpoint(place, ways[0])
        place.stop(signal.SIGTERM)
        close()


@contextlib.contextmanager
def postgres_endpoint(blocker: Any, tmp_path_factory: Any) -> Iterator[PostgresEndpoint]:
    """Run the PostgreSQL gateway."""
    folder = tmp_path_factory.mktemp("postgres")
    with (
        _breakable(folder) as (ways, through, close),
        postgres_place(blocker, folder, change=through) as place,
    ):
        yield PostgresEndpoint(place, ways[0])
        place.stop(signal.SIGTERM)
        close()


@contextlib.contextmanager
def mcp_endpoint(blocker: Any, tmp_path_factory: Any) -> Iterator[MCPEndpoint]:
    """Run the MCP gateway."""
    folder = tmp_path_factory.mktemp("mcp")
    with (
        _breakable(folder) as (ways, through, _),
        mcp_place(blocker, folder, files=MCP_FILES, change=through) as place,
    ):
        yield MCPEndpoint(place, ways[0])


ENTRY_POINTS = {
    "ssh": ssh_endpoint,
    "http": http_endpoint,
    "kubernetes": kubernetes_endpoint,
    "mcp": mcp_endpoint,
    "postgres": postgres_endpoint,
}


@contextlib.contextmanager
def _breakable(folder: Path) -> Iterator[tuple[list[BlackHole], Change, Callable[[], None]]]:
    """Yield a list for the breakable connection, a function that adds it to an environment, and one that
    closes it early.

    Without the latter, connections of a killed gateway would keep the database in use.
    """
    ways: list[BlackHole] = []
    with contextlib.ExitStack() as stack:

        def through(env: dict[str, str]) -> dict[str, str]:
            way, url = stack.enter_context(black_hole(folder / "hole", env["DATABASE_URL"]))
            ways.append(way)
            return {**env, "DATABASE_URL": url}

        yield ways, through, stack.close
