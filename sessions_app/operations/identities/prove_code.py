"""Verify a code from an authenticator app, or a recovery code."""

from __future__ import annotations

import datetime as dt

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import codes_left, recovery_codes_of, secret_of
from accounts.models import Identity
from accounts.operations.note_sign_in import note_failed_sign_in
from broker.audit.events import Event
from broker.kernel.errors import InvalidInput
from sessions_app.operations.identities.change_factors import NOT_YOU, lock_person, note_change


class WrongCode(InvalidInput):
    """The code is not the current one, or was already used. Enter the next code."""

    code = "wrong_code"


def prove_code(*, identity_id: int, code: str, address: str, now: dt.datetime) -> Authenticator:
    """Return the factor to which the code belongs.

    Each code is accepted only once. A wrong code is recorded as a failed sign-in.

    Raises WrongCode, NotFound, Forbidden (a machine).
    """
    with transaction.atomic():
        identity = lock_person(identity_id)
        found = _use(identity, code, now)
    if found is None:
        note_failed_sign_in(name=identity.username, address=address, reason="the code is wrong", now=now)
        raise WrongCode(
            "The code is incorrect or was already used.",
            hint="Wait for the next code, or use a recovery code.",
            fields={"code": ["Invalid code."]},
        )
    return found


def step_of(secret: str, code: str, now: dt.datetime, after: int = 0) -> int | None:
    """Return the time step (RFC 6238) of a code if it is the current or an adjacent step and later than
    ``after``.

    Adjacent steps are accepted because typing takes time and phone clocks are not exact.
    """
    current = int(now.timestamp()) // int(app_settings.TOTP_PERIOD)
    steps = [step for step in (current, current - 1, current + 1) if step > after]
    return next(
        (
            step
            for step in steps
            if compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step)))
        ),
        None,
    )


def _use(identity: Identity, code: str, now: dt.datetime) -> Authenticator | None:
    by_code = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    for factor in Authenticator.objects.filter(user=identity, type__in=by_code).order_by("pk"):
        fits = _fits_app if factor.type == Authenticator.Type.TOTP else _fits_codes
        if fits(identity, factor, code, now):
            Authenticator.objects.filter(pk=factor.pk).update(last_used_at=now)
            return factor
    return None


def _fits_app(_identity: Identity, app: Authenticator, code: str, now: dt.datetime) -> bool:
    step = step_of(secret_of(app, "secret"), code, now, after=app.data.get("step", 0))
    if step is not None:
        app.data["step"] = step
        app.save(update_fields=["data"])
    return step is not None


def _fits_codes(identity: Identity, codes: Authenticator, code: str, now: dt.datetime) -> bool:
    used = codes.data["used_mask"]
    fits = [compare_user_code(actual=code, expected=one) for one in recovery_codes_of(codes)]
    at = next((at for at, fit in enumerate(fits) if fit and not used >> at & 1), None)
    if at is None:
        return False
    codes.data["used_mask"] = used | 1 << at
    codes.save(update_fields=["data"])
    left = codes_left(codes)
    note_change(
        identity=identity,
        event=Event.IDENTITY_RECOVERY_USED,
        actor=actor_of(identity),
        data={"left": left},
        now=now,
        subject="One of your recovery codes was used",
        body=f"{left} left. Generate new codes before you run out. {NOT_YOU}",
    )
    return True
