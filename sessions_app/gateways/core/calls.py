"""WSGI responses to programs that request a decision (PEP 3333)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]

# Matches the caller's key (RFC 6750).
BEARER = re.compile(r"Bearer ([\x21-\x7e]{32,512})", re.IGNORECASE)


class BadCall(Exception):
    """The call itself is invalid; ``status`` is the HTTP status of the response."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


def answered(
    start: Start, status: int, body: dict[str, Any], headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    """Respond with JSON that must not be cached."""
    data = json.dumps(body, ensure_ascii=False).encode()
    kept = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("content-length", str(len(data))),
    ]
    start(f"{status} {HTTPStatus(status).phrase}", [*kept, *headers])
    return [data]


def answered_badly(start: Start, error: BadCall, headers: Iterable[tuple[str, str]] = ()) -> Iterable[bytes]:
    """Respond with the reason why a call is invalid."""
    asks = [("www-authenticate", 'Bearer realm="stint"')] if error.status == 401 else []
    return answered(start, error.status, {"error": error.message}, [*headers, *asks])
