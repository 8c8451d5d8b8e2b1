"""Every error of the API as an RFC 9457 problem."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from broker.kernel.errors import StintError
from broker.kernel.problems import CONTENT_TYPE, from_error, problem


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem of an anticipated error; None lets the server answer 500."""
    set_rollback()
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, StintError):
        return Response(from_error(error), status=error.status, content_type=CONTENT_TYPE)
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    return None


def _of_framework(error: exceptions.APIException) -> Response:
    headers = {}
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers["WWW-Authenticate"] = getattr(error, "auth_header", "Bearer")
    if isinstance(error, exceptions.Throttled) and error.wait:
        headers["Retry-After"] = str(int(error.wait) + 1)
    codes = error.get_codes()
    body = problem(
        status=error.status_code,
        code=codes if isinstance(codes, str) else "invalid",
        title=str(error.detail) if isinstance(codes, str) else "Some fields are not right.",
        fields=error.detail if isinstance(error, exceptions.ValidationError) else {},
    )
    return Response(body, status=error.status_code, headers=headers, content_type=CONTENT_TYPE)
