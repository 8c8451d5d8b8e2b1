"""The token that a grant over HTTP or MCP is used with."""

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

PREFIX = "sgt"
# What is used with a token that Stint itself decides by.
KINDS = ("http", "mcp")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class NotItsHolder(Forbidden):
    """Only who holds a grant, or owns the machine that does, gets its token."""

    code = "not_its_holder"


class NotOverHTTP(InvalidInput):
    """The grant is on a cluster of another kind, which is used without a token."""

    code = "not_over_http"


def issue_http_token(
    *, grant_id: int, actor: Identity, jkt: str = "", lifetime: dt.timedelta | None = None, now: dt.datetime
) -> tuple[GrantCredential, str]:
    """Make a token for a live grant; return it with its text, which is shown this once. The one before dies at once.

    ``jkt`` binds it to a key of the holder's: the SHA-256 thumbprint (RFC 7638) in base64url. With a
    ``lifetime`` it ends before its grant does, never after it. Raises NotFound, NotItsHolder, NotOverHTTP, GrantIsOver,
    InvalidInput.
    """
    if jkt and _THUMBPRINT.fullmatch(jkt) is None:
        raise InvalidInput(
            "The thumbprint must be SHA-256 in base64url.",
            hint="See RFC 7638.",
            fields={"jkt": ["Wrong."]},
        )
    with transaction.atomic():
        grant = _usable(grant_id, actor, now)
        GrantCredential.objects.filter(grant=grant, revoked_at__isnull=True).update(revoked_at=now)
        text = new_token(PREFIX)
        until = min(grant.expires_at, now + lifetime) if lifetime else grant.expires_at
        made = GrantCredential.objects.create(
            grant=grant,
            digest=token_digest(text),
            jkt=jkt,
            created_at=now,
            expires_at=until if lifetime else None,
        )
        record(
            event=Event.CREDENTIAL_ISSUED, actor=actor_of(actor), object_type="grant", object_ref=grant.ref, now=now,
            data={"until": until.isoformat(), "bound_to": jkt},
        )  # fmt: skip
    return made, text


def _usable(grant_id: int, actor: Identity, now: dt.datetime) -> Grant:
    grant = (
        Grant.objects.visible_to(actor)
        .select_for_update(no_key=True, of=("self",))
        .select_related("holder", "cluster")
        .filter(pk=grant_id)
        .first()
    )
    if grant is None:
        raise NotFound("Grant not found.")
    if not may_give_credentials(actor, grant.holder):
        raise NotItsHolder("Only the holder of a grant can get its token.")
    if grant.cluster.kind not in KINDS:
        raise NotOverHTTP(f"{grant.ref} does not use a token.", hint="Its page explains how to use it.")
    if grant.state == GrantState.ACTIVE and grant.held_at is not None:
        raise GrantIsOver(
            f"{grant.ref} is held after too many refused commands.", hint="An approver can release it."
        )
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        raise GrantIsOver(f"{grant.ref} is not active.", hint="Request new access.")
    check_stands()
    return grant
