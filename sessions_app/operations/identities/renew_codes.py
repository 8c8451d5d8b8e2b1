"""Generate new recovery codes for the acting person."""

from __future__ import annotations

import datetime as dt

from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import REAL
from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Conflict
from sessions_app.operations.identities.change_factors import first_codes, lock_self, note_change


class NothingToRecover(Conflict):
    """Recovery codes are only for people with a second factor. Add a second factor first."""

    code = "nothing_to_recover"


def renew_codes(*, actor: Identity, now: dt.datetime) -> list[str]:
    """Return new recovery codes, which are shown once. The previous codes become invalid.

    Raises NothingToRecover, Forbidden (a machine), SignInEnded.
    """
    with transaction.atomic():
        identity = lock_self(actor)
        own = Authenticator.objects.filter(user=identity)
        if not own.filter(type__in=REAL).exists():
            raise NothingToRecover(
                "Recovery codes need a second factor.",
                hint="Set up an authenticator app or a passkey first.",
            )
        own.filter(type=Authenticator.Type.RECOVERY_CODES).delete()
        codes = first_codes(identity)
        note_change(
            identity=identity,
            event=Event.IDENTITY_RECOVERY_RENEWED,
            actor=actor_of(actor),
            data={},
            subject="New recovery codes were generated for your account",
            now=now,
        )
    return codes
