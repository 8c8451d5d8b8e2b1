"""A minimal client of Stint's public HTTP API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from broker.direct import direct


class ApiError(Exception):
    """An error response of the API. The message is its title and detail."""


@dataclass(frozen=True)
class Api:
    """The API, called as one identity."""

    base: str
    token: str = field(repr=False)

    def get(self, path: str) -> Any:
        """Return the decoded response to a GET."""
        return self._call("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the decoded response to a POST."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # our own URL, always http
            f"{self.base}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with direct.open(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            raise ApiError(f"{problem.get('title', error)} {problem.get('detail', '')}".strip()) from error
