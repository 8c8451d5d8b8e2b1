"""Issue a grant's token for a gateway that accepts tokens."""

from __future__ import annotations

import datetime as dt
import re

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.queries import may_give_credentials
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import check_stands
from broker.kernel.crypto import new_token, token_digest
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from sessions_app.models import Grant, GrantCredential, GrantState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.queries.catalog.statement_sets import has_statements
from sessions_app.queries.grants.suspensions import suspension_of
from sessions_app.queries.grants.tokens import PREFIX, shared_token

_KINDS = ("http", "mcp")
# Clients of these kinds request a token each time they start, and several run at the same time. They all get
# the same token.
_SHARED = ("kubernetes", "postgres")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def takes_tokens(grant: Grant) -> bool:
    """Whether a grant is used with a token, at a gateway where Stint itself authorizes each use."""
    cluster = grant.cluster
    if cluster.kind == "kubernetes":
        return not cluster.connection.get("direct")
    if cluster.kind == "postgres":
        return has_statements(grant.command_set_version)
    return cluster.kind in _KINDS


def shares_token(grant: Grant) -> bool:
    """Whether all clients of a grant get the same token."""
    return takes_tokens(grant) and grant.cluster.kind in _SHARED


class NotItsHolder(Forbidden):
    """Only the holder of a grant can delegate it, get its token or send its heartbeats. Sign in as the
    holder.
    """

    code = "not_its_holder"


class NotOverHTTP(InvalidInput):
    """The grant's cluster is of another kind, which needs no token."""

    code = "not_over_http"


def issue_http_token(
    *, grant_id: int, actor: Identity, jkt: str = "", lifetime: dt.timedelta | None = None, now: dt.datetime
) -> tuple[GrantCredential, str]:
    """Create a token for an active grant, and return it with its text, which is shown only once.

    The previous token is revoked.

    For kinds whose clients request a token each time they start, a valid existing token is returned instead.
    ``jkt`` binds the token to a key of the holder: the SHA-256 thumbprint (RFC 7638) in base64url. With a
    ``lifetime``, the token can expire before its grant ends, but never after. Raises NotFound, NotItsHolder,
    NotOverHTTP, GrantIsOver, InvalidInput.
    """
    if jkt and _THUMBPRINT.fullmatch(jkt) is None:
        raise InvalidInput(
            "The thumbprint must be SHA-256 in base64url.",
            hint="See RFC 7638.",
            fields={"jkt": ["Invalid thumbprint."]},
        )
    with transaction.atomic():
        grant = _usable(grant_id, actor, now)
        until = min(grant.expires_at, now + lifetime) if lifetime else grant.expires_at
        if grant.cluster.kind in _SHARED:
            made, text = _shared(grant, now, bound=bool(jkt or lifetime))
        else:
            made, text = _replaced(
                grant, new_token(PREFIX), now, jkt=jkt, expires_at=until if lifetime else None
            )
        record(
            event=Event.CREDENTIAL_ISSUED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"until": until.isoformat(), "bound_to": jkt},
        )
    return made, text


def _shared(grant: Grant, now: dt.datetime, *, bound: bool) -> tuple[GrantCredential, str]:
    """Return the token of a grant, which is the same until it is revoked."""
    if bound:
        raise InvalidInput(
            f"The token for {grant.cluster} can't have a key or lifetime of its own. Remove them."
        )
    text = shared_token(grant)
    live = grant.credentials.filter(revoked_at__isnull=True, digest=token_digest(text)).first()
    return (live, text) if live else _replaced(grant, text, now)


def _replaced(
    grant: Grant, text: str, now: dt.datetime, *, jkt: str = "", expires_at: dt.datetime | None = None
) -> tuple[GrantCredential, str]:
    grant.credentials.filter(revoked_at__isnull=True).update(revoked_at=now)
    made = GrantCredential.objects.create(
        grant=grant, digest=token_digest(text), jkt=jkt, created_at=now, expires_at=expires_at
    )
    return made, text


def check_usable(grant: Grant, now: dt.datetime) -> None:
    """Raise GrantIsOver unless a grant is active and not suspended."""
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        raise GrantIsOver(f"{grant.ref} is not active.", hint="Request new access.")
    if suspension := suspension_of(grant):
        raise GrantIsOver(f"{grant.ref} {suspension}.", hint="An approver can resume it.")


def _usable(grant_id: int, actor: Identity, now: dt.datetime) -> Grant:
    grant = (
        Grant.objects.visible_to(actor)
        .select_for_update(no_key=True, of=("self",))
        .select_related("holder", "cluster", "command_set_version__command_set")
        .filter(pk=grant_id)
        .first()
    )
    if grant is None:
        raise NotFound("Grant not found.")
    if not may_give_credentials(actor, grant.holder):
        raise NotItsHolder("Only the holder of a grant can get its token.")
    if not takes_tokens(grant):
        raise NotOverHTTP(f"{grant.ref} does not use a token.", hint="Its page explains how to use it.")
    check_usable(grant, now)
    check_stands()
    return grant
