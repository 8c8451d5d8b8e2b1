"""An API server in this process: TLS, bearer tokens with their cache, RBAC, and faults on demand.

It implements what a broker and `kubectl` need: roles, bindings, accounts, reviews, patches, watches, and a
kubelet's streams. A resource of an unknown kind is stored as sent. Its behavior in time and order was
measured on real servers of 1.20 and 1.34.
"""

import contextlib
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.servers.kubernetes.acts import (
    PATH,
    REVIEWS,
    Asked,
    attributes,
    authorize,
    body_of,
    change,
    check_escalation,
    listed,
    scale,
    selected,
    token_request,
)
from tests.support.servers.kubernetes.discovery import discovery, openapi, typed
from tests.support.servers.kubernetes.kubelet import Container, Kubelet
from tests.support.servers.kubernetes.store import Refusal, Store
from tests.support.servers.kubernetes.streams import PROTOCOLS, PortForward, attach, exec_, on
from tests.support.servers.kubernetes.tls import authority
from tests.support.servers.kubernetes.wire import WebSocket, Wire, accept_of


@dataclass
class Fault:
    """A fault in matching calls, a number of times. `how`: before, after (act, then drop), hang, drip (an
    endless head), a URL to redirect to, or a status.
    """

    method: str
    path: str
    how: str | int
    times: int = 1

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method == method and re.search(self.path, path) is not None


@dataclass
class Call:
    method: str
    path: str
    status: int
    media_type: str = ""
    body: bytes = b""


@dataclass
class ApiServer:
    """The server, its store and its requests.

    `drop_idle`: close each connection after a response, unannounced.
    """

    folder: Path
    cache_seconds: float = 10.0
    drop_idle: bool = False
    page: int = 500
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    before: Any = None

    def __enter__(self) -> Self:
        self.store = Store(cache_seconds=self.cache_seconds)
        self.kubelet = Kubelet(self.folder / "pods")
        self.ca, context = authority(self.folder)
        self.stopping = threading.Event()
        self._http = Listener(self, context, Handler)
        self.address, self.port = "127.0.0.1", self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        for name in ("default", "kube-system"):
            self.store.create(("", "namespaces"), "", {"metadata": {"name": name}})
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.cut()
        self.kubelet.stop()

    def cut(self) -> None:
        """Break every open connection, as a crashing server does."""
        self.store.wake()
        for connection in list(self._http.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def admin(self) -> str:
        return self.store.admin

    @contextlib.contextmanager
    def counted(self) -> Iterator[list[Call]]:
        """Yield the list of calls that are made inside the block."""
        start, found = len(self.calls), []
        yield found
        found += self.calls[start:]

    def fault(self, method: str, path: str) -> Fault | None:
        found = next((fault for fault in self.faults if fault.fits(method, path)), None)
        if found is not None:
            found.times -= 1
        return found


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, api: Any, context: ssl.SSLContext, handler: type[BaseHTTPRequestHandler]) -> None:
        self.api, self.context = api, context
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        with contextlib.suppress(OSError):
            wrapped = self.context.wrap_socket(request, server_side=True)
            self.open.add(wrapped)
            try:
                super().finish_request(wrapped, client_address)
            finally:
                self.open.discard(wrapped)
                wrapped.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def log_message(self, *args: Any) -> None:
        """Log nothing."""

    def _serve(self) -> None:
        api, path = self.server.api, self.path
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if api.before is not None:
            api.before(self.command, path)
        fault = api.fault(self.command, path)
        if fault is not None and self._broken(fault):
            return
        try:
            status, answer = self._answer(raw)
        except Refusal as refusal:
            status, answer = refusal.code, refusal.status
        if answer is None:
            return
        api.calls.append(Call(self.command, path, status, self.headers.get("Content-Type", ""), raw))
        if fault is not None and fault.how == "after":
            self.close_connection = True
            return
        self._send(status, answer)
        if api.drop_idle:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _broken(self, fault: Fault) -> bool:
        """Apply a fault; return whether it replaces the response."""
        if fault.how == "before":
            self.close_connection = True
        elif fault.how == "hang":
            self.server.api.stopping.wait(30)
            self.close_connection = True
        elif fault.how == "drip":
            self._drip()
        elif isinstance(fault.how, str) and "://" in fault.how:
            self.send_response(302)
            self.send_header("Location", fault.how)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif isinstance(fault.how, int):
            self.server.api.calls.append(Call(self.command, self.path, fault.how))
            self._send(fault.how, Refusal(fault.how, "ServiceUnavailable", "it was told to").status)
        return fault.how != "after"

    def _drip(self) -> None:
        """Start a response whose head never ends, a byte now and then."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 201 Created\r\nX-Slow: ")
            while not self.server.api.stopping.wait(0.2):
                self.wfile.write(b"a")

    def _send(self, status: int, answer: dict) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer(self, raw: bytes) -> tuple[int, dict | None]:
        store, url = self.server.api.store, urlsplit(self.path)
        user = store.user_of(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if url.path == "/version":
            return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        served = discovery(url.path) or openapi(url.path)
        if served is not None:
            return 200, served
        found = PATH.fullmatch(url.path)
        if found is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        queries = parse_qs(url.query, keep_blank_values=True)
        about = attributes(self.command, found, {key: values[0] for key, values in queries.items()})
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        asked = Asked(about, (about.group, about.resource), queries, body_of(raw, kind), kind, user)
        authorize(store, asked)
        return self._act(asked)

    def _act(self, asked: Asked) -> tuple[int, dict | None]:
        store, about = self.server.api.store, asked.attributes
        if about.verb == "watch":
            return 200, self._watch(asked)
        if asked.key in REVIEWS:
            return 201, REVIEWS[asked.key](store, asked)
        if about.combined == "serviceaccounts/token":
            return 201, token_request(store, asked)
        if about.subresource:
            return 200, self._part(asked)
        if about.verb == "list":
            return 200, listed(store, asked, self.server.api.page)
        check_escalation(store, asked)
        if about.combined == "secrets" and about.verb == "create":
            store.fill(asked.body, about.namespace, self.server.api.ca)
        status, made = change(store, self.server.api.kubelet, asked)
        return status, typed(asked.key, made)

    def _part(self, asked: Asked) -> dict | None:
        """Return the response for a subresource; None if it was streamed."""
        about, store = asked.attributes, self.server.api.store
        if about.subresource == "scale":
            return scale(store, asked)
        if asked.streams:
            return self._stream(asked)
        if about.combined == "pods/log":
            return self._log(asked)
        return {"kind": "Status", "status": "Success"}

    def _stream(self, asked: Asked) -> None:
        """Upgrade to a WebSocket, and serve it to its end in this thread."""
        api, about = self.server.api, asked.attributes
        api.store.get(asked.key, about.namespace, about.name)
        container = api.kubelet.container(about.namespace, about.name, asked.query.get("container", ""))
        web = self.upgraded(PROTOCOLS[about.subresource])
        if about.subresource == "portforward":
            PortForward(web, api.kubelet).serve()
        else:
            {"exec": exec_, "attach": attach}[about.subresource](web, container, asked.queries)

    def upgraded(self, spoken: tuple[str, ...]) -> WebSocket:
        offered = [one.strip() for one in self.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        chosen = next((one for one in spoken if one in offered), None)
        if self.headers.get("Upgrade", "").lower() != "websocket" or chosen is None:
            raise Refusal(400, "BadRequest", f"a WebSocket with one of {', '.join(spoken)} is needed")
        self.close_connection = True
        self.server.api.calls.append(Call(self.command, self.path, 101))
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept_of(self.headers["Sec-WebSocket-Key"]))
        self.send_header("Sec-WebSocket-Protocol", chosen)
        self.end_headers()
        return WebSocket(Wire(self.connection))

    def _log(self, asked: Asked) -> None:
        """Send a container's log, and with `follow` new output while the connection is open."""
        about, query = asked.attributes, asked.query
        container = self.server.api.kubelet.container(about.namespace, about.name, query.get("container", ""))
        self.log(container, asked.queries)

    def log(self, container: Container, query: dict[str, list[str]]) -> None:
        """Answer with the log of a container. Supports `tailLines` and `follow`."""
        lines = int(query["tailLines"][0]) if "tailLines" in query else None
        self._begin("text/plain")
        for part in container.written(container.last_lines(lines), follow=on(query, "follow")):
            if self._left():
                return
            if part:
                self._chunk(part)
        self._chunk(b"")

    def _watch(self, asked: Asked) -> None:
        """Send events while the connection is open. Permission is not checked again."""
        store, query = self.server.api.store, asked.query
        ends = time.monotonic() + float(query.get("timeoutSeconds") or 3600)
        self._begin("application/json")
        found, version = store.snapshot(asked.key, asked.attributes.namespace)
        if query.get("resourceVersion", "0") != "0":
            found, version = [], int(query["resourceVersion"])
        for made in found:
            self._tell(asked, "ADDED", made)
        while time.monotonic() < ends and not self.server.api.stopping.is_set() and not self._left():
            for version, key, what, made in store.since(version, seconds=1.0):  # noqa: B007, B020
                if key == asked.key and asked.attributes.namespace in ("", made["metadata"].get("namespace")):
                    self._tell(asked, what, made)
        self._chunk(b"")

    def _tell(self, asked: Asked, what: str, made: dict) -> None:
        if selected(made, asked.query):
            self._chunk(json.dumps({"type": what, "object": typed(asked.key, made)}).encode() + b"\n")

    def _begin(self, kind: str) -> None:
        self.close_connection = True
        self.server.api.calls.append(Call(self.command, self.path, 200))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        """Send one chunk of a response; an empty one ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _left(self) -> bool:
        """Whether the client has closed the connection: it sends nothing while it waits for the response."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))
