"""Add an authenticator app to a person's sign-in."""

from __future__ import annotations

import datetime as dt

from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import put_secret
from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Conflict
from sessions_app.operations.identities.change_factors import (
    end_sign_ins,
    first_codes,
    lock_self,
    note_change,
)
from sessions_app.operations.identities.prove_code import WrongCode, step_of


class AppThere(Conflict):
    """The person already has an authenticator app. Remove it before adding another."""

    code = "app_there"


def add_totp(*, secret: str, code: str, actor: Identity, now: dt.datetime) -> list[str]:
    """Add an authenticator app. The code proves that the app has the secret.

    All other sessions of the person end.

    Return recovery codes if the person has none yet. The codes are shown only once. Raises AppThere,
    WrongCode, Forbidden, SignInEnded.
    """
    with transaction.atomic():
        identity = lock_self(actor)
        if Authenticator.objects.filter(user=identity, type=Authenticator.Type.TOTP).exists():
            raise AppThere(
                "You already have an authenticator app.",
                hint="Remove the existing app before you add another.",
            )
        step = step_of(secret, code, now)
        if step is None:
            raise WrongCode(
                "The code is incorrect.",
                hint="Check that your phone's clock is correct, then enter the current six digits.",
                fields={"code": ["Invalid code."]},
            )
        # Stores the time step, so that this code can't be used again.
        app = Authenticator(user=identity, type=Authenticator.Type.TOTP, data={"step": step}, created_at=now)
        put_secret(app, "secret", secret)
        app.save()
        codes = first_codes(identity)
        end_sign_ins(identity)
        note_change(
            identity=identity,
            event=Event.IDENTITY_FACTOR_ADDED,
            actor=actor_of(actor),
            data={"factor": str(app.type)},
            subject="An authenticator app was added to your account",
            now=now,
        )
    return codes
