"""The caller: identity, credentials, settings and notifications."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth import update_session_auth_hash
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.addresses import address_of
from accounts.models import Scope
from accounts.operations.set_password import set_password
from accounts.operations.set_time_zone import set_time_zone
from broker.kernel import clock
from sessions_app.api import reads
from sessions_app.api.bodies import NewKey, NewPassword, NewTimeZone, NewToken, Nothing
from sessions_app.api.credentials import Credentials
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByNumber, OfNotices
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.people import FreshTokenShape, KeyShape, MeShape, NoticeShape, TokenShape
from sessions_app.models import Notice
from sessions_app.operations.notifications.read_notice import read_notice
from sessions_app.queries.notifications.notices import with_outcomes


class Me(Endpoint):
    """The caller."""

    @described(MeShape)
    def get(self, request: Request) -> Response:
        """Get your identity, and what your token allows."""
        return self.answer(MeShape, self.identity)


class MyKeys(Credentials):
    """The caller's SSH keys."""

    @described(paged(KeyShape), query=ByNumber)
    def get(self, request: Request) -> Response:
        """List your SSH public keys."""
        return self.list_keys(self.identity)

    @described(KeyShape, body=NewKey, status=201)
    @once
    def post(self, request: Request) -> Response:
        """Add an SSH public key: ed25519, ECDSA, RSA with at least 3072 bits, or a security key.

        Adding a key requires a browser session and a proof of identity from the last five minutes. Without
        them, the response is `proof_needed`, or `sign_in_needed` for a token.
        """
        return self.add_key(self.identity)


class MyKey(Credentials):
    """One of the caller's SSH keys."""

    @described(None, status=204)
    def delete(self, request: Request, key_id: int) -> Response:
        """Remove one of your keys. The key can no longer be used."""
        return self.remove_key(self.identity, key_id)


class MyTokens(Credentials):
    """The caller's API tokens."""

    answers_secret: ClassVar[bool] = True

    @described(paged(TokenShape), query=ByNumber)
    def get(self, request: Request) -> Response:
        """List your API tokens, without their values."""
        return self.list_tokens(self.identity)

    @described(FreshTokenShape, body=NewToken, status=201)
    @once
    def post(self, request: Request) -> Response:
        """Create an API token.

        The token's value is shown once. A token that is created with another token can't have more scopes or
        a later end, and is revoked with it. A browser session requires a proof of identity from the last five
        minutes; otherwise the response is `proof_needed`.
        """
        return self.make_token(self.identity)


class MyToken(Credentials):
    """One of the caller's API tokens."""

    @described(None, status=204)
    def delete(self, request: Request, token_id: int) -> Response:
        """Revoke one of your tokens."""
        return self.revoke_token(self.identity, token_id)


class MyTimeZone(Endpoint):
    """The caller's time zone."""

    @described(MeShape, body=NewTimeZone)
    @once
    def post(self, request: Request) -> Response:
        """Set the time zone for your pages and messages."""
        zone = self.body(NewTimeZone)["time_zone"]
        me = self.identity
        return self.answer(
            MeShape, set_time_zone(identity_id=me.pk, time_zone=zone, actor=me, now=clock.now())
        )


class MyPassword(Endpoint):
    """The caller's password."""

    @described(MeShape, body=NewPassword)
    @once
    def post(self, request: Request) -> Response:
        """Change your password. Your other sessions end; keys and tokens stay valid."""
        sent = self.body(NewPassword)
        me = self.identity
        here = address_of(request._request)  # noqa: SLF001  # Django's request
        changed = set_password(identity_id=me.pk, actor=me, address=here, now=clock.now(), **sent)
        if self.token is None:
            update_session_auth_hash(request._request, changed)  # noqa: SLF001  # Django's session
        return self.answer(MeShape, changed)


class Notices(Endpoint):
    """The caller's notifications."""

    @described(paged(NoticeShape), query=OfNotices)
    def get(self, request: Request) -> Response:
        """List your notifications, newest first. A run's token sees only the notifications about its run."""
        query = self.query(OfNotices)
        notices = with_outcomes(Notice.objects.visible_to(self.identity), self.identity, clock.now())
        return self.page(
            notices.filter(read_at__isnull=True) if query["unread"] else notices, NoticeShape, query
        )


class NoticeRead(Endpoint):
    """Marks a notification as read."""

    scope: ClassVar[str] = Scope.READ

    @described(NoticeShape, body=Nothing)
    @once
    def post(self, request: Request, notice_id: int) -> Response:
        """Mark a notification as read."""
        self.body(Nothing)
        read_notice(notice_id=notice_id, actor=self.identity, now=clock.now())
        return self.answer(NoticeShape, reads.notice_of(self.identity, notice_id))
