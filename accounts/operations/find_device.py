"""Find the program that is waiting for a device code."""

from __future__ import annotations

import datetime as dt

from accounts.attempts import Secret, count_attempt
from accounts.codes import typed_code, user_code_digest
from accounts.models import DeviceAuthorization, DeviceState, Identity
from broker.kernel.errors import InvalidInput


class UnknownCode(InvalidInput):
    """No program is waiting for this code. Check the code, or start again."""

    code = "unknown_code"


def find_device(*, user_code: str, identity: Identity, address: str, now: dt.datetime) -> DeviceAuthorization:
    """Return the program that is waiting for this code. Raises UnknownCode for unknown, used and expired
    codes alike, and TooManyTries after too many wrong codes.
    """
    attempt = count_attempt(Secret.DEVICE_CODE, account=identity.username, address=address, now=now)
    code = typed_code(user_code)
    waiting = DeviceAuthorization.objects.filter(state=DeviceState.PENDING, expires_at__gt=now)
    found = waiting.filter(user_digest=user_code_digest(code)).first() if code else None
    if found is None:
        raise UnknownCode(
            "This code is not valid.",
            hint=(
                "Check the code in the terminal. Codes expire after ten minutes; run `stint login` for a new"
                " one."
            ),
            fields={"user_code": ["Not a valid code."]},
        )
    attempt.was_right()
    return found
