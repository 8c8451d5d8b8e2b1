"""The Kubernetes gateway, for the contract of all gateways."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.support.servers.endpoints import Answer, Flood, Held, Lasting
from tests.support.servers.gateway import connections_at, new_tag, on_target
from tests.support.servers.kubernetes_place import Place
from tests.support.servers.proxy import BlackHole
from tests.support.servers.running import RunningEndpoint
from tests.support.waits import PATIENCE, eventually

WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
EXEC = "/api/v1/namespaces/shop/pods/web-1/exec"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
RESTART = "kubectl.kubernetes.io/restartedAt"


def exec_path(kind: str, tag: int) -> str:
    """Return the path and query that kubectl sends for `exec web-1 -c app -- test KIND TAG`."""
    words = [("command", word) for word in ("test", kind, str(tag))]
    return f"{EXEC}?{urlencode([*words, ('container', 'app'), ('stderr', 'true'), ('stdout', 'true')])}"


@dataclass
class Client:
    """An exec in a thread, which keeps the output."""

    place: Place
    grant: Any
    tag: int
    kind: str
    text: str = ""
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.run(self._exec())

    async def _exec(self) -> None:
        head = {"Authorization": f"Bearer {self.place.token(self.grant)}"}
        url = f"{self.place.url}{exec_path(self.kind, self.tag)}"
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(
                    url, protocols=["v5.channel.k8s.io"], headers=head, ssl=self.place.context
                ) as opened,
            ):
                async for message in opened:
                    self.text += message.data[1:].decode(errors="replace")[:2000]
        except (aiohttp.ClientError, OSError) as error:
            self.text += f"the connection was cut: {error}"

    def lives(self) -> bool:
        return bool(on_target(self.tag)) or self.thread.is_alive()

    def said(self) -> str:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the exec goes on"
        return self.text


@dataclass
class HeldRequest:
    """A request in a thread that waits for approval."""

    endpoint: KubernetesEndpoint
    grant: Any
    got: Answer | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.got = self.endpoint.restart(self.grant)

    def answer(self) -> Answer:
        self.thread.join(PATIENCE)
        assert self.got is not None, "nothing came of it"
        return self.got


@dataclass
class KubernetesEndpoint(RunningEndpoint):
    """The Kubernetes gateway, by the requests that kubectl sends."""

    place: Place
    way: BlackHole
    cluster: str = "prod"
    _before: dict[int, int] = field(default_factory=dict)

    def grant(self, **changes: Any) -> Any:
        grant = self.place.grant(**{"policy": "prod-work", **changes})
        self._before[grant.pk] = self._patches()
        # Threads that send requests don't read the database.
        self.place.token(grant), self.place.context
        return grant

    def _patches(self) -> int:
        return sum(call.method == "PATCH" for call in self.place.cluster.calls)

    def once(self, grant: Any) -> Answer:
        return self._scale(grant, 3)

    def outside(self, grant: Any) -> Answer:
        return self._scale(grant, 9)

    def give_up(self, grant: Any, *, after: float) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._scale(grant, 3, timeout=after)

    def _scale(self, grant: Any, replicas: int, *, timeout: float = 40) -> Answer:
        return self._patch(grant, f"{WEB}/scale", {"spec": {"replicas": replicas}}, MERGE, timeout)

    def restart(self, grant: Any) -> Answer:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = {"spec": {"template": {"metadata": {"annotations": {RESTART: stamp}}}}}
        return self._patch(grant, f"{WEB}?fieldManager=kubectl-rollout", body, STRATEGIC, 60)

    def _patch(self, grant: Any, path: str, body: Any, kind: str, timeout: float) -> Answer:
        """Send one request. A gateway that is down counts as no answer."""
        try:
            status, said = self.place.ask(grant, "PATCH", path, body, kind=kind, timeout=timeout)
        except ConnectionError as error:
            return Answer(False, f"the connection was cut: {error}")
        message = said.get("message", "") if isinstance(said, dict) else str(said)
        return Answer(status == 200, f"{status} {message}")

    @contextlib.contextmanager
    def lasting(self, grant: Any, kind: str = "nohup") -> Iterator[Lasting]:
        client = Client(self.place, grant, new_tag(), kind)
        try:
            eventually(lambda: on_target(client.tag) or not client.thread.is_alive(), within=30)
            assert client.thread.is_alive(), client.text
            yield client
        finally:
            self._kill(client.tag)
            client.thread.join(PATIENCE)

    @contextlib.contextmanager
    def flood(self, grant: Any) -> Iterator[Flood]:
        before, tag = connections_at(self.place.port), new_tag()
        with socket.socket() as line:
            # A small buffer, so that it is soon full.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", self.place.port))
            with self.place.context.wrap_socket(line, server_hostname="localhost") as wrapped:
                wrapped.sendall(self._upgrade(grant, tag))
                assert b" 101 " in wrapped.recv(4096)
                try:
                    eventually(lambda: on_target(tag), within=30)
                    yield Flood(self.place.port, before, lambda: bool(on_target(tag)))
                finally:
                    self._kill(tag)

    def _upgrade(self, grant: Any, tag: int) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        return (
            f"GET /kubernetes/prod{exec_path('flood', tag)} HTTP/1.1\r\nHost: localhost\r\nAuthorization:"
            f" Bearer {self.place.token(grant)}\r\nConnection: Upgrade\r\nUpgrade:"
            f" websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol:"
            " v5.channel.k8s.io\r\n\r\n"
        ).encode()

    def _kill(self, tag: int) -> None:
        for pid in on_target(tag):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def held(self, grant: Any) -> Iterator[Held]:
        waiting = HeldRequest(self, grant)
        eventually(lambda: grant.runs.filter(state="held").exists() or waiting.got is not None)
        assert waiting.got is None, waiting.got
        yield waiting

    def reached(self, grant: Any) -> int:
        return self._patches() - self._before[grant.pk]
