"""A webhook receiver on loopback, which keeps the requests and answers as configured."""

import base64
import contextlib
import hashlib
import hmac
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.waits import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Came:
    """One request as received."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    def is_signed_by(self, secret: str) -> bool:
        """Whether one of its signatures was made with the secret (Standard Webhooks 1.0)."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return f"v1,{wanted}" in self.headers["webhook-signature"].split(" ")


class Receiver(socketserver.ThreadingTCPServer):
    """Answers with ``answer``: bytes, or a function that handles the socket."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[Came] = []
        self.answer: bytes | Callable[[Any], None] = OK
        self.context = context

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stint"

    def types(self) -> list[str]:
        """Return the messages' types, in order of arrival."""
        return [one.json["type"] for one in self.came]

    def wait_for(self, count: int) -> list[Came]:
        """Wait until this many requests have arrived."""
        eventually(lambda: len(self.came) >= count)
        return self.came

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect: many tests are about them."""


class _Handler(socketserver.StreamRequestHandler):
    server: Receiver

    def setup(self) -> None:
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        line = self.rfile.readline().decode().strip()
        headers = {}
        while text := self.rfile.readline().decode().strip():
            name, _, value = text.partition(": ")
            headers[name.lower()] = value
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self.server.came.append(Came(line, headers, body))
        if callable(self.server.answer):
            self.server.answer(self.wfile)
        else:
            self.wfile.write(self.server.answer)


@contextlib.contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Yield a running receiver."""
    with Receiver(context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


def answered(status: int, *headers: str) -> bytes:
    """Return a response without a body."""
    lines = [f"HTTP/1.1 {status} Said", "Content-Length: 0", *headers, "", ""]
    return "\r\n".join(lines).encode()


def webhook_file(
    receiver: Receiver | None, *, name: str = "chat", events: str = "", **more: Any
) -> dict[str, str]:
    """Return the catalog's file of an endpoint at a receiver."""
    document = {
        "name": name,
        "url": receiver.url if receiver else "https://hooks.example.com/stint",
        "events": events.split() or ["request.created", "grant.revoking"],
        "scope": "everything",
        "secret": SECRET,
        **more,
    }
    return {f"webhooks/{name}.yaml": json.dumps(document)}


def endpoint(name: str = "chat"):
    """Return the endpoint's row."""
    from sessions_app.models import WebhookEndpoint

    return WebhookEndpoint.objects.get(name=name)


def send_all(now, name: str = "chat") -> int:
    """Queue recent events, and send what is due to one endpoint."""
    from sessions_app.operations.notifications.deliver_webhooks import deliver_webhooks
    from sessions_app.operations.notifications.gather_webhooks import gather_webhooks

    gather_webhooks(now=now)
    return deliver_webhooks(endpoint_id=endpoint(name).pk, now=lambda: now)
