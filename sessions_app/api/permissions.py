"""Permissions based on how a caller authenticated. Permissions on objects are checked by operations."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import APIToken, Scope


class ScopedAccess(BasePermission):
    """Requires authentication and, from a token, the scope that the view sets in `scope` (`read` for GET and
    HEAD).
    """

    message = "This token lacks the required scope. Create a token with that scope on your account page."
    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the caller can call the view."""
        if not request.user or not request.user.is_authenticated:
            return False
        if not isinstance(request.auth, APIToken) or not hasattr(view, str(request.method).lower()):
            # A method that the view lacks returns 405 for everyone.
            return True
        wanted = Scope.READ if request.method in ("GET", "HEAD") else getattr(view, "scope", None)
        return wanted in request.auth.scopes
