"""A program asks to act as somebody, and shows a code (RFC 8628)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.clients import client_of, scopes_for
from accounts.codes import new_user_code, user_code_digest
from accounts.models import DeviceAuthorization
from broker.kernel.crypto import new_token, token_digest

LIFETIME = dt.timedelta(minutes=10)
# Seconds between two questions of the program, as long as it keeps to it.
INTERVAL = 5
# So that one that comes too late hears that its code is too old, and not that there never was one.
_KEPT = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """What the program is told, this once: the code that it asks with, and the one that it shows."""

    device_code: str
    user_code: str
    row: DeviceAuthorization

    def __repr__(self) -> str:
        return f"<codes of {self.row}>"


def start_device(*, client_id: str, scopes: Iterable[str], address: str, now: dt.datetime) -> DeviceCodes:
    """Write down that a program waits for somebody's yes, for ten minutes. Nothing is given by it.

    ``address`` is where it asks from; whoever types the code sees it. Raises UnknownClient, ScopeNotOffered.
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
