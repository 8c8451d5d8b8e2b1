"""The gateway as a process, with real MCP servers of both eras behind it, in a database of the module's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import fresh_database
from tests.support.mcp_desk import Desk, desk
from tests.support.mcp_site import Raw, add_desk, grant_on_desk, token_of
from tests.support.site import _process, free_port
from tests.support.world import World, make_world


@dataclass
class Door:
    """The running gateway and what is behind it."""

    world: World
    desk: Desk
    base: str
    env: dict[str, str]
    grants: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.base}/mcp/desk"

    def grant(self, **changes: Any) -> Any:
        """A live grant of the robot."""
        self.world.now = now()
        return grant_on_desk(self.world, **changes)

    def client(self, **changes: Any) -> tuple[Any, Raw]:
        """A grant, and a client with its token."""
        grant = self.grant(**changes)
        return grant, Raw(self.url, token_of(grant, self.world))


def now():
    from broker.kernel import clock

    return clock.now()


@pytest.fixture(scope="module")
def legacy_server() -> bool:
    """Whether the server behind the gateway speaks the older era alone."""
    return False


@pytest.fixture(scope="module")
def door(django_db_setup, django_db_blocker, tmp_path_factory, legacy_server) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("mcp")
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(django_db_blocker))
        running = stack.enter_context(desk(legacy=legacy_server))
        from broker.kernel import clock

        clock.sync()
        world = make_world(clock.now())
        add_desk(world, running.port)
        port = free_port()
        env = {
            **database.env, "STINT_PUBLIC_URL": f"http://127.0.0.1:{free_port()}", "STINT_STREAMS_DIRECT_PORT": str(port),
        }  # fmt: skip
        stack.enter_context(
            _process(folder / "streams.log", port, "/healthz", env, "uvicorn", "broker.asgi:application")
        )
        yield Door(world, running, f"http://127.0.0.1:{port}", env)


@pytest.fixture(autouse=True)
def sweeper(request) -> None:
    """A sweeper counts as alive, however long the module takes."""
    if "door" in request.fixturenames:
        request.getfixturevalue("door")
        from sessions_app.models import Sweeper

        Sweeper.objects.update(seen_at=now())
