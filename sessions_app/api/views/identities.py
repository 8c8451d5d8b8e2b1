"""People and machines."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import actor_of
from accounts.factors import ensure_signed_in
from accounts.models import Identity, Kind
from accounts.operations.create_identity import create_identity
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.api import reads
from sessions_app.api.bodies import NewIdentity, NewKey, NewToken, Nothing
from sessions_app.api.credentials import Credentials
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByNumber, OfIdentities
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.people import FreshTokenShape, IdentityShape, KeyShape, TokenShape
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity


class Identities(Endpoint):
    """All identities for administrators; otherwise the caller and its machines."""

    @described(paged(IdentityShape), query=OfIdentities)
    def get(self, request: Request) -> Response:
        """List yourself and your machines; all identities for administrators."""
        query = self.query(OfIdentities)
        exact = {"kind": query.get("kind"), "is_active": query.get("enabled")}
        found = reads.identities(self.identity).filter(
            **{name: v for name, v in exact.items() if v is not None}
        )
        return self.page(found, IdentityShape, query, key="username")

    @described(IdentityShape, body=NewIdentity, status=201)
    @once
    def post(self, request: Request) -> Response:
        """Create a person, service or agent. Administrators only.

        With a token, setting a password or creating an administrator returns `sign_in_needed`, because both
        would outlive the token.
        """
        self.administrators_only()
        sent = self.body(NewIdentity)
        if sent["password"] is not None or sent["administrator"]:
            ensure_signed_in(self.token, "set passwords or create administrators")
        owner = sent.pop("owner")
        made = create_identity(
            owner=_owner(owner) if owner else None,
            is_superuser=sent.pop("administrator"),
            actor=actor_of(self.identity),
            now=clock.now(),
            **sent,
        )
        return self.answer(IdentityShape, made, status=201, Location=f"/api/v1/identities/{made.username}")


def _owner(username: str) -> Identity:
    owner = Identity.objects.active().filter(username=username, kind=Kind.PERSON).first()
    if owner is None:
        raise InvalidInput("Owner not found.", fields={"owner": ["Choose an active person."]})
    return owner


class OneIdentity(Endpoint):
    """One identity."""

    @described(IdentityShape)
    def get(self, request: Request, username: str) -> Response:
        """Get an identity that you can see."""
        return self.answer(IdentityShape, reads.identity_of(self.identity, username))


class IdentityDisable(Endpoint):
    """Disables an identity."""

    @described(IdentityShape, body=Nothing)
    @once
    def post(self, request: Request, username: str) -> Response:
        """Disable an identity.

        All grants of the identity and its machines end immediately. Administrators only.
        """
        self.body(Nothing)
        identity = reads.identity_of(self.identity, username)
        disable_identity(identity_id=identity.pk, actor=self.identity, now=clock.now())
        return self.answer(IdentityShape, reads.identity_of(self.identity, username))


class IdentityEnable(Endpoint):
    """Enables an identity."""

    @described(IdentityShape, body=Nothing)
    @once
    def post(self, request: Request, username: str) -> Response:
        """Enable an identity. Its ended grants do not resume. Administrators only."""
        self.body(Nothing)
        identity = reads.identity_of(self.identity, username)
        enable_identity(identity_id=identity.pk, actor=self.identity, now=clock.now())
        return self.answer(IdentityShape, reads.identity_of(self.identity, username))


class _Theirs(Credentials):
    """Keys and tokens of an identity that the caller can see: their own, their machines', and for
    administrators everyone's. Administrators can revoke other people's keys and tokens.
    """

    def theirs(self, username: str) -> Identity:
        """Return the owner of the keys and tokens. Raises NotFound."""
        return reads.identity_of(self.identity, username)


class IdentityKeys(_Theirs):
    """The SSH keys of a machine."""

    @described(paged(KeyShape), query=ByNumber)
    def get(self, request: Request, username: str) -> Response:
        """List the SSH public keys of a machine that you own."""
        return self.list_keys(self.theirs(username))

    @described(KeyShape, body=NewKey, status=201)
    @once
    def post(self, request: Request, username: str) -> Response:
        """Add an SSH public key to a machine that you own. With a token, this returns `sign_in_needed`."""
        return self.add_key(self.theirs(username))


class IdentityKey(_Theirs):
    """One SSH key of a machine."""

    @described(None, status=204)
    def delete(self, request: Request, username: str, key_id: int) -> Response:
        """Remove an SSH key of a machine."""
        return self.remove_key(self.theirs(username), key_id)


class IdentityTokens(_Theirs):
    """The API tokens of a machine."""

    answers_secret: ClassVar[bool] = True

    @described(paged(TokenShape), query=ByNumber)
    def get(self, request: Request, username: str) -> Response:
        """List the API tokens of a machine that you own, without their values."""
        return self.list_tokens(self.theirs(username))

    @described(FreshTokenShape, body=NewToken, status=201)
    @once
    def post(self, request: Request, username: str) -> Response:
        """Create an API token for a machine that you own.

        The token's value is shown once. A token that was created with another token ends with that token.
        """
        return self.make_token(self.theirs(username))


class IdentityToken(_Theirs):
    """One API token of a machine."""

    @described(None, status=204)
    def delete(self, request: Request, username: str, token_id: int) -> Response:
        """Revoke a token of a machine."""
        return self.revoke_token(self.theirs(username), token_id)
