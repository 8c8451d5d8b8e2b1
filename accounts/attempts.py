"""Rate limits on guessing passwords and codes, shared by all processes.

Each attempt is counted before the secret is checked, and removed from the count if the secret is right.
Attempts are counted per account and address, so that a stranger can't lock out the owner. The total for an
account is also limited, but not for addresses from which its owner has signed in before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum

from django.db import connection, transaction
from django.db.models import F

from accounts.models import AttemptCount, Identity, UsualAddress
from broker.kernel.errors import StintError
from broker.kernel.networks import source_of

_SECOND = dt.timedelta(seconds=1)
_USUAL_FOR = dt.timedelta(days=90)
_ELSEWHERE = ", or sign in from an address that you have used before"


class Secret(StrEnum):
    """The kinds of secrets, as named in errors."""

    PASSWORD = "passwords"  # noqa: S105  # a word
    CODE = "codes"
    PASSKEY = "passkeys"
    DEVICE_CODE = "device codes"


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate limit: ``burst`` attempts without a delay, then one per ``every``."""

    burst: int
    every: dt.timedelta


@dataclass(frozen=True, slots=True)
class Paces:
    """The limits for one kind of secret: per address, per account and address, and per account for all
    unusual addresses together.
    """

    address: Pace | None = None
    pair: Pace | None = None
    account: Pace | None = None


_STRANGERS = Pace(10, 6 * _SECOND)
# A code has only six digits, and an attacker who can try one already knows the password. Passkeys can't be
# guessed; their limit only saves CPU time.
_PACES = {
    Secret.PASSWORD: Paces(_STRANGERS, Pace(5, 60 * _SECOND), Pace(100, 30 * _SECOND)),
    Secret.CODE: Paces(_STRANGERS, Pace(5, 60 * _SECOND), Pace(10, 300 * _SECOND)),
    Secret.PASSKEY: Paces(_STRANGERS),
    Secret.DEVICE_CODE: Paces(None, Pace(10, 30 * _SECOND), Pace(10, 30 * _SECOND)),
}


class TooManyTries(StintError):
    """Too many wrong attempts. Wait for the number of seconds in ``Retry-After``."""

    code = "too_many_tries"
    status = 429

    def __init__(self, message: str, wait: float, *, unless: str = "") -> None:
        self.wait = max(1, math.ceil(wait))
        count, unit = (self.wait, "second") if self.wait < 60 else (math.ceil(self.wait / 60), "minute")
        super().__init__(message, hint=f"Try again in {count} {unit}{'s' if count > 1 else ''}{unless}.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt, with the counters that include it and their limits."""

    counted: tuple[tuple[str, Pace], ...]

    def was_right(self) -> None:
        """Remove this attempt from the count. Earlier attempts still count: otherwise, each correct attempt
        would allow more wrong attempts.
        """
        with transaction.atomic():
            for subject, pace in self.counted:
                AttemptCount.objects.filter(pk=subject).update(until=F("until") - pace.every)


def count_attempt(secret: Secret, *, account: str, address: str, now: dt.datetime) -> Attempt:
    """Count an attempt on a secret of an account. ``account`` is a canonical username, whether or not it
    exists.

    An IPv6 address counts as its /64. Raises TooManyTries without counting the attempt.
    """
    source, paces, many = source_of(address), _PACES[secret], f"Too many wrong {secret}"
    limits = [
        ((secret, None, source), paces.address, f"{many} from your network.", ""),
        ((secret, account, source), paces.pair, f"{many}.", ""),
        ((secret, account, None), paces.account, f"{many} for this account.", _ELSEWHERE),
    ]
    if _usual(account, source, now):
        del limits[-1]
    counted = []
    # In one transaction, so that a refused attempt is not counted. The rows are always locked in the same
    # order.
    with transaction.atomic():
        for what, pace, message, unless in limits:
            if pace is None:
                continue
            subject = hashlib.sha256(repr(what).encode()).hexdigest()
            if wait := _count(subject, pace, now):
                raise TooManyTries(message, wait / _SECOND, unless=unless)
            counted.append((subject, pace))
    return Attempt(tuple(counted))


def note_usual_address(identity: Identity, address: str, now: dt.datetime) -> None:
    """Store the address from which a person signed in. It counts as usual for 90 days."""
    row = UsualAddress(identity=identity, source=source_of(address), until=now + _USUAL_FOR)
    UsualAddress.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["identity", "source"], update_fields=["until"]
    )


def _usual(account: str, source: str, now: dt.datetime) -> bool:
    found = UsualAddress.objects.filter(identity__username=account, source=source, until__gt=now)
    return found.exists()


# The generic cell rate algorithm: each attempt moves the row's time ahead, by at most a full burst. Parallel
# attempts lock the row one after another, so no more than the burst is allowed.
_COUNT = """
INSERT INTO accounts_attemptcount AS kept (subject, until)
VALUES (%(subject)s, %(now)s + make_interval(secs => %(every)s))
ON CONFLICT (subject) DO UPDATE
   SET until = greatest(kept.until, %(now)s) + make_interval(secs => %(every)s)
 WHERE kept.until <= %(free)s
RETURNING until
"""


def _count(subject: str, pace: Pace, now: dt.datetime) -> dt.timedelta:
    """Count an attempt and return zero. If no attempt is allowed now, count nothing and return the time until
    one is.
    """
    free = now + (pace.burst - 1) * pace.every
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"subject": subject, "now": now, "every": pace.every / _SECOND, "free": free})
        if cursor.fetchone():
            return dt.timedelta()
    return AttemptCount.objects.get(pk=subject).until - free
