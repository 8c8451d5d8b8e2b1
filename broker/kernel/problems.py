"""Errors as RFC 9457 problem details, for all entry points."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from broker.kernel.errors import StintError

CONTENT_TYPE = "application/problem+json"
# The path of the pages that explain the codes.
_REFERENCE = "/docs/reference/errors/"


def problem(*, status: int, code: str, title: str, detail: str = "", **members: Any) -> dict[str, Any]:
    """Return an RFC 9457 object without its empty members. Its type is the URL that explains the code."""
    type_ = f"{settings.PUBLIC_URL}{_REFERENCE}#{code}"
    body: dict[str, Any] = {"type": type_, "title": title, "status": status, "code": code}
    if detail:
        body["detail"] = detail
    body.update({name: value for name, value in members.items() if value})
    return body


def from_error(error: StintError) -> dict[str, Any]:
    """Return the problem details of an anticipated error."""
    return problem(
        status=error.status, code=error.code, title=error.message, detail=error.hint, fields=error.fields
    )
