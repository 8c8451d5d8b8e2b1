"""Sign-in rules: no self-registration, redirects only to Stint's own pages, and an entry in the record for
every sign-in.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.addresses import address_of
from accounts.attempts import Secret, TooManyTries, count_attempt, note_usual_address
from accounts.factors import factor_used, forget_proofs, note_provider, provider_of
from accounts.models import Identity
from accounts.operations.note_sign_in import note_failed_sign_in, note_sign_in, note_sign_out
from broker.kernel import clock

# Session key of the auth hash from the first step of a sign-in. The hash is compared until the sign-in is
# complete.
_HELD = "stint.signing_in"


def still_signing_in(request: HttpRequest, user: Identity) -> bool:
    """Whether a sign-in may continue: since it began, the person was not disabled, and their sessions were
    not ended.
    """
    return user.is_active and request.session.get(_HELD) == user.get_session_auth_hash()


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Stint's rules for allauth. Identities are created by administrators or with `manage.py`, never on a
    sign-up page.
    """

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return False, because there is no self-registration."""
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """Return False, because pages always return HTML, and the API has its own sign-in."""
        return False

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Skip the message about a sign-in, because the next page shows who is signed in."""
        if message_template != "account/messages/logged_in.txt":
            super().add_message(request, level, message_template, *args, **kwargs)

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """Start a new session at sign-in, which prevents session fixation."""
        # End an earlier sign-in that is not valid (disabled, or without the required second factor).
        for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
            request.session.pop(key, None)
        request.session.cycle_key()
        request.session[_HELD] = user.get_session_auth_hash()
        refused = super().pre_login(request, user, **kwargs)
        if refused is not None:
            self._note_failure(request, user.username, "the identity is disabled")
        return refused

    def login(self, request: HttpRequest, user: Any) -> None:
        """Sign in and record the sign-in, or do neither: if recording fails, the response is an error and the
        session is not saved.
        """
        if not still_signing_in(request, user):
            raise ImmediateHttpResponse(redirect("account_login"))
        with transaction.atomic():
            super().login(request, user)
            address, now = self.get_client_ip(request), clock.now()
            note_usual_address(user, address, now)
            note_sign_in(
                identity=user,
                address=address,
                provider=provider_of(request, user),
                factor=factor_used(request, user),
                now=now,
            )
        del request.session[_HELD]

    def login_by_provider(
        self, request: HttpRequest, user: Identity, *, issuer: str, proven_at: dt.datetime | None
    ) -> HttpResponse | None:
        """Sign in a person whom the identity provider authenticated, without a second factor of Stint's own.

        ``proven_at`` is the time of that authentication; None if it is not recent. If the person may not sign
        in, return the response to send instead.
        """
        try:
            refused: HttpResponse | None = self.pre_login(
                request,
                user,
                email_verification="none",
                signal_kwargs=None,
                email=None,
                signup=False,
                redirect_url=None,
            )
            if refused is None:
                forget_proofs(request)
                note_provider(request, user, issuer=issuer, proven_at=proven_at)
                self.login(request, user)
        except ImmediateHttpResponse as instead:
            refused = instead.response
        return refused

    def logout(self, request: HttpRequest) -> None:
        """Sign out and record the sign-out."""
        identity = request.user
        super().logout(request)
        if isinstance(identity, Identity):
            note_sign_out(identity=identity, now=clock.now())

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Identity | None:
        """Return the person with these credentials; None if they are invalid.

        After too many attempts, raises ValidationError without checking the password.
        """
        name = str(credentials["username"])
        try:
            attempt = count_attempt(
                Secret.PASSWORD, account=name, address=address_of(request), now=clock.now()
            )
        except TooManyTries as error:
            raise ValidationError(str(error)) from error
        user: Identity | None = super().authenticate(request, **credentials)
        if user is not None:
            attempt.was_right()
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record the username of the failed attempt. Neither the response nor its timing depends on whether
        the name exists.
        """
        # Record the name as typed, because the form has replaced it with its canonical spelling.
        typed = request.POST.get("login", "") or str(credentials.get("username", ""))
        self._note_failure(request, typed, "the username or the password is wrong")

    def _note_failure(self, request: HttpRequest, name: str, reason: str) -> None:
        note_failed_sign_in(name=name, address=self.get_client_ip(request), reason=reason, now=clock.now())
