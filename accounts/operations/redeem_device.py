"""A program asks whether somebody let it in (RFC 8628 section 3.4)."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.clients import client_of
from accounts.models import APIToken, DeviceAuthorization, DeviceState
from accounts.operations.create_token import create_token
from broker.kernel.crypto import token_digest
from broker.kernel.errors import InvalidInput

# Seconds: by how much a program that asks too often has to ask more seldom from then on (RFC 8628 section 3.5).
_SLOWER = 5
_SLOWEST = 120


class NotYet(InvalidInput):
    """Authorization is pending."""

    code = "authorization_pending"


class TooFast(InvalidInput):
    """Nobody has decided yet, and the program asks more often than it was told."""

    code = "slow_down"


class Refused(InvalidInput):
    """The person said no."""

    code = "access_denied"


class TooLate(InvalidInput):
    """The code has expired."""

    code = "expired_token"


class NoSuchCode(InvalidInput):
    """There is no such code, or it was used."""

    code = "invalid_grant"


def redeem_device(*, device_code: str, client_id: str, now: dt.datetime) -> tuple[APIToken, str]:
    """Make the token of the person who let the program in; return it with its text, which is shown this once.

    Raises UnknownClient, NotYet, TooFast, Refused, TooLate, NoSuchCode (used, too, or shown by another client).
    """
    client = client_of(client_id)
    answer: tuple[APIToken, str] | InvalidInput
    with transaction.atomic():
        rows = DeviceAuthorization.objects.select_for_update(of=("self",), no_key=True)
        row = rows.filter(device_digest=token_digest(device_code), client_id=client.id).first()
        answer = NoSuchCode("Unknown code.", hint="Start over.") if row is None else _asked(row, now)
    # Outside, because being too fast is kept.
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
    if row.state == DeviceState.ALLOWED and row.identity is not None and row.identity.is_active:
        return _token(row, now)
    if row.state != DeviceState.PENDING:
        return Refused("The person who authorized it is disabled.")
    return _waits(row, now)


def _token(row: DeviceAuthorization, now: dt.datetime) -> tuple[APIToken, str]:
    client, person = client_of(row.client_id), row.identity
    if person is None:
        raise TypeError("an allowed program has the person who allowed it")
    row.state = DeviceState.USED
    row.save(update_fields=["state"])
    return create_token(
        identity_id=person.pk, label=f"{client.id}{f' from {row.address}' if row.address else ''}", scopes=row.scopes,
        lifetime=dt.timedelta(hours=client.hours), actor=person, now=now,
    )  # fmt: skip


def _waits(row: DeviceAuthorization, now: dt.datetime) -> InvalidInput:
    early = row.asked_at is not None and now - row.asked_at < dt.timedelta(seconds=row.interval)
    if early:
        row.interval = min(row.interval + _SLOWER, _SLOWEST)
    row.asked_at = now
    row.save(update_fields=["asked_at", "interval"])
    if early:
        return TooFast("Polling too fast.", hint=f"Poll every {row.interval} seconds from now on.")
    return NotYet("Authorization is pending.")
