"""Keys and tokens of one identity: the caller, or a machine that the caller owns."""

from __future__ import annotations

import datetime as dt

from rest_framework.response import Response

from accounts.models import Identity
from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.create_token import create_token
from accounts.operations.remove_ssh_key import remove_ssh_key
from accounts.operations.revoke_token import revoke_token
from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.api import reads
from sessions_app.api.bodies import NewKey, NewToken
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByNumber
from sessions_app.api.shapes.people import FreshTokenShape, KeyShape, TokenShape


class Credentials(Endpoint):
    """Operations on keys and tokens.

    A token needs the scope `administer` to manage them, because they give additional access.
    """

    shown = ""

    def list_keys(self, owner: Identity) -> Response:
        """Return a page of the keys that were not removed."""
        return self.page(reads.keys(owner), KeyShape, self.query(ByNumber))

    def add_key(self, owner: Identity) -> Response:
        """Register a key. Raises SignInNeeded for a token."""
        sent = self.body(NewKey)
        key = add_ssh_key(identity_id=owner.pk, actor=self.identity, by=self.token, now=clock.now(), **sent)
        return self.answer(KeyShape, key, status=201)

    def remove_key(self, owner: Identity, key_id: int) -> Response:
        """Remove a key. Raises NotFound."""
        if not reads.keys(owner).filter(pk=key_id).exists():
            raise NotFound("Key not found.")
        remove_ssh_key(key_id=key_id, actor=self.identity, now=clock.now())
        return Response(status=204)

    def list_tokens(self, owner: Identity) -> Response:
        """Return a page of the tokens that were not revoked."""
        return self.page(reads.tokens(owner), TokenShape, self.query(ByNumber))

    def make_token(self, owner: Identity) -> Response:
        """Create a token and return its value. Raises MoreThanItself."""
        sent = self.body(NewToken)
        made, self.shown = create_token(
            identity_id=owner.pk,
            label=sent["label"],
            scopes=sent["scopes"],
            lifetime=dt.timedelta(seconds=sent["lifetime"]),
            actor=self.identity,
            by=self.token,
            now=clock.now(),
        )
        return self.answer(FreshTokenShape, made, status=201)

    def revoke_token(self, owner: Identity, token_id: int) -> Response:
        """Revoke a token. Raises NotFound."""
        if not reads.tokens(owner).filter(pk=token_id).exists():
            raise NotFound("Token not found.")
        revoke_token(token_id=token_id, actor=self.identity, now=clock.now())
        return Response(status=204)
