"""Remove one of a person's second factors."""

from __future__ import annotations

import datetime as dt

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import REAL, facts_of, said
from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Conflict, NotFound
from sessions_app.operations.identities.change_factors import end_sign_ins, lock_self, note_change


class LastFactor(Conflict):
    """The person's last second factor can't be removed, because one is required. Add another factor first."""

    code = "last_factor"


def own_factor(factor_id: int, identity: Identity) -> Authenticator:
    """Return an authenticator app or passkey of the person. Raises NotFound."""
    found = Authenticator.objects.filter(user=identity, type__in=REAL, pk=factor_id).first()
    if found is None:
        raise NotFound("Second factor not found.")
    return found


def remove_factor(*, factor_id: int, actor: Identity, now: dt.datetime) -> Authenticator:
    """Remove an authenticator app or a passkey.

    When the last factor is removed, the recovery codes are also removed. All other sessions of the person
    end.

    Raises NotFound, LastFactor, Forbidden (a machine), SignInEnded.
    """
    with transaction.atomic():
        identity = lock_self(actor)
        factor = own_factor(factor_id, identity)
        others = Authenticator.objects.filter(user=identity).exclude(pk=factor.pk)
        if not others.filter(type__in=REAL).exists():
            if settings.SECOND_FACTOR == "required":
                raise LastFactor(
                    "Two-factor authentication is required, and this is your only second factor.",
                    hint="Add another second factor first.",
                )
            others.delete()
        Authenticator.objects.filter(pk=factor.pk).delete()
        end_sign_ins(identity)
        note_change(
            identity=identity,
            event=Event.IDENTITY_FACTOR_REMOVED,
            actor=actor_of(actor),
            data=facts_of(factor),
            now=now,
            subject=f"{said(factor)} was removed from your account",
        )
    return factor
