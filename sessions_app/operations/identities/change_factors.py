"""Steps of every change to a person's second factors: lock the person, record the change, and notify the
person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

from accounts.factors import put_secret, recovery_codes_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import Json, record
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.operations.notifications.notify import notify

NOT_YOU = "If this was not you, change your password and contact an administrator."


def lock_person(identity_id: int) -> Identity:
    """Lock a person, so that their second factors can't change until the transaction ends.

    Raises NotFound, Forbidden.
    """
    identity = Identity.objects.select_for_update(no_key=True).filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("Identity not found.")
    if not identity.is_person:
        raise Forbidden("Machines don't sign in.", hint="Add an SSH key or an API token instead.")
    return identity


class SignInEnded(Forbidden):
    """Your sessions ended while the request was in progress. Sign in again."""

    code = "sign_in_ended"


def lock_self(actor: Identity) -> Identity:
    """Lock the acting person, who is changing their own second factors. Raises Forbidden, SignInEnded.

    If an administrator disabled the person or reset their factors while the request waited for the lock, the
    request must not add a factor.
    """
    identity = lock_person(actor.pk)
    if not identity.is_active or identity.get_session_auth_hash() != actor.get_session_auth_hash():
        raise SignInEnded("Your sign-in has ended.", hint="Sign in again.")
    return identity


def end_sign_ins(identity: Identity) -> None:
    """End every session of a locked person.

    People who change their own factors stay signed in through `update_session_auth_hash`.
    """
    identity.sign_ins_ended += 1
    identity.save(update_fields=["sign_ins_ended"])


def first_codes(identity: Identity) -> list[str]:
    """Create recovery codes for a locked person who has none, and return the codes, which are shown only
    once.
    """
    if Authenticator.objects.filter(user=identity, type=Authenticator.Type.RECOVERY_CODES).exists():
        return []
    codes = Authenticator(user=identity, type=Authenticator.Type.RECOVERY_CODES, data={"used_mask": 0})
    put_secret(codes, "seed", RecoveryCodes.generate_seed())
    codes.save()
    return recovery_codes_of(codes)


def note_change(
    *,
    identity: Identity,
    event: Event,
    actor: Actor,
    data: Mapping[str, Json],
    subject: str,
    body: str = NOT_YOU,
    now: dt.datetime,
) -> None:
    """Record a change, and notify the person."""
    record(event=event, actor=actor, object_type="identity", object_ref=identity.username, data=data, now=now)
    notify(people=[identity], event=event, subject=subject, body=body, path="/account/", now=now)
