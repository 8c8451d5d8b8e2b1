"""API errors as RFC 9457 problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from accounts.attempts import TooManyTries
from broker.audit.record import is_refusal
from broker.kernel import request_id
from broker.kernel.errors import StintError, Unavailable
from broker.kernel.problems import CONTENT_TYPE, from_error, problem
from sessions_app.api.parsers import TooLarge
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.policy.decision import RuleResult

log = structlog.get_logger(__name__)

_WHOLE_BODY = "body"


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Return the problem for an error. Unexpected errors are logged and returned without details."""
    set_rollback()
    request = context.get("request")
    body, headers = _body(_translated(error))
    body["instance"] = request.path if request is not None else ""
    answer = Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)
    # Errors that need a log line were logged above. Otherwise, Django would log a line for each response
    # while the database is unavailable.
    vars(answer)["_has_been_logged"] = body["status"] == Unavailable.status
    return answer


def _translated(error: Exception) -> Exception:
    """Convert Django's and the database's errors to errors of this API."""
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, RequestDataTooBig):
        return TooLarge()
    if isinstance(error, SuspiciousOperation | BadRequest | MultiPartParserError):
        return exceptions.ParseError("The request can't be parsed.")
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("api.database_unavailable", error=type(error).__name__)
        return Unavailable(
            "The database did not respond in time. Nothing was changed.", hint="Try again in a moment."
        )
    if isinstance(error, DatabaseError) and is_refusal(error):
        log.error("api.record_refused", exc_info=error)
        return Unavailable(
            "The record does not accept entries. Nothing was changed.",
            hint="Ask an administrator to run `manage.py doctor`.",
        )
    return error


def _body(error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    if isinstance(error, RequestRefused):
        rules = [_rule(result) for result in error.decision.results]
        return {**from_error(error), "rules": rules}, {}
    if isinstance(error, StintError):
        return from_error(error), _later(error)
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    log.error("api.failed", exc_info=error)
    title = "Internal error. It has been logged."
    return problem(status=500, code="internal_error", title=title, detail=_reference()), {}


def _reference() -> str:
    id_ = request_id.current()
    return f"Give an administrator this reference: {id_}." if id_ else ""


def _later(error: StintError) -> dict[str, str]:
    if isinstance(error, TooManyTries):
        return {"Retry-After": f"{error.wait}"}
    return {"Retry-After": "1"} if error.status == Unavailable.status else {}


def _rule(result: RuleResult) -> dict[str, Any]:
    """Return the result of a rule in the format of `RuleShape`."""
    names = ("rule", "permitted", "message", "fix", "offer")
    return {name: getattr(result, name) for name in names}


def _of_framework(error: exceptions.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    headers: dict[str, str] = {}
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers["WWW-Authenticate"] = str(getattr(error, "auth_header", "Bearer"))
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(int(getattr(error, "wait", None) or 0) + 1)
    if isinstance(error, exceptions.ValidationError):
        fields: dict[str, list[str]] = {}
        for name, text in _flat(error.detail):
            fields.setdefault(name, []).append(text)
        return problem(status=400, code="invalid", title="Some fields are not valid.", fields=fields), headers
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else error.default_code
    return problem(status=error.status_code, code=code, title=str(error.detail)), headers


def _flat(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each message with the path of its field: `parameters.unit`, `targets.0`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            known = "" if name == "non_field_errors" else str(name)
            yield from _flat(inner, ".".join(part for part in (path, known) if part))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield path or _WHOLE_BODY, str(detail)
