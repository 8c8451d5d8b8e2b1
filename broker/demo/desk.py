"""A small MCP server of a support desk, as a target of the gateway: tickets that can be read, summarized and
closed.

It supports only version 2026-07-28, and accepts only Stint's token.
"""

from __future__ import annotations

import http.server
import json
import secrets
import threading
from types import TracebackType
from typing import Any, Self

_HOST = "127.0.0.1"
_VERSION = "2026-07-28"
_TOOLS = {
    "read_ticket": ("Read one ticket", ("id",)),
    "save_summary": ("Save a summary of a ticket", ("id", "text")),
    "close_ticket": ("Close one ticket", ("id",)),
    "export_attachments": ("Export all attachments of a ticket", ("id",)),
}


class Desk:
    """The server, as a context manager."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.tickets = {"TKT-9999": "Another customer's secret"}
        self.closed: set[str] = set()
        self._server = http.server.ThreadingHTTPServer((_HOST, 0), self._handler())
        self.port = int(self._server.server_address[1])

    def add(self, number: str, text: str) -> None:
        """Add a ticket."""
        self.tickets[number] = text

    def __enter__(self) -> Self:
        """Start the server."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a request."""
        if method == "server/discover":
            return {"supportedVersions": [_VERSION], "capabilities": {"tools": {}}}
        if method == "tools/list":
            return {"tools": [_described(name) for name in _TOOLS], "ttlMs": 0, "cacheScope": "private"}
        text = self._call(str(params.get("name")), params.get("arguments", {}))
        return {"content": [{"type": "text", "text": text}], "isError": False}

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        number = str(arguments.get("id"))
        if name == "close_ticket":
            self.closed.add(number)
            return f"{number} is closed"
        if name == "save_summary":
            return f"saved with {number}: {arguments.get('text')}"
        return self.tickets.get(number, "ticket not found")

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        desk = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Authorization") != f"Bearer {desk.token}":
                    return self._say(401, {})
                asked = json.loads(body)
                result = {"resultType": "complete", **desk.answer(asked["method"], asked.get("params", {}))}
                return self._say(200, {"jsonrpc": "2.0", "id": asked.get("id"), "result": result})

            def _say(self, status: int, said: dict[str, Any]) -> None:
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
                """Log nothing, because the demo prints each step."""

        return Handler


def _described(name: str) -> dict[str, Any]:
    says, arguments = _TOOLS[name]
    schema = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in arguments},
        "required": list(arguments),
    }
    return {"name": name, "description": says, "inputSchema": schema}
