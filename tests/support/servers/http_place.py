"""The HTTP gateway as a process, with an application behind it, in its own database."""

import contextlib
import functools
import http.client
import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.demo.ports import free_port
from tests.support.pace import allow
from tests.support.servers.http_target import SECRET, Target, http_target
from tests.support.servers.running import Running, start
from tests.support.waits import eventually
from tests.support.world.world import World, make_world

COMMAND_SET = """
name: price-work
kind: http
summary: Read the price of one product and change it
risk: medium
parameters:
  sku: {pattern: "S-[0-9]{1,8}"}
commands:
  - request: GET /prices/{sku}
    query: {currency: {choice: [EUR, USD]}}
    optional: [currency]
    effect: read
  - request: HEAD /prices/{sku}
    effect: read
  - request: PUT /prices/{sku}
    body: {price: {int: [1, 100]}}
    effect: change
  - request: POST /prices/{sku}/publish
    body: {note: {pattern: ".{0,200}"}}
    effect: change
    hold: true
  - request: POST /notes/{sku}
    form: {text: {pattern: ".{1,100}"}, page: {pattern: "[0-9]+"}}
    files: {photo: {max: 1MB, types: [image/png]}}
    optional: [page, photo]
    effect: change
  - request: PUT /photos/{sku}
    upload: {max: 5MB, types: [image/png]}
    effect: change
  - request: POST /publish/{sku}
    upload: {max: 10MB, types: [image/png, image/jpeg]}
    effect: change
    hold: true
  - request: GET /public/{sku}
    response: {fields: [price, account.owner], max: 10KB}
    effect: read
  - request: GET /tenants/{sku}
    headers: {x-tenant: {choice: [acme, globex]}}
    effect: read
  - request: GET /slow/{sku}
    query: {seconds: {pattern: "[0-9.]+"}}
    optional: [seconds]
    response: {time: 1s}
    effect: read
  - request: GET /small/{sku}
    response: {max: 1KB}
    effect: read
  - request: GET /flood/{sku}
    effect: read
  - request: GET /download/{sku}
    query: {pieces: {int: [1, 100000]}}
    optional: [pieces]
    effect: read
  - request: GET /watch/{sku}
    effect: read
    stream: true
  - request: GET /socket/{sku}
    effect: change
    websocket: true
  - request: GET /quiet/{sku}
    effect: read
examples:
  allow: ["GET /prices/S-42"]
  refuse: ["GET /prices"]
accept:
  stream commands[13].stream: prices are followed as they change
  websocket commands[14].websocket: the messages of the tests are harmless
"""


def cluster(target: Target, *, inject: str) -> str:
    """Return the cluster's file."""
    tls = f"true, ca: {json.dumps(target.ca)}" if target.ca else "false"
    return f"""
name: prices
kind: http
summary: Prices
environment: production
risk: medium
connection: {{proxy: stint, tls: {tls}, public_host: prices.example.com, inject: {inject}}}
targets:
  - {{name: prices-1, address: 127.0.0.1, port: {target.port}}}
"""


HEADER = f'{{header: Authorization, value: "Bearer {SECRET}"}}'


@dataclass
class Reply:
    """An HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Place(Running):
    """The running gateway and the application behind it."""

    world: World
    target: Target
    folder: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    gateway: subprocess.Popen[bytes] | None = None
    tokens: dict[int, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"https://localhost:{self.port}"

    def grant(self, **changes: Any) -> Any:
        """Return an active grant of alice on one price."""
        from sessions_app.models import Sweeper

        Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now()})
        asked = {
            "cluster": "prices",
            "command_set": "price-work",
            "policy": "prices-work",
            "parameters": {"sku": "S-42"},
        }
        grant = self.world.grant(now=now(), **{**asked, **changes})
        eventually(lambda: grant.refresh_from_db() or grant.state == "active")
        return grant

    def end(self, grant: Any) -> None:
        """Revoke a grant unless it has ended."""
        from sessions_app.models import EndReason
        from sessions_app.operations.grants.end_grant import end_grant

        grant.refresh_from_db()
        if grant.state == "active":
            end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=now())

    def token(self, grant: Any, **more: Any) -> str:
        """Return the grant's token; the same one each time, unless another kind is requested."""
        from tests.support.world.mcp_site import token_of

        if more or grant.pk not in self.tokens:
            self.tokens[grant.pk] = token_of(grant, self.world, now=now(), **more)
        return self.tokens[grant.pk]

    @functools.cached_property
    def authority(self) -> str:
        """The certificate of the authority that issued the gateway's own."""
        from sessions_app.queries.gateways.keys import gateway_bundle

        found = gateway_bundle()
        assert found
        return found

    def context(self) -> ssl.SSLContext:
        """A context that trusts only the gateway's authority."""
        return ssl.create_default_context(cadata=self.authority)

    def connect(self, *, timeout: float = 40, room: int = 0) -> ssl.SSLSocket:
        """Connect by TLS. ``room``: the size of the receive buffer."""
        raw = socket.socket()
        raw.settimeout(timeout)
        if room:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        raw.connect(("127.0.0.1", self.port))
        return self.context().wrap_socket(raw, server_hostname="localhost")

    def ask(
        self, grant: Any, request: str, body: Any = None, *, timeout: float = 40, **headers: str
    ) -> Reply:
        """Send one request with the grant's token: `GET /prices/S-42`.

        A body other than bytes is sent as JSON.
        """
        method, _, path = request.partition(" ")
        said = {"Authorization": f"Bearer {self.token(grant)}"} if grant is not None else {}
        if body is not None and not isinstance(body, bytes):
            body, said["Content-Type"] = json.dumps(body).encode(), "application/json"
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        line = http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=self.context())
        try:
            line.request(method, f"/http/prices{path}", body, said)
            answer = line.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            line.close()

    def raw(self, data: bytes, *, timeout: float = 5, answers: int = 0) -> bytes:
        """Send bytes, and return all that comes back until the gateway closes or is silent for a while.

        Waits for ``answers`` responses however long they take.
        """
        found = b""
        with self.connect() as line, contextlib.suppress(OSError):
            line.sendall(data)
            line.settimeout(40 if answers else allow(timeout))
            while piece := line.recv(65536):
                found += piece
                line.settimeout(timeout if found.count(b"HTTP/1.1 ") >= answers else 40)
        return found

    def start(self) -> None:
        """Start the gateway and wait until it answers."""
        with (self.folder / "gateway.log").open("ab") as log:
            self.gateway = start(
                "manage.py",
                "gateway",
                "--protocols",
                "http",
                "--port",
                str(self.port),
                "--name",
                "tested",
                env=self.env,
                stderr=log,
            )
        eventually(self._answers, within=20)

    def _answers(self) -> bool:
        assert self.gateway is not None
        assert self.gateway.poll() is None, self.log
        with contextlib.suppress(OSError, AssertionError), self.connect(timeout=5) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return line.recv(100).startswith(b"HTTP/1.1 200")
        return False

    @property
    def log(self) -> str:
        """Return the gateway's log."""
        with contextlib.suppress(OSError):
            return (self.folder / "gateway.log").read_text(encoding="utf-8", errors="replace")
        return ""


def now():
    from broker.kernel import clock

    return clock.now()


@contextlib.contextmanager
def http_place(
    blocker,
    folder: Path,
    *,
    tls: bool = True,
    inject: str = HEADER,
    change: Callable[[dict[str, str]], dict[str, str]] = dict,
) -> Iterator[Place]:
    """Run it all until the block ends; ``change`` changes the gateway's environment."""
    from broker.kernel import clock
    from tests.conftest import fresh_database

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(blocker))
        target = stack.enter_context(http_target(folder / "target" if tls else None))
        clock.sync()
        world = make_world(clock.now())
        yield stack.enter_context(gateway_before(target, world, change(database.env), folder, inject=inject))


@contextlib.contextmanager
def gateway_before(
    target: Target, world: World, env: dict[str, str], folder: Path, *, inject: str = HEADER
) -> Iterator[Place]:
    """Add an application to the catalog of a world, and run the gateway in front of it until the
    block ends.
    """
    from tests.support.servers.endpoints import policies

    world.catalog.update(
        {
            "clusters/prices.yaml": cluster(target, inject=inject),
            "command-sets/price-work.yaml": COMMAND_SET,
            **policies("prices", "price-work"),
        }
    )
    world.apply()
    place = Place(world, target, folder, env)
    place.env = {**env, "STINT_GATEWAY_PUBLIC_URL": place.base}
    try:
        place.start()
        yield place
    finally:
        place.stop(signal.SIGTERM)
    assert "Traceback" not in place.log, place.log
