"""What sign-in may do here: no self-made accounts, and redirects only to our own pages."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Identities are made by administrators or by `manage.py`, never by a sign-up page."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves."""
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """Pages answer as pages; the API has its own sign-in."""
        return False

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """Start a new session at sign-in, so that a planted session id is worth nothing."""
        request.session.cycle_key()
        return super().pre_login(request, user, **kwargs)
