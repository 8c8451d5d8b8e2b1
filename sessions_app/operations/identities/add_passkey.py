"""Add a passkey or security key to a person's sign-in."""

from __future__ import annotations

import datetime as dt

from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import facts_of, said
from accounts.models import Identity
from accounts.passkeys import State, check_added, passkeys_of
from broker.audit.events import Event
from broker.kernel.errors import Conflict, InvalidInput
from broker.kernel.text import checked_text
from sessions_app.operations.identities.change_factors import (
    end_sign_ins,
    first_codes,
    lock_self,
    note_change,
)

MOST = 20


class TooManyPasskeys(Conflict):
    """The person already has the maximum number of passkeys. Remove one first."""

    code = "too_many_passkeys"


def add_passkey(
    *, answer: str, state: State | None, name: str, actor: Identity, now: dt.datetime
) -> tuple[Authenticator, list[str]]:
    """Add the passkey that a browser created for ``state``. All other sessions of the person end.

    Also return recovery codes if the person has none yet. The codes are shown only once. Raises
    InvalidInput (no name), BadPasskey, TooManyPasskeys, Forbidden (a machine), SignInEnded.
    """
    name = checked_text(name, field="name", longest=60)
    if not name:
        raise InvalidInput("A name is required.", hint="Name the device.", fields={"name": ["Required."]})
    with transaction.atomic():
        identity = lock_self(actor)
        if len(passkeys_of(identity)) >= MOST:
            raise TooManyPasskeys(f"The limit of {MOST} passkeys has been reached.", hint="Remove one first.")
        made = Authenticator.objects.create(
            user=identity,
            type=Authenticator.Type.WEBAUTHN,
            data={"name": name, **check_added(answer, state)},
            created_at=now,
        )
        codes = first_codes(identity)
        end_sign_ins(identity)
        note_change(
            identity=identity,
            event=Event.IDENTITY_FACTOR_ADDED,
            actor=actor_of(actor),
            data=facts_of(made),
            subject=f"{said(made)} was added to your account",
            now=now,
        )
    return made, codes
