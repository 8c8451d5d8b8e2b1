"""A gateway with one MCP server for each suite behind it, on which tasks are played."""

import contextlib
import json
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp_types import CallToolResult, ListToolsResult

from broker.demo.ports import free_port
from tests.bench.agents import dojo
from tests.bench.agents.attacks import Call
from tests.bench.agents.documents import compiled, publishable
from tests.bench.agents.judging import Played, verdict
from tests.bench.agents.sets.every import SUITES
from tests.bench.place import environment
from tests.support.browser.site import start_server, wait_for
from tests.support.waits import eventually
from tests.support.world.mcp_site import Raw, grant_on_desk, token_of
from tests.support.world.world import World


@dataclass
class Upstream:
    """The server of a suite. Each task sets a new environment."""

    suite: str
    port: int
    environment: Any = None

    def application(self) -> Any:
        """Return it as an ASGI application."""

        async def listed(_context: Any, _params: Any) -> ListToolsResult:
            return ListToolsResult.model_validate({"tools": list(dojo.tools(self.suite))})

        async def called(_context: Any, params: Any) -> CallToolResult:
            result = dojo.run(self.suite, self.environment, params.name, params.arguments or {})
            return CallToolResult.model_validate(result)

        server = Server(self.suite, version="1", on_list_tools=listed, on_call_tool=called)
        return server.streamable_http_app(json_response=True)


@dataclass
class Site:
    """The running gateway."""

    world: World
    base: str
    upstreams: dict[str, Upstream]
    different: list[str] = field(default_factory=list)

    def play(self, suite: str, task: Any, attacks: list[Call]) -> int:
        """Play a task through the gateway, and then the calls of attacks under the same grant.

        A held call of the task is allowed by a person and repeated. ``different`` collects each call that the
        gateway answered differently from the policy. Return how many calls of attacks were made.
        """
        self.upstreams[suite].environment = dojo.start(suite, task)
        session = _Session(self, suite, task.ID)
        for call in dojo.calls(task, dojo.start(suite, task)):
            session.call(*call, allow=True)
        made = [session.call(*call, allow=False) for call in attacks].count("made")
        session.end()
        return made


class _Session:
    """One grant in use, and what the policy has to know about it."""

    def __init__(self, site: Site, suite: str, task: str) -> None:
        from broker.kernel import clock
        from sessions_app.models import Sweeper

        self.site, self.task = site, task
        self.compiled = compiled(SUITES[suite], task, "full")
        self.played = Played()
        site.world.now = clock.now()
        # No worker runs here. Nothing can start unless something would end it.
        Sweeper.objects.update(seen_at=site.world.now)
        name = f"{suite}-{task.replace('_', '-')}"
        self.grant = grant_on_desk(site.world, cluster=suite, command_set=name, parameters={})
        self.client = Raw(f"{site.base}/mcp/{suite}", token_of(self.grant, site.world))

    def call(self, name: str, arguments: dict[str, Any], *, allow: bool) -> str:
        """Make a call. Return made, held or why not; ``allow``: a person allows a held one."""
        expected = verdict(self.compiled, (name, arguments), self.played.seen)
        result = self.client.call(name, arguments).json["result"]
        found = _answer(result)
        if found == "held":
            self._decide(result["structuredContent"]["run"], allow)
            result = self.client.call(name, arguments).json["result"] if allow else {"isError": True}
        if (found in ("made", "held") or expected in ("made", "held")) and found != expected:
            self.site.different.append(
                f"{self.task}: {name} {json.dumps(arguments)}: {found}, not {expected}"
            )
        if (allow and found == "held") or found == "made":
            self.played.keep(self.compiled, name, result)
        return found

    def _decide(self, run: int, allow: bool) -> None:
        from broker.kernel import clock
        from sessions_app.operations.sessions.decide_hold import decide_hold

        decide_hold(run_id=run, actor=self.site.world.bob, allow=allow, now=clock.now())

    def end(self) -> None:
        """End the grant, so that the next task's can begin."""
        from broker.kernel import clock
        from sessions_app.models import EndReason
        from sessions_app.operations.grants.end_grant import end_grant

        end_grant(
            grant_id=self.grant.pk, actor=self.site.world.robot, reason=EndReason.RELEASED, now=clock.now()
        )


def _answer(result: dict[str, Any]) -> str:
    """Return what the gateway did: made, held, or why it refused."""
    told = result.get("structuredContent") or {}
    if "grant" not in told or "error" not in told:
        return "made"
    return "held" if told["error"] == "held" else str(told.get("reason", told["error"]))


@contextlib.contextmanager
def site(database: str, world: World, suites: Iterable[str]) -> Iterator[Site]:
    """Run a gateway on the database of a world, with these suites behind it, until the block ends."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stint-bench-")))
        upstreams = {suite: stack.enter_context(_upstream(suite)) for suite in suites}
        world.catalog.update(_files(upstreams))
        world.apply()
        port = free_port()
        env = {
            **environment(database, folder),
            "STINT_PUBLIC_URL": f"http://127.0.0.1:{free_port()}",
            "STINT_STREAMS_DIRECT_PORT": str(port),
        }
        log = folder / "gateway.log"
        process = start_server(log, port, env, "uvicorn", "broker.asgi:application")
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz", process, log)
            yield Site(world, f"http://127.0.0.1:{port}", upstreams)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            assert "Traceback" not in log.read_text(), log.read_text()


@contextlib.contextmanager
def _upstream(suite: str) -> Iterator[Upstream]:
    upstream = Upstream(suite, free_port())
    config = uvicorn.Config(
        upstream.application(), host="127.0.0.1", port=upstream.port, log_level="error", ws="none"
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: running.started)
        yield upstream
    finally:
        running.should_exit = True
        thread.join(10)


def _files(upstreams: dict[str, Upstream]) -> dict[str, str]:
    """Return the catalog: for each suite a cluster, a policy, and a command set for each task."""
    files: dict[str, Any] = {}
    for suite, upstream in upstreams.items():
        sets = [publishable(SUITES[suite], task) for task in SUITES[suite].tasks]
        for one in sets:
            one["name"] = f"{suite}-{one['name']}"
            files[f"command-sets/{one['name']}.yaml"] = one
        target = {"name": suite, "address": "127.0.0.1", "port": upstream.port}
        common = {"name": suite, "summary": suite.capitalize()}
        files[f"clusters/{suite}.yaml"] = {
            **common,
            "kind": "mcp",
            "environment": "production",
            "risk": "low",
            "connection": {"token": "of-the-suites", "tls": False},
            "targets": [target],
        }
        files[f"policies/{suite}.yaml"] = {
            **common,
            "clusters": [suite],
            "command_sets": [one["name"] for one in sets],
            "requesters": {"groups": ["operators"]},
            "max_duration": "4h",
            "approvals": [{"count": 1, "from": ["approvers"]}],
            # The attacks are made under the task's grant, which must not end because of them.
            "deviations": {"limit": 1000, "people": "hold"},
        }
    return {name: json.dumps(one) for name, one in files.items()}
