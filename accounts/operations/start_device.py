"""Start the authorization of a program, which shows a code (RFC 8628)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.clients import client_of, scopes_for
from accounts.codes import new_user_code, user_code_digest
from accounts.models import DeviceAuthorization
from broker.kernel.crypto import new_token, token_digest

LIFETIME = dt.timedelta(minutes=10)
# Seconds between two polls of the program, as long as it does not poll too often.
INTERVAL = 5
# Expired rows are kept this long, so that a late program learns that its code has expired, not that it is unknown.
_KEPT = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """The two codes of a program, returned only once: the one that it polls with, and the one that it shows."""

    device_code: str
    user_code: str
    row: DeviceAuthorization

    def __repr__(self) -> str:
        return f"<codes of {self.row}>"


def start_device(*, client_id: str, scopes: Iterable[str], address: str, now: dt.datetime) -> DeviceCodes:
    """Store that a program waits for authorization, for ten minutes. This gives no access.

    ``address`` is where it asks from; the person who types the code sees it. Raises UnknownClient, ScopeNotOffered.
    """
    client = client_of(client_id)
    wanted = scopes_for(client, scopes)
    DeviceAuthorization.objects.filter(expires_at__lt=now - _KEPT).delete()
    device_code, user_code = new_token("sdc"), new_user_code()
    row = DeviceAuthorization.objects.create(
        device_digest=token_digest(device_code), user_digest=user_code_digest(user_code), client_id=client.id,
        scopes=wanted, address=address[:64], interval=INTERVAL, created_at=now, expires_at=now + LIFETIME,
    )  # fmt: skip
    return DeviceCodes(device_code, user_code, row)
