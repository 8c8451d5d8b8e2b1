"""Each gateway from its holders' side, behind one interface, so that one contract tests them all."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import yaml

from tests.support.pace import allow, unhurried
from tests.support.servers.gateway import Place, connections_at, on_target
from tests.support.servers.mcp_place import Endpoint as MCPPlace
from tests.support.servers.proxy import BlackHole
from tests.support.servers.running import RunningEndpoint
from tests.support.waits import PATIENCE, eventually
from tests.support.world.mcp_site import Raw, Said, token_of
from tests.support.world.world import World

# Defaults of a cluster's policy.
TERMS = {
    "requesters": {"groups": ["operators"]},
    "approvals": [{"count": 1, "from": ["approvers"]}],
    "max_duration": "4h",
    "extension": {"times": 2, "by": "1h", "approvals": "none"},
}


def policies(cluster: str, command_set: str) -> dict[str, str]:
    """Return the file of a cluster's policy."""
    about = {"clusters": [cluster], "command_sets": [command_set], **TERMS}
    work = {"name": f"{cluster}-work", "summary": "Planned work", **about}
    return {f"policies/{cluster}-work.yaml": yaml.safe_dump(work)}


@dataclass
class Answer:
    """The outcome of an attempt, and all output that its holder saw."""

    done: bool
    text: str


class Lasting(Protocol):
    """Something allowed that does not end by itself, in progress."""

    def lives(self) -> bool:
        """Whether it still runs, or its holder is still connected to it."""

    def said(self) -> str:
        """Wait for its end, and return all output that its holder saw."""


@dataclass
class Flood:
    """Something that sends without end, to a client that reads nothing, not even that its connection was
    closed.

    Its connection is the one at ``port`` that is not in ``before``.
    """

    port: int
    before: set[str]
    runs: Callable[[], bool] = lambda: False

    def lives(self) -> bool:
        """Whether it still runs, or its connection is still open."""
        return self.runs() or bool(connections_at(self.port) - self.before)


class Held(Protocol):
    """Something that waits for another person's approval."""

    def answer(self) -> Answer:
        """Return the outcome once it has been decided."""


class Endpoint(Protocol):
    """A gateway with a target behind it, and a connection to its database that can be broken."""

    world: World
    cluster: str
    # The host where its gateway runs, and the `port`.
    place: Any
    way: BlackHole

    def grant(self, **changes: Any) -> Any:
        """Return a grant that is active now; a short `duration`, in seconds, grows on a busy machine."""

    def once(self, grant: Any) -> Answer:
        """Do something that the grant allows."""

    def give_up(self, grant: Any, *, after: float) -> None:
        """Try something that the grant allows, and disconnect after this many seconds without an answer."""

    def outside(self, grant: Any) -> Answer:
        """Try something similar that is not allowed."""

    def lasting(self, grant: Any) -> contextlib.AbstractContextManager[Lasting]:
        """Start something allowed that lasts."""

    def flood(self, grant: Any) -> contextlib.AbstractContextManager[Flood]:
        """Start something allowed that sends without end, to a client that does not read."""

    def held(self, grant: Any) -> contextlib.AbstractContextManager[Held]:
        """Start something that needs another person's approval."""

    def reached(self, grant: Any) -> int:
        """Return how often the grant's attempts have reached the target."""

    def settle(self, grant: Any) -> None:
        """Process ends once, as the worker does, where the gateway does not do so itself."""

    def send(self, number: int) -> None:
        """Send the gateway's process a signal that it survives."""

    def start(self) -> None:
        """Start the gateway and wait until it responds."""

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End the gateway by a signal."""

    def drain(self) -> None:
        """Make the gateway drain, and wait until it accepts no new connections."""

    def comes_back(self) -> None:
        """Wait until a draining gateway has ended by itself, and start it."""


# SSH


@dataclass
class _Command:
    client: subprocess.Popen[bytes]
    tag: int

    def lives(self) -> bool:
        return bool(on_target(self.tag)) or self.client.poll() is None

    def said(self) -> str:
        out, err = self.client.communicate(timeout=PATIENCE)
        return (err + out[:2000]).decode(errors="replace")


@dataclass
class _HeldCommand:
    client: subprocess.Popen[bytes]

    def answer(self) -> Answer:
        out, err = self.client.communicate(timeout=PATIENCE)
        return Answer(self.client.returncode == 0, (err + out).decode())


@dataclass
class SSHEndpoint(RunningEndpoint):
    """The SSH gateway, by the real ssh client."""

    place: Place
    way: BlackHole
    url: str
    cluster: str = "web"

    def grant(self, **changes: Any) -> Any:
        return self.place.grant(**{"policy": "web-work", **changes})

    def _as(self, grant: Any) -> dict[str, Any]:
        return {"user": f"{grant.ref}.web-1", "who": grant.holder.username}

    def once(self, grant: Any) -> Answer:
        return self._answer("echo restart nginx", grant)

    def give_up(self, grant: Any, *, after: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.place.ssh("echo restart nginx", timeout=after, **self._as(grant))

    def outside(self, grant: Any) -> Answer:
        return self._answer("echo restart haproxy", grant)

    def _answer(self, line: str, grant: Any) -> Answer:
        done = self.place.ssh(line, timeout=allow(40), **self._as(grant))
        return Answer(done.returncode == 0, (done.stderr + done.stdout).decode())

    @contextlib.contextmanager
    def lasting(self, grant: Any, kind: str = "nohup") -> Iterator[Lasting]:
        with self.place.running(kind, **self._as(grant)) as (client, tag):
            yield _Command(client, tag)

    @contextlib.contextmanager
    def flood(self, grant: Any) -> Iterator[Flood]:
        before = connections_at(self.place.port)
        # The client's output goes into a pipe without a reader.
        with self.place.running("flood", **self._as(grant)) as (_, tag):
            yield Flood(self.place.port, before, lambda: bool(on_target(tag)))

    @contextlib.contextmanager
    def held(self, grant: Any) -> Iterator[Held]:
        client = subprocess.Popen(
            self.place.command("echo held nginx", **self._as(grant)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            eventually(lambda: grant.runs.filter(state="held").exists() or client.poll() is not None)
            assert client.poll() is None, client.communicate()
            yield _HeldCommand(client)
        finally:
            client.kill()
            client.communicate()

    def reached(self, grant: Any) -> int:
        return self.place.logins(grant)

    def start(self) -> None:
        self.place.start(DATABASE_URL=self.url)


# MCP


@dataclass
class _Call:
    """A call in a thread."""

    client: Raw
    name: str
    accept: str = "application/json"
    text: str = ""
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.text = self._called().body.decode()
        except OSError as error:
            self.text = f"the connection was cut: {error}"

    def _called(self) -> Said:
        """Call, and repeat while the gateway reports that it is unavailable.

        After its database was unavailable, each of its threads finds its own connection closed.
        """
        for _ in range(10):
            said = self.client.call(self.name, {"id": "T-42"}, Accept=self.accept)
            if said.status != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        return said

    def lives(self) -> bool:
        return self.thread.is_alive()

    def said(self) -> str:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the call goes on"
        return self.text


@dataclass
class _HeldCall:
    endpoint: MCPEndpoint
    grant: Any

    def answer(self) -> Answer:
        eventually(lambda: not self.grant.runs.get().waits(_now()) or self.grant.runs.get().state != "held")
        return self.endpoint._answer("close_ticket", "T-42", self.grant)


@dataclass
class MCPEndpoint(RunningEndpoint):
    """The MCP gateway, by an agent's calls over HTTP."""

    place: MCPPlace
    way: BlackHole
    cluster: str = "desk"
    _tokens: dict[int, str] = field(default_factory=dict)
    # The number of calls to the server before there was a grant.
    _before: dict[int, int] = field(default_factory=dict)

    def grant(self, **changes: Any) -> Any:
        from sessions_app.models import Sweeper

        Sweeper.objects.update(seen_at=_now())
        grant = self.place.grant(**{"policy": "desk-work", **unhurried(changes)})
        self._before[grant.pk] = len(self.place.desk.calls)
        self._client(grant)
        return grant

    def _client(self, grant: Any) -> Raw:
        if grant.pk not in self._tokens:
            self._tokens[grant.pk] = token_of(grant, self.world, now=_now())
        return Raw(self.place.url, self._tokens[grant.pk])

    def once(self, grant: Any) -> Answer:
        return self._answer("read_ticket", "T-42", grant)

    def give_up(self, grant: Any, *, after: float) -> None:
        with contextlib.suppress(TimeoutError):
            self._client(grant).call("read_ticket", {"id": "T-42"}, timeout=after)

    def outside(self, grant: Any) -> Answer:
        return self._answer("read_ticket", "T-41", grant)

    def _answer(self, tool: str, ticket: str, grant: Any) -> Answer:
        said = self._client(grant).call(tool, {"id": ticket})
        done = said.status == 200 and not json.loads(said.body).get("result", {}).get("isError", True)
        return Answer(done, f"{said.status} {said.body.decode()}")

    @contextlib.contextmanager
    def lasting(self, grant: Any, tool: str = "watch_ticket") -> Iterator[Lasting]:
        desk, client = self.place.desk, self._client(grant)
        desk.go.clear()
        before = len(desk.calls)
        call = _Call(client, tool)
        try:
            eventually(lambda: len(desk.calls) > before or not call.lives(), within=30)
            assert call.lives(), call.text
            yield call
        finally:
            desk.go.set()
            call.thread.join(PATIENCE)

    @contextlib.contextmanager
    def flood(self, grant: Any, tool: str = "flood_ticket") -> Iterator[Flood]:
        desk, server = self.place.desk, self.place.desk.port
        desk.go.clear()
        calls, before = len(desk.calls), connections_at(server)
        with socket.socket() as line:
            # A small buffer, so that it is soon full.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", self.place.port))
            line.sendall(_flooding(self._client(grant), tool))
            try:
                eventually(lambda: len(desk.calls) > calls, within=30)
                yield Flood(server, before)
            finally:
                desk.go.set()

    @contextlib.contextmanager
    def held(self, grant: Any) -> Iterator[Held]:
        assert "held" in self._answer("close_ticket", "T-42", grant).text
        yield _HeldCall(self, grant)

    def reached(self, grant: Any) -> int:
        return len(self.place.desk.calls) - self._before[grant.pk]

    def settle(self, grant: Any) -> None:
        from sessions_app.operations.grants.deprovision_grant import deprovision_grant
        from sessions_app.operations.sweep.sweep import end_baseless, sweep

        sweep(now=_now, name="test")
        end_baseless(now=_now())
        deprovision_grant(grant_id=grant.pk, now=_now)


def _flooding(client: Raw, tool: str) -> bytes:
    """Return a call that requests progress, as bytes."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "p",
    }
    params = {"name": tool, "arguments": {"id": "T-42"}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
    return (
        f"POST /mcp/desk HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {client.token}\r\n"
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"Content-Length: {len(body)}\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n"
        f"Mcp-Name: {tool}\r\n\r\n{body}"
    ).encode()


def _now():
    from broker.kernel import clock

    return clock.now()
