"""Reset two-factor authentication for a person who can no longer use their second factors."""

from __future__ import annotations

import datetime as dt

from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.kernel.errors import Conflict, Forbidden, InvalidInput
from broker.kernel.text import checked_text
from sessions_app.operations.identities.change_factors import end_sign_ins, lock_person, note_change


class NoFactor(Conflict):
    """The person has no second factor, so there is nothing to reset."""

    code = "no_factor"


def reset_factors(*, identity_id: int, reason: str, actor: Identity | Actor, now: dt.datetime) -> Identity:
    """Remove all second factors and recovery codes of a person, who can then sign in with only the password.

    All sessions of the person end.

    ``actor`` is an administrator acting for another person, or an ``Actor`` for someone with a shell on the
    server. Raises Forbidden, NotFound, InvalidInput (oneself, no reason), NoFactor.
    """
    if isinstance(actor, Identity) and not actor.is_superuser:
        raise Forbidden("Only administrators can reset two-factor authentication.")
    reason = checked_text(reason, field="reason", longest=200)
    if not reason:
        raise InvalidInput(
            "A reason is required.",
            hint="Enter a reason, such as “lost phone”.",
            fields={"reason": ["Required."]},
        )
    with transaction.atomic():
        identity = lock_person(identity_id)
        if isinstance(actor, Identity) and identity.pk == actor.pk:
            raise InvalidInput(
                "You can't reset your own second factors.", hint="Change them on your account page."
            )
        factors = Authenticator.objects.filter(user=identity)
        kinds = sorted(str(kind) for kind in factors.values_list("type", flat=True))
        if not kinds:
            raise NoFactor(f"{identity} has no second factors.")
        factors.delete()
        end_sign_ins(identity)
        note_change(
            identity=identity,
            event=Event.IDENTITY_FACTORS_RESET,
            now=now,
            data={"factors": kinds, "reason": reason},
            actor=actor_of(actor),
            subject="Your two-factor authentication was reset",
            body=(
                "All of your sessions ended. Sign in with your password and set up a second factor again."
                f" Reason: {reason}"
            ),
        )
    return identity
