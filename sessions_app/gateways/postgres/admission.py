"""Identify who logs in: the grant to which a user name refers, its verifier, and the access that its token
authorizes now.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

import structlog

from broker.kernel import clock
from broker.kernel.crypto import derived_token, token_digest
from sessions_app.gateways.postgres import scram
from sessions_app.operations.sessions.authorize_use import authorize_use, used_from
from sessions_app.operations.sessions.open_session import RESUMABLE
from sessions_app.operations.sessions.proofs.postgres import AtPostgres, TokenStatements
from sessions_app.operations.sessions.record_refused_request import record_dead_token
from sessions_app.policy import references
from sessions_app.queries.grants.tokens import token_of

log = structlog.get_logger(__name__)

_USER = re.compile(rf"({references.GRANT})(?:\.([a-z0-9][a-z0-9_-]{{0,62}}))?", re.IGNORECASE)
_SALT_BYTES = 16
LINE = "login"


class NotAdmitted(Exception):
    """The holder has proven the token, but can't use it here.

    The arguments are the SQLSTATE, the reason, and what to do.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code, self.message, self.hint = code, message, hint
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The grant and target in a user name: ``GR-7F3K`` or ``GR-7F3K.db-1``.

    Both are empty if the user name has none.
    """

    grant_ref: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The proof that a client must give for a user name.

    ``digest`` is the digest of the token; empty if there is no such token, and then no proof is right.
    """

    wish: Wish
    verifier: scram.Verifier
    digest: str = field(repr=False)


def parse_wish(user: str) -> Wish:
    """Return the grant and target to which a user name refers."""
    found = _USER.fullmatch(user)
    if found is None:
        return Wish()
    return Wish(grant_ref=found[1].upper(), target=(found[2] or "").lower())


def login_of(*, user: str) -> Login:
    """Return the proof that a client must give.

    A name without a grant also gets a verifier, always the same one, so that the exchange does not show which
    grants exist.
    """
    wish = parse_wish(user)
    token = token_of(wish.grant_ref, "postgres")
    name = wish.grant_ref or user
    salt = hashlib.sha256(derived_token("salt", name).encode()).digest()[:_SALT_BYTES]
    known = scram.verifier(token or derived_token("none", name), salt)
    return Login(wish=wish, verifier=known, digest=token_digest(token) if token else "")


def admit(*, login: Login, client: str) -> TokenStatements:
    """Return the use that a proven token authorizes now. Raises NotAdmitted."""
    ref, target = login.wish.grant_ref, login.wish.target
    uses = authorize_use(by=AtPostgres(login.digest, target))
    if len(uses) == 1:
        return used_from(uses[0], client)
    if uses:
        names = " or ".join(sorted(f"{ref}.{use.target.name}" for use in uses))
        raise NotAdmitted(
            "28000", f"{ref} has several targets.", f"Use one of these as the user name: {names}."
        )
    dead = record_dead_token(token_digest=login.digest, target_name=target or ref, line=LINE, now=clock.now())
    why = dead.why if dead is not None else "the grant has no such token"
    log.warning("postgres.not_admitted", grant=ref, client=client, why=why)
    hint = RESUMABLE if dead is not None and dead.held else "Request new access."
    raise NotAdmitted("28000", f"{ref} can't be used: {why}.", hint)
