"""What sign-in may do here: no self-made accounts, redirects only to our own pages, and nothing without the record."""

from __future__ import annotations

import base64
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.factors import BY_PROVIDER, factor_used, provider_of
from accounts.models import Identity
from accounts.operations.note_sign_in import note_failed_sign_in, note_sign_in, note_sign_out
from broker.kernel import clock
from broker.kernel.crypto import seal, unseal

# Where the session of a sign-in that has begun keeps what it is held against until it is complete.
_HELD = "stint.signing_in"


def still_signing_in(request: HttpRequest, user: Identity) -> bool:
    """Whether a sign-in may go on: since its first step nobody disabled the person or ended their sign-ins."""
    return user.is_active and request.session.get(_HELD) == user.get_session_auth_hash()


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Identities are made by administrators or by `manage.py`, never by a sign-up page."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves."""
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """Pages answer as pages; the API has its own sign-in."""
        return False

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Say nothing of a sign-in: the page that follows shows whose it is."""
        if message_template != "account/messages/logged_in.txt":
            super().add_message(request, level, message_template, *args, **kwargs)

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """Start a new session at sign-in, so that a fixated session id is useless."""
        # Whoever was signed in, and is nobody now (disabled, or without the factor that is required), is not any more.
        for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
            request.session.pop(key, None)
        request.session.cycle_key()
        request.session[_HELD] = user.get_session_auth_hash()
        refused = super().pre_login(request, user, **kwargs)
        if refused is not None:
            self._note_failure(request, user.username, "the identity is disabled")
        return refused

    def login(self, request: HttpRequest, user: Any) -> None:
        """Sign in and record it, or neither: a session is saved only with an answer that is no error."""
        if not still_signing_in(request, user):
            raise ImmediateHttpResponse(redirect("account_login"))
        with transaction.atomic():
            super().login(request, user)
            note_sign_in(
                identity=user, address=self.get_client_ip(request), provider=provider_of(request, user),
                factor=factor_used(request, user), now=clock.now(),
            )  # fmt: skip
        del request.session[_HELD]

    def login_by_provider(self, request: HttpRequest, user: Identity, issuer: str) -> HttpResponse | None:
        """Sign in whom the provider proved, as far as it wanted to: no step of ours follows. Return where to go instead,
        if they may not.
        """
        try:
            refused: HttpResponse | None = self.pre_login(
                request, user, email_verification="none", signal_kwargs=None, email=None, signup=False, redirect_url=None
            )  # fmt: skip
            if refused is None:
                record_authentication(request, user, BY_PROVIDER, issuer=issuer)
                self.login(request, user)
        except ImmediateHttpResponse as instead:
            refused = instead.response
        return refused

    def logout(self, request: HttpRequest) -> None:
        """Sign out and record it."""
        identity = request.user
        super().logout(request)
        if isinstance(identity, Identity):
            note_sign_out(identity=identity, now=clock.now())

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record the name that was tried. Whether it is anybody's changes neither the answer nor its time."""
        # The form has put the name into its one spelling; what was typed tells more.
        typed = request.POST.get("login", "") or str(credentials.get("username", ""))
        self._note_failure(request, typed, "the name or the password is wrong")

    def _note_failure(self, request: HttpRequest, name: str, reason: str) -> None:
        note_failed_sign_in(name=name, address=self.get_client_ip(request), reason=reason, now=clock.now())


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    """Second factors: what could be used by who reads the database is sealed in it."""

    def encrypt(self, text: str) -> str:
        """Return what is stored of the secret of an authenticator app, or of recovery codes."""
        return base64.b64encode(seal(text.encode(), purpose="second factor")).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret. Raises CannotDecrypt."""
        return unseal(base64.b64decode(encrypted_text), purpose="second factor").decode()
