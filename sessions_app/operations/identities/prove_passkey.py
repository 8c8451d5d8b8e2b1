"""Verify a passkey."""

from __future__ import annotations

import datetime as dt

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from accounts.models import Identity, Kind
from accounts.operations.note_sign_in import note_failed_sign_in
from accounts.passkeys import BadPasskey, State, check_shown, passkeys_of, whose


def prove_passkey(
    *, identity_id: int | None, answer: str, state: State | None, address: str, now: dt.datetime
) -> Authenticator:
    """Return the passkey with which a browser answered the challenge in ``state``.

    ``identity_id`` is the person who must own the passkey. If None, the passkey is the only factor, so the
    device must have verified the user. People who can't sign in with a password, because the provider
    authenticates them, also can't sign in with only a passkey. A wrong answer for a known person is
    recorded as a failed sign-in. Raises BadPasskey.
    """
    alone = identity_id is None
    people = Identity.objects.filter(
        kind=Kind.PERSON, pk=whose(answer) if identity_id is None else identity_id
    )
    with transaction.atomic():
        identity = people.select_for_update(no_key=True).first()
        if identity is None:
            raise BadPasskey
        found = _use(identity, answer, state, now, alone=alone)
    if found is None:
        note_failed_sign_in(name=identity.username, address=address, reason="the passkey is wrong", now=now)
        raise BadPasskey
    return found


def _use(
    identity: Identity, answer: str, state: State | None, now: dt.datetime, *, alone: bool
) -> Authenticator | None:
    try:
        passkey, use = check_shown(answer, state, passkeys_of(identity))
    except BadPasskey:
        return None
    if alone and not (use.is_user_verified() and (settings.PASSWORD_SIGN_IN or identity.is_superuser)):
        return None
    # If a device has a signature counter that does not increase, the passkey was probably cloned.
    if max(use.counter, passkey.data["counter"]) and use.counter <= passkey.data["counter"]:
        return None
    passkey.data["counter"], passkey.last_used_at = use.counter, now
    passkey.save(update_fields=["data", "last_used_at"])
    return passkey
