"""A use of a grant begins."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import Q

from accounts.models import SSHPublicKey
from accounts.operations.note_key_use import note_key_use
from accounts.queries import registered_key
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import check_stands
from sessions_app.models import Grant, GrantCredential, GrantState, Session
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of


class SessionIsOver(GrantIsOver):
    """The session is closed, or is one of another grant or target."""

    code = "session_is_over"


class TokenIsOver(GrantIsOver):
    """The token that the grant is used with was replaced or given up, or its time is over; the grant may go on."""

    code = "token_is_over"


class GrantIsHeld(GrantIsOver):
    """Too much else was tried with the grant: nothing runs until an approver says so."""

    code = "grant_is_held"


def lock_live(use: AnyUse, now: dt.datetime) -> Grant:
    """Lock the grant, and the token that it is used with, against ending until the surrounding transaction is over.
    Raises GrantIsOver, GrantIsHeld, TokenIsOver, RecordContradicted.

    So a use is either registered before the end is, and then cut by it, or it finds the end and does not begin.
    """
    check_stands()
    # Only the grant is locked, not its holder, so that what one holder does in two grants does not wait for each other.
    grant = (
        Grant.objects.select_for_update(no_key=True, of=("self",))
        .filter(
            pk=use.grant_id,
            held_at__isnull=True,
            state=GrantState.ACTIVE,
            expires_at__gt=now,
            holder__is_active=True,
        )
        .filter(Q(holder__owner__isnull=True) | Q(holder__owner__is_active=True))
        .filter(Q(heartbeat_due_at__isnull=True) | Q(heartbeat_due_at__gt=now))
        .first()
    )
    if grant is None:
        if Grant.objects.filter(pk=use.grant_id, state=GrantState.ACTIVE, held_at__isnull=False).exists():
            raise GrantIsHeld(
                f"{use.grant_ref} is held after too many refused commands.",
                hint="An approver can release it.",
            )
        raise GrantIsOver(f"{use.grant_ref} has ended.", hint="Request new access.")
    _lock_token(use, now)
    return grant


def _lock_token(use: AnyUse, now: dt.datetime) -> None:
    """Whoever gives a token up locks the token alone, so the lock of the grant does not keep its end waiting."""
    if use.credential_id is None:
        return
    good = GrantCredential.objects.filter(pk=use.credential_id, revoked_at__isnull=True)
    good = good.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now)).select_for_update(no_key=True)
    if good.first() is None:
        raise TokenIsOver(
            f"This token of {use.grant_ref} has ended.", hint="Get a new token if the grant is still active."
        )


def lock_open(use: AnyUse, session_id: int) -> None:
    """Lock an open session of the use against closing until the surrounding transaction is over. Raises SessionIsOver.

    An end waits only for sessions that are open, so nothing may begin in one that was closed: by the gateway, or for a
    gateway that was silent for too long and then woke up.
    """
    mine = Session.objects.filter(
        pk=session_id, grant=use.grant_id, target=use.target.id, closed_at__isnull=True
    )
    session = mine.select_for_update(no_key=True, of=("self",)).first()
    if session is None:
        raise SessionIsOver("The session is closed.", hint="Connect again.")
    check_proof(session.proof)


def check_proof(fingerprint: str) -> SSHPublicKey | None:
    """Return the key that proved the holder, if it is registered. Raises SessionIsOver when it was removed meanwhile."""
    key = registered_key(fingerprint)
    if key is not None and key.removed_at is not None:
        raise SessionIsOver("Your SSH key was removed.", hint="Connect with another registered key.")
    return key


def open_session(*, use: AnyUse, gateway_id: int, client_address: str, proof: str, now: dt.datetime) -> int:
    """Register a session and return its id. ``proof`` is the fingerprint of the proven key. Raises GrantIsOver."""
    with transaction.atomic():
        lock_live(use, now)
        key = check_proof(proof)
        if key is not None:
            note_key_use(key=key, now=now)
        session = Session.objects.create(
            grant_id=use.grant_id, target_id=use.target.id, gateway_id=gateway_id,
            client_address=client_address[:64], proof=proof[:100], opened_at=now,
        )  # fmt: skip
        record(
            event=Event.SESSION_OPENED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={"session": session.pk, "target": use.target.name, "from": client_address, "proof": proof},
        )  # fmt: skip
    return session.pk
