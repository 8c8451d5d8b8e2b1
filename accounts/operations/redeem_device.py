"""Issue a token to a program that polls for its authorization (RFC 8628 section 3.4)."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.clients import client_of
from accounts.locks import lock_active
from accounts.models import APIToken, DeviceAuthorization, DeviceState
from accounts.operations.create_token import create_token
from broker.kernel.crypto import token_digest
from broker.kernel.errors import InvalidInput

# Seconds that are added to the polling interval of a program that polls too often (RFC 8628 section 3.5).
_SLOWER = 5
_SLOWEST = 120


class NotYet(InvalidInput):
    """No one has entered the code yet. Poll again after ``interval`` seconds."""

    code = "authorization_pending"


class TooFast(InvalidInput):
    """The program polls too often. Wait five seconds longer between requests."""

    code = "slow_down"


class Refused(InvalidInput):
    """The person denied the program, or their sessions have ended since. If the denial was a mistake, start
    the sign-in again.
    """

    code = "access_denied"


class TooLate(InvalidInput):
    """The device code has expired. Start the sign-in again."""

    code = "expired_token"


class NoSuchCode(InvalidInput):
    """The device code does not exist, or was already used. Start the sign-in again."""

    code = "invalid_grant"


def redeem_device(*, device_code: str, client_id: str, now: dt.datetime) -> tuple[APIToken, str]:
    """Create a token of the person who authorized the program. Return the token with its text, which is not
    stored.

    Raises UnknownClient, NotYet, TooFast, Refused, TooLate, NoSuchCode (also for a used code or another
    client's code).
    """
    client = client_of(client_id)
    answer: tuple[APIToken, str] | InvalidInput
    with transaction.atomic():
        rows = DeviceAuthorization.objects.select_for_update(of=("self",), no_key=True)
        row = rows.filter(device_digest=token_digest(device_code), client_id=client.id).first()
        answer = NoSuchCode("Unknown code.", hint="Start over.") if row is None else _asked(row, now)
    # Raise outside the transaction, because a longer interval must be stored.
    if isinstance(answer, InvalidInput):
        raise answer
    return answer


def _asked(row: DeviceAuthorization, now: dt.datetime) -> tuple[APIToken, str] | InvalidInput:
    if row.state == DeviceState.USED:
        return NoSuchCode("The code has already been used.", hint="Start over.")
    if row.expires_at <= now:
        return TooLate("The code has expired.", hint="Start over.")
    if row.state == DeviceState.DENIED:
        return Refused("Access was denied.")
    return _token(row, now) if row.state == DeviceState.ALLOWED else _waits(row, now)


def _token(row: DeviceAuthorization, now: dt.datetime) -> tuple[APIToken, str] | Refused:
    client = client_of(row.client_id)
    person = lock_active(row.identity_id or 0).get(row.identity_id or 0)
    if person is None or person.get_session_auth_hash() != row.sign_in:
        return Refused("The sign-in of the person who authorized the program has ended.", hint="Start over.")
    row.state = DeviceState.USED
    row.save(update_fields=["state"])
    return create_token(
        identity_id=person.pk,
        label=f"{client.id}{f' from {row.address}' if row.address else ''}",
        scopes=row.scopes,
        lifetime=dt.timedelta(hours=client.hours),
        actor=person,
        now=now,
    )


def _waits(row: DeviceAuthorization, now: dt.datetime) -> InvalidInput:
    early = row.asked_at is not None and now - row.asked_at < dt.timedelta(seconds=row.interval)
    if early:
        row.interval = min(row.interval + _SLOWER, _SLOWEST)
    row.asked_at = now
    row.save(update_fields=["asked_at", "interval"])
    if early:
        return TooFast("Polling too fast.", hint=f"Poll every {row.interval} seconds.")
    return NotYet("Authorization is pending.")
