"""Open a session when the use of a grant begins."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from accounts.models import SSHPublicKey
from accounts.operations.note_key_use import note_key_use
from accounts.queries import registered_key
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import check_stands
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows, ask
from broker.kernel.postgresql.writes import insert
from broker.kernel.tracing import traced
from sessions_app.models import Grant, GrantCredential, GrantState, Session
from sessions_app.models.grant import all_above_usable
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of, life_of_use
from sessions_app.queries.grants.suspensions import suspension_of


class SessionIsOver(GrantIsOver):
    """The session is closed, or belongs to another grant or target. Open a new one."""

    code = "session_is_over"


class TokenIsOver(GrantIsOver):
    """The token was replaced or revoked, or has expired. The grant may continue: get a new token."""

    code = "token_is_over"


# What to do about a suspended grant.
RESUMABLE = "An approver can resume it."


class GrantIsHeld(GrantIsOver):
    """The grant, or one that it was delegated from, is suspended. Nothing new runs until it is resumed."""

    code = "grant_is_held"


# Locks only the grant, not its holder, so that one holder's uses of two grants don't wait for each other.
_LOCKED = Rows(
    Grant,
    "holder__owner",
    tail="WHERE sessions_app_grant.id = %s FOR NO KEY UPDATE OF sessions_app_grant",
)
_ENDS = "SELECT 1 FROM sessions_app_endintent WHERE grant_id = %s LIMIT 1"


def lock_live(use: AnyUse, now: dt.datetime) -> Grant:
    """Lock the grant and the token in use, so that they can't end before the surrounding transaction does.

    So a use is either registered before the end, which then cuts it, or sees the end and does not begin.
    Raises GrantIsOver, GrantIsHeld, TokenIsOver, RecordContradicted.
    """
    check_stands()
    grant = _LOCKED.first(use.grant_id)
    # The grant may have ended during the wait for the lock.
    if grant is None or not is_live(grant, now) or ask(_ENDS, grant.pk):
        raise GrantIsOver(f"{use.grant_ref} has ended.", hint="Request new access.")
    if grant.held_at is not None or not _is_usable_above(grant, now):
        if suspension := suspension_of(grant):
            raise GrantIsHeld(f"{grant.ref} {suspension}.", hint=RESUMABLE)
        raise GrantIsOver(f"{use.grant_ref} has ended.", hint="Request new access.")
    _lock_token(use, now)
    return grant


def is_live(grant: Grant, now: dt.datetime) -> bool:
    """Whether a locked grant may be used, unless it, or a grant that it was delegated from, is suspended or
    over.
    """
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now or not grant.holder.may_act:
        return False
    return grant.heartbeat_due_at is None or grant.heartbeat_due_at > now


def _is_usable_above(grant: Grant, now: dt.datetime) -> bool:
    return grant.parent_id is None or Grant.objects.filter(all_above_usable(now), pk=grant.pk).exists()


def _lock_token(use: AnyUse, now: dt.datetime) -> None:
    """Lock the token in use.

    Revoking a token locks only the token, so it would not wait for the lock on the grant.
    """
    if use.credential_id is None:
        return
    good = GrantCredential.objects.filter(pk=use.credential_id, revoked_at__isnull=True)
    good = good.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now)).select_for_update(no_key=True)
    if good.first() is None:
        raise TokenIsOver(
            f"This token for {use.grant_ref} is no longer valid.",
            hint="Get a new token if the grant is still active.",
        )


def lock_open(use: AnyUse, session_id: int) -> None:
    """Lock an open session of the use, so that the session can't close before the surrounding transaction
    ends.

    Raises SessionIsOver. The end of a grant waits only for open sessions, so nothing may begin in a closed
    session. A session is closed by its gateway, or on behalf of a gateway that has not responded for too
    long.
    """
    mine = Session.objects.filter(
        pk=session_id, grant=use.grant_id, target=use.target.id, closed_at__isnull=True
    )
    session = mine.select_for_update(no_key=True, of=("self",)).first()
    if session is None:
        raise SessionIsOver("The session is closed.", hint="Connect again.")
    check_proof(session.proof)


def check_proof(fingerprint: str) -> SSHPublicKey | None:
    """Return the key that authenticated the holder, if it is registered.

    Raises SessionIsOver if the key was removed in the meantime.
    """
    key = registered_key(fingerprint)
    if key is not None and key.removed_at is not None:
        raise SessionIsOver("Your SSH key was removed.", hint="Connect with another registered key.")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A session to open with its first command.

    ``proof`` is the fingerprint of the key that authenticated the holder.
    """

    gateway_id: int
    client_address: str
    proof: str


@prepared()
def open_session(*, use: AnyUse, gateway_id: int, client_address: str, proof: str, now: dt.datetime) -> int:
    """Register a session and return its id.

    ``proof`` is the fingerprint of the key that authenticated the holder. Raises GrantIsOver.
    """
    opening = Opening(gateway_id=gateway_id, client_address=client_address, proof=proof)
    with transaction.atomic():
        lock_live(use, now)
        return add_session(use, opening, now)


@traced("stint.session", life_of_use)
def add_session(use: AnyUse, opening: Opening, now: dt.datetime) -> int:
    """Register a session of a locked grant, and return its id.

    Raises SessionIsOver if the key was removed.
    """
    key = check_proof(opening.proof)
    if key is not None:
        note_key_use(key=key, now=now)
    session = insert(
        Session(
            grant_id=use.grant_id,
            target_id=use.target.id,
            gateway_id=opening.gateway_id,
            client_address=opening.client_address[:64],
            proof=opening.proof[:100],
            opened_at=now,
        )
    )
    record(
        event=Event.SESSION_OPENED,
        actor=holder_of(use),
        object_type="grant",
        object_ref=use.grant_ref,
        now=now,
        data={
            "session": session.pk,
            "target": use.target.name,
            "from": opening.client_address,
            "proof": opening.proof,
        },
    )
    return session.pk
