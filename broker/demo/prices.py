"""A price list behind Stint's own HTTP gateway, as a target. It accepts one key, which only the
gateway has.
"""

from __future__ import annotations

import http.server
import json
import secrets
import threading
import time
from types import TracebackType
from typing import Self

_HOST = "127.0.0.1"
_EVERY_S = 0.2


class Prices(http.server.ThreadingHTTPServer):
    """The server, as a context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((_HOST, 0), _Handler)
        self.key = secrets.token_urlsafe(24)
        self.prices = {"S-7": 40, "S-8": 90}
        self.port = int(self.server_address[1])

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


class _Handler(http.server.BaseHTTPRequestHandler):
    """A handler that requires the key."""

    protocol_version = "HTTP/1.1"
    server: Prices

    def do_GET(self) -> None:
        if not self._may():
            return
        if self.path.endswith("/changes"):
            self._follow()
        else:
            self._tell()

    def do_PUT(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._may():
            self.server.prices[self._article] = said["price"]
            self._tell()

    @property
    def _article(self) -> str:
        return self.path.split("/")[2]

    def _may(self) -> bool:
        if self.headers["X-Api-Key"] == self.server.key:
            return True
        self._say(401, {"error": "no key"})
        return False

    def _tell(self) -> None:
        price = self.server.prices[self._article]
        self._say(200, {"article": self._article, "price": price, "margin": 0.31})

    def _say(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _follow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(b"data: no change\n\n")
                time.sleep(_EVERY_S)
        except OSError:
            # The gateway has closed the stream.
            return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        """Log nothing, because the demo prints each step."""
