"""The responses to refused requests: a ``Status``, whose message kubectl prints in full.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sessions_app.queries.grants.tokens import ENDS_OF_TOKENS

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "Timeout",
    409: "Conflict",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}
OLD_KUBECTL = (
    "Stint's gateway needs kubectl 1.31 or later for exec, attach and port-forward: this version uses SPDY"
    " instead of WebSocket."
)


def status(code: int, message: str) -> dict[str, Any]:
    """Return a failure as a ``Status``. ``code`` is the HTTP status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }


class NotMade(Exception):
    """The request is refused, with this ``Status``."""

    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


def answer(code: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the response to a refused request.

    The response closes the connection, because the body may be unread.
    """
    made = web.Response(
        status=code,
        body=json.dumps(status(code, message), ensure_ascii=False).encode(),
        headers={"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
    )
    made.force_close()
    return made


def ended(ref: str, why: str) -> str:
    """Return why a grant can't be used anymore, as a message for its holder."""
    if why in ENDS_OF_TOKENS:
        return f"{ref} can no longer be used with this token: {why}."
    return f"{ref} has ended: {why}."
