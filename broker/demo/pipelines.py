"""A pipeline system as a workflow source: it serves the state of its runs, and sends a signed webhook when a
run is done.

Source: https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time
import urllib.request
from types import TracebackType
from typing import Any, Self

from broker.demo.release_catalog import SOURCE
from broker.direct import direct

_HOST = "127.0.0.1"


class Pipelines(http.server.ThreadingHTTPServer):
    """The system, as a context manager. ``stint`` is the URL of Stint's pages."""

    daemon_threads = True

    def __init__(self, stint: str) -> None:
        super().__init__((_HOST, 0), _Handler)
        self._stint = stint
        self._key = secrets.token_bytes(24)
        self.token = secrets.token_urlsafe(24)
        self.runs: dict[str, dict[str, Any]] = {}

    @property
    def url(self) -> str:
        """The URL template of one run, with {id} for its ID."""
        return f"http://{_HOST}:{self.server_address[1]}/runs/{{id}}"

    @property
    def webhook_secret(self) -> str:
        """The secret that signs its webhooks."""
        return f"whsec_{base64.b64encode(self._key).decode()}"

    def __enter__(self) -> Self:
        """Start the server."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.shutdown()
        self.server_close()

    def begin(self, run: str, release: str) -> None:
        """Start a run for a release."""
        self.runs[run] = {
            "id": run,
            "status": "running",
            "title": f"Release {release}",
            "facts": {"release": release},
            "opened_by": "jonas@example.com",
            "changed_by": [],
        }

    def finish(self, run: str) -> None:
        """Finish a run, and send the webhook to Stint."""
        self.runs[run]["status"] = "done"
        body = json.dumps({"type": "run.done", "data": {"id": run, "status": "done"}})
        delivery, moment = secrets.token_hex(8), str(int(time.time()))
        mac = hmac.new(self._key, f"{delivery}.{moment}.{body}".encode(), hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": moment,
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }
        request = urllib.request.Request(  # noqa: S310  # our own URL, always http
            f"{self._stint}/hooks/{SOURCE}/", data=body.encode(), headers=headers
        )
        with direct.open(request, timeout=20):
            pass


class _Handler(http.server.BaseHTTPRequestHandler):
    """A handler that requires the token."""

    server: Pipelines

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {self.server.token}":
            self._say(401, {})
            return
        found = self.server.runs.get(self.path.rpartition("/")[2])
        self._say(200 if found else 404, found or {})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        """Log nothing, because the demo prints each step."""
