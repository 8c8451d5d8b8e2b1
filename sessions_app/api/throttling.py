"""Rate limits per caller. Each process counts for itself: they slow down mistakes and guessing, and are not quotas."""

from __future__ import annotations

from typing import Any

from django.core.cache import caches
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class PerIdentity(SimpleRateThrottle):
    """All tokens and sessions of one identity together."""

    cache = caches["local"]
    scope = "identity"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return the cache key of the identity; None for unauthenticated callers."""
        return f"throttle:identity:{request.user.pk}" if request.user.is_authenticated else None


class PerStranger(SimpleRateThrottle):
    """One address without a valid token or session. Guesses are counted before they are refused."""

    cache = caches["local"]
    scope = "stranger"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return the cache key of the address; None for authenticated callers."""
        return None if request.user.is_authenticated else f"throttle:stranger:{self.get_ident(request)}"
