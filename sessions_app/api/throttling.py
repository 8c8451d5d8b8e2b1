"""Rate limits per caller.

Each process counts separately, because the limits are not quotas, but slow down mistakes and
guessing.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.addresses import address_of
from broker.kernel import recent
from broker.kernel.networks import source_of


class PerCaller(BaseThrottle):
    """Counts all tokens and sessions of one identity together. Requests without a valid token or session are
    counted by address. Guesses are counted before they are rejected.
    """

    _wait = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count a call, and return whether the caller is within the configured limit per minute."""
        known = request.user.is_authenticated
        caller = request.user.pk if known else source_of(address_of(request._request))  # noqa: SLF001  # Django's
        calls, self._wait = recent.count(("api", known, caller), 60)
        return calls <= (settings.API_PER_MINUTE if known else settings.API_STRANGERS_PER_MINUTE)

    def wait(self) -> float:
        """Return the seconds until the next call is allowed."""
        return self._wait
