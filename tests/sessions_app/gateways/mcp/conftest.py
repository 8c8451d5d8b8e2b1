"""The gateway with real MCP servers of both protocol versions behind it, one for each module."""

from collections.abc import Iterator

import pytest

from tests.support.servers.mcp_place import Endpoint, mcp_place, now


@pytest.fixture(scope="module")
def legacy_server() -> bool:
    """Whether the server behind the gateway supports only the older protocol version."""
    return False


@pytest.fixture(scope="module")
def endpoint(
    processes, django_db_setup, django_db_blocker, tmp_path_factory, legacy_server
) -> Iterator[Endpoint]:
    with mcp_place(django_db_blocker, tmp_path_factory.mktemp("mcp"), legacy=legacy_server) as running:
        yield running


@pytest.fixture(autouse=True)
def sweeper(request) -> None:
    """Make a sweeper count as alive, however long the module takes."""
    if "endpoint" in request.fixturenames:
        request.getfixturevalue("endpoint")
        from sessions_app.models import Sweeper

        Sweeper.objects.update(seen_at=now())
