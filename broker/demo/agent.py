"""A minimal MCP client (2026-07-28), as an agent would use."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from broker.direct import direct

_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Agent:
    """An agent that calls the tools of a cluster or, with an empty cluster name, Stint's own tools. ``base``
    is Stint's MCP URL.
    """

    base: str

    def call(self, cluster: str, token: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool and return its result."""
        answer = self._ask(cluster, token, "tools/call", {"name": name, "arguments": arguments})
        result: dict[str, Any] = answer["result"]
        return result

    def tools(self, cluster: str, token: str) -> list[str]:
        """Return the names of the listed tools."""
        answer = self._ask(cluster, token, "tools/list", {})
        return [str(tool["name"]) for tool in answer["result"]["tools"]]

    def status(self, cluster: str, token: str) -> int:
        """Return the HTTP status of a request for the list of tools."""
        try:
            self._ask(cluster, token, "tools/list", {})
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def _ask(self, cluster: str, token: str, method: str, params: dict[str, Any]) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": _VERSION,
            "Mcp-Method": method,
        }
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
        url = f"{self.base}/{cluster}" if cluster else self.base
        request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)  # noqa: S310  # our own URL, always http
        with direct.open(request, timeout=30) as answer:
            return json.load(answer)
