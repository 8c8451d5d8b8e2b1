"""The gateway as a process, with a real MCP server behind it, in its own database."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.demo.ports import free_port
from tests.conftest import fresh_database
from tests.support.browser.site import start_server, wait_for
from tests.support.servers.mcp_desk import Desk, desk
from tests.support.servers.running import Running
from tests.support.world.mcp_site import Raw, add_desk, grant_on_desk, token_of
from tests.support.world.world import World, make_world


@dataclass
class Endpoint(Running):
    """The running gateway and the server behind it."""

    world: World
    desk: Desk
    port: int
    env: dict[str, str]
    log: Path
    gateway: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/mcp/desk"

    @property
    def own(self) -> str:
        """Stint's own MCP server."""
        return f"{self.base}/mcp"

    def grant(self, **changes: Any) -> Any:
        """Return an active grant of the robot."""
        self.world.now = now()
        return grant_on_desk(self.world, **changes)

    def client(self, **changes: Any) -> tuple[Any, Raw]:
        """Return a grant, and a client with its token."""
        grant = self.grant(**changes)
        return grant, Raw(self.url, token_of(grant, self.world))

    def start(self) -> None:
        """Start the gateway and wait until it answers."""
        words = ("uvicorn", "broker.asgi:application", "--timeout-graceful-shutdown", "1")
        self.gateway = start_server(self.log, self.port, self.env, *words)
        wait_for(f"{self.base}/healthz", self.gateway, self.log)


def now():
    from broker.kernel import clock

    return clock.now()


@contextlib.contextmanager
def mcp_place(
    blocker,
    folder: Path,
    *,
    legacy: bool = False,
    files: dict[str, str] | None = None,
    change: Callable[[dict[str, str]], dict[str, str]] = dict,
) -> Iterator[Endpoint]:
    """Run it all until the block ends; ``change`` changes the gateway's environment."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(blocker))
        running = stack.enter_context(desk(legacy=legacy))
        from broker.kernel import clock

        clock.sync()
        world = make_world(clock.now())
        add_desk(world, running.port, files)
        port = free_port()
        env = {
            **database.env,
            "STINT_PUBLIC_URL": f"http://127.0.0.1:{free_port()}",
            "STINT_STREAMS_DIRECT_PORT": str(port),
        }
        endpoint = Endpoint(world, running, port, change(env), folder / "streams.log")
        try:
            endpoint.start()
            yield endpoint
        finally:
            endpoint.stop(signal.SIGTERM)
        assert "Traceback" not in endpoint.log.read_text(), endpoint.log.read_text()
