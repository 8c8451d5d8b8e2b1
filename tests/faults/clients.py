"""The clients with which holders use a grant, and how a run detects that the use continues: by processes on a
host, by the output of a stream, or by the responses in a database session.
"""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg

from broker.demo.database import HOST
from tests.faults.watch import Watch
from tests.support.servers.gateway import STAYS_ALIVE, Place, new_tag

SSH_PORTS = {"gateway-1": 2222, "gateway-2": 2223}
WEB_PORTS = {"gateway-1": 8443, "gateway-2": 8444}
PUBLIC = "stint.example.com"
EVERY_S = 0.05
TIMEOUT_S = 30.0
_MCP = "2026-07-28"
# One for all: loading the system's CA certificates takes longer than a request.
_TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TRUSTING.check_hostname, _TRUSTING.verify_mode = False, ssl.CERT_NONE


class Client(Protocol):
    """Uses a grant until it is stopped or cut."""

    def stop(self) -> None:
        """End it, if it has not ended on its own."""


class Means(Protocol):
    """How a kind of target is used. ``asks`` has the cluster, command set and parameters to request."""

    kinds: Sequence[str]
    targets: Sequence[str]
    asks: tuple[str, str, dict[str, str]]
    needs_credential: bool

    def start(
        self, *, kind: str, target: str, holder: str, gateway: str, tag: int, credential: Any
    ) -> Client:
        """Use a grant until it ends."""

    def again(self, *, target: str, holder: str, gateway: str, credential: Any) -> str:
        """Try once more; return what came of it, empty if it was refused."""


class SSH:
    """A command on a host that resists termination."""

    kinds = STAYS_ALIVE
    targets = ("web-1", "web-2")
    asks = ("web", "restart-web", {"unit": "nginx"})
    needs_credential = False

    def __init__(self, place: Place, watch: Watch) -> None:
        self._place, self._watch = place, watch

    def start(
        self, *, kind: str, target: str, holder: str, gateway: str, tag: int, credential: Any
    ) -> Client:
        """Start it. Its processes on the host have the tag among their arguments."""
        return _Command(self._ssh(holder, target, gateway, "test", kind, str(tag)))

    def again(self, *, target: str, holder: str, gateway: str, credential: Any) -> str:
        """Try once more; return what came of it, empty if it was refused."""
        return _said(self._ssh(holder, target, gateway, "test", "both", str(new_tag())))

    def _ssh(self, holder: str, target: str, gateway: str, *words: str) -> subprocess.Popen[bytes]:
        command = self._place.command(*words, user=target, who=holder)
        command[command.index("-p") + 1] = str(SSH_PORTS[gateway])
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )


class _Command:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class HTTP:
    """A stream through the gateway with ten events a second."""

    kinds = ("stream",)
    targets = ("prices-1",)
    asks = ("prices", "price-work", {"sku": "S-42"})
    needs_credential = True

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def start(
        self, *, kind: str, target: str, holder: str, gateway: str, tag: int, credential: Any
    ) -> Client:
        """Read it in a thread."""
        return _Thread(tag, self._watch, lambda: self._pieces(gateway, credential))

    def again(self, *, target: str, holder: str, gateway: str, credential: Any) -> str:
        """Try once more; return what came of it, empty if it was refused."""
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(_web(gateway)) as site,
        ):
            site.request("GET", "/http/prices/prices/S-42", headers=_bearer(credential))
            answer = site.getresponse()
            return answer.read().decode() if answer.status == 200 else ""
        return ""

    def _pieces(self, gateway: str, credential: Any) -> Iterator[bool]:
        with contextlib.closing(_web(gateway)) as site:
            site.request("GET", "/http/prices/watch/S-42", headers=_bearer(credential))
            answer = site.getresponse()
            while answer.status == 200 and answer.read1(65536):
                yield True


class SQL:
    """A database session with twenty queries a second."""

    kinds = ("session",)
    targets = ("shop",)
    asks = ("shop", "read-orders", {})
    needs_credential = True

    def __init__(self, port: int, watch: Watch) -> None:
        self._port, self._watch = port, watch

    def start(
        self, *, kind: str, target: str, holder: str, gateway: str, tag: int, credential: Any
    ) -> Client:
        """Query in a thread."""
        return _Thread(tag, self._watch, lambda: self._answers(credential))

    def again(self, *, target: str, holder: str, gateway: str, credential: Any) -> str:
        """Try once more; return what came of it, empty if it was refused."""
        with contextlib.suppress(psycopg.Error), self._login(credential) as session:
            return str(session.execute("SELECT count(*) FROM app.orders").fetchone())
        return ""

    def _answers(self, credential: Any) -> Iterator[bool]:
        wait = threading.Event()
        with self._login(credential) as session:
            while session.execute("SELECT count(*) FROM app.orders").fetchone():
                yield True
                wait.wait(EVERY_S)

    def _login(self, credential: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=HOST,
            port=self._port,
            user=credential["Username"],
            password=credential["Password"],
            dbname="shop",
            autocommit=True,
            connect_timeout=5,
        )


class MCP:
    """Ten tool calls a second."""

    kinds = ("calls",)
    targets = ("desk",)
    asks = ("desk", "agent-ticket", {"ticket": "T-42"})
    needs_credential = True

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def start(
        self, *, kind: str, target: str, holder: str, gateway: str, tag: int, credential: Any
    ) -> Client:
        """Call the tool in a thread."""
        return _Thread(tag, self._watch, lambda: self._calls(credential))

    def again(self, *, target: str, holder: str, gateway: str, credential: Any) -> str:
        """Try once more; return what came of it, empty if it was refused."""
        with (
            contextlib.suppress(OSError, http.client.HTTPException, ValueError),
            contextlib.closing(TrustingConnection(PUBLIC, 443)) as site,
        ):
            return self._call(site, credential)
        return ""

    def _calls(self, credential: Any) -> Iterator[bool]:
        wait = threading.Event()
        with contextlib.closing(TrustingConnection(PUBLIC, 443)) as site:
            while self._call(site, credential):
                yield True
                wait.wait(2 * EVERY_S)

    def _call(self, site: http.client.HTTPConnection, credential: Any) -> str:
        """Return the tool's result; empty if the call was refused."""
        meta = {
            f"io.modelcontextprotocol/{name}": value
            for name, value in (("protocolVersion", _MCP), ("clientCapabilities", {}))
        }
        params = {"_meta": meta, "name": "read_ticket", "arguments": {"id": "T-42"}}
        headers = {
            **_bearer(credential),
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": _MCP,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "read_ticket",
            "Host": PUBLIC,
        }
        site.request(
            "POST",
            urlsplit(credential["MCP address"]).path,
            json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}),
            headers,
        )
        said = site.getresponse().read().decode()
        return said if "The link is broken" in said else ""


class Kubernetes:
    """A command in a pod, through the gateway, that resists termination."""

    kinds = ("sleep", "nohup", "setsid", "daemon", "fork", "stubborn")
    targets = ("prod-1",)
    asks = ("prod", "run-shop", {})
    needs_credential = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(
        self, *, kind: str, target: str, holder: str, gateway: str, tag: int, credential: Any
    ) -> Client:
        """Start it. Its processes in the pod have the tag among their arguments."""
        return _Command(self._kubectl(holder, gateway, credential, kind, str(tag)))

    def again(self, *, target: str, holder: str, gateway: str, credential: Any) -> str:
        """Try once more; return what came of it, empty if it was refused."""
        return _said(self._kubectl(holder, gateway, credential, "both", str(new_tag())))

    def _kubectl(self, holder: str, gateway: str, credential: Any, *words: str) -> subprocess.Popen[bytes]:
        server = {
            "server": f"https://localhost:{WEB_PORTS[gateway]}/kubernetes/prod",
            "insecure-skip-tls-verify": True,
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "clusters": [{"name": "one", "cluster": server}],
            "users": [{"name": "one", "user": {"token": credential["Token"]}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one", "namespace": "shop"}}],
        }
        file = self._folder / f"kubeconfig-{holder}"
        file.write_text(json.dumps(config))
        command = [
            "kubectl",
            "--kubeconfig",
            str(file),
            "exec",
            "web-1",
            "-n",
            "shop",
            "-c",
            "app",
            "--",
            "test",
            *words,
        ]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )


def _said(tried: subprocess.Popen[bytes]) -> str:
    """Wait for a command to end, and return its output if it succeeded."""
    try:
        said, _ = tried.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        tried.kill()
        said = b""
    return said.decode(errors="replace") if tried.wait() == 0 else ""


class _Thread:
    """Reads from something in a thread, and notes the time of each output."""

    def __init__(self, tag: int, watch: Watch, follow: Callable[[], Iterator[bool]]) -> None:
        self._tag, self._watch, self._follow = tag, watch, follow
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(TIMEOUT_S)

    def _go_on(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, psycopg.Error, ValueError):
            for _ in self._follow():
                self._watch.touch(self._tag)
                if self._over.is_set():
                    break
        self._watch.leave(self._tag)


def _web(gateway: str) -> http.client.HTTPSConnection:
    return TrustingConnection("localhost", WEB_PORTS[gateway])


def _bearer(credential: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential['Token']}"}


class TrustingConnection(http.client.HTTPSConnection):
    """A connection to loopback, whose certificates were issued for this run."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, timeout=20, context=_TRUSTING)
        self._create_connection = lambda _at, timeout, _from: socket.create_connection(
            ("127.0.0.1", port), timeout
        )
