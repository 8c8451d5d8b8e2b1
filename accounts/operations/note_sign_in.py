"""Record sign-ins to the web interface, failed attempts, and sign-outs."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import MAX_NAME, record
from broker.kernel.text import recordable

_LONGEST = 100


def note_sign_in(
    *, identity: Identity, address: str, provider: str = "", factor: str = "", now: dt.datetime
) -> None:
    """Record a sign-in, with the identity ``provider`` or the second ``factor``, if any.

    Call this in the transaction of the sign-in, which must fail if the record can't accept the entry. Raises
    NotInTransaction.
    """
    data = {
        "from": address,
        **({"provider": provider} if provider else {}),
        **({"factor": factor} if factor else {}),
    }
    record(
        event=Event.IDENTITY_SIGNED_IN,
        actor=actor_of(identity),
        object_type="identity",
        object_ref=identity.username,
        data=data,
        now=now,
    )


def note_failed_sign_in(*, name: str, address: str, reason: str, now: dt.datetime) -> None:
    """Record a failed attempt to sign in as ``name``, which is stored as typed, truncated to 100 characters.

    The entry's object is the canonical name, whether or not it exists. A failed sign-in gives no access, so
    the entry goes to the backlog if the record can't accept it.
    """
    typed = recordable(name[:_LONGEST])
    about = recordable(canonical_username(name))[:MAX_NAME] or "?"
    with transaction.atomic():
        record_end(
            event=Event.IDENTITY_SIGN_IN_FAILED,
            actor=Actor.system("sign-in"),
            object_type="identity",
            object_ref=about,
            data={"name": typed, "from": address, "reason": reason},
            now=now,
        )


def note_sign_out(*, identity: Identity, now: dt.datetime) -> None:
    """Record a sign-out. A sign-out removes access, so it succeeds even if the record can't accept the
    entry.
    """
    with transaction.atomic():
        record_end(
            event=Event.IDENTITY_SIGNED_OUT,
            actor=actor_of(identity),
            object_type="identity",
            object_ref=identity.username,
            data={},
            now=now,
        )
