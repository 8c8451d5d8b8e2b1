"""Start the authorization of a program with a device code (RFC 8628)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.clients import client_of, scopes_for
from accounts.codes import new_user_code, user_code_digest
from accounts.models import DeviceAuthorization
from broker.kernel.crypto import new_token, token_digest

LIFETIME = dt.timedelta(minutes=10)
# Seconds between two polls of the program, until it polls too often.
INTERVAL = 5
# Expired rows are kept for this long, so that a program that polls too late gets the error `expired_token`,
# not the error for an unknown code.
_KEPT = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """The two codes for a program, which are not stored: one for polling, and one to show."""

    device_code: str
    user_code: str
    row: DeviceAuthorization

    def __repr__(self) -> str:
        return f"<codes of {self.row}>"


def start_device(*, client_id: str, scopes: Iterable[str], address: str, now: dt.datetime) -> DeviceCodes:
    """Start an authorization, which expires after ten minutes. This gives no access.

    ``address`` is the program's client address, which is shown to the person who enters the code. Raises
    UnknownClient, ScopeNotOffered.
    """
    client = client_of(client_id)
    wanted = scopes_for(client, scopes)
    DeviceAuthorization.objects.filter(expires_at__lt=now - _KEPT).delete()
    device_code, user_code = new_token("sdc"), new_user_code()
    row = DeviceAuthorization.objects.create(
        device_digest=token_digest(device_code),
        user_digest=user_code_digest(user_code),
        client_id=client.id,
        scopes=wanted,
        address=address[:64],
        interval=INTERVAL,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    return DeviceCodes(device_code, user_code, row)
