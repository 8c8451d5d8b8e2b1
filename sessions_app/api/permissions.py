"""What a caller may do with the way it proved itself; object permissions are checked by the operations."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import APIToken, Scope


class ScopedAccess(BasePermission):
    """Signed in, and, with a token, the scope that the view names in `scope` (GET and HEAD need `read`)."""

    message = "This token lacks the required scope. Create one with that scope on your account page."
    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the caller may try."""
        if not request.user or not request.user.is_authenticated:
            return False
        if not isinstance(request.auth, APIToken) or not hasattr(view, str(request.method).lower()):
            # A method that is not there gets a 405 from everybody.
            return True
        wanted = Scope.READ if request.method in ("GET", "HEAD") else getattr(view, "scope", None)
        return wanted in request.auth.scopes
