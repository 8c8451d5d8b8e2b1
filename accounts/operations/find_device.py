"""Look up the program that shows a code."""

from __future__ import annotations

import datetime as dt

from django.core.cache import caches

from accounts.codes import typed_code, user_code_digest
from accounts.models import DeviceAuthorization, DeviceState, Identity
from accounts.passwords import TooManyTries
from broker.kernel.errors import InvalidInput

_TRIES = 10
_WITHIN = 300


class UnknownCode(InvalidInput):
    """No program waits with this code."""

    code = "unknown_code"


def find_device(*, user_code: str, identity: Identity, now: dt.datetime) -> DeviceAuthorization:
    """Return the waiting program that shows this code. Codes that never existed, were used or have expired get the same
    answer.

    Wrong codes are counted for each person, for five minutes in each web process. After ten, no code is looked up.
    Raises UnknownCode, TooManyTries.
    """
    counter, key = caches["local"], f"wrong-device-code:{identity.pk}"
    counter.add(key, 0, _WITHIN)
    if counter.incr(key) > _TRIES:
        raise TooManyTries("Too many wrong codes.", hint="Try again in five minutes.")
    code = typed_code(user_code)
    waiting = DeviceAuthorization.objects.filter(state=DeviceState.PENDING, expires_at__gt=now)
    found = waiting.filter(user_digest=user_code_digest(code)).first() if code else None
    if found is None:
        raise UnknownCode(
            "This code is not valid.",
            hint="Check the code in the terminal. Codes expire after ten minutes; run `stint login` for a new one.",
            fields={"user_code": ["Not a valid code."]},
        )
    # Wrong codes stay counted. Otherwise, a valid code of one's own would buy ten more attempts.
    counter.decr(key)
    return found
