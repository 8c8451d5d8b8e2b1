"""Rate limits on guessing passwords and codes, shared by all processes.

An attempt is counted before it is checked, and uncounted if it was right. Attempts are counted by account and
address, so a stranger does not lock out the owner. Attempts on one account from many addresses are limited as
well, except from addresses at which its owner has signed in before.
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
_ELSEWHERE = ", or from where you signed in before"


class Secret(StrEnum):
    """The kinds of secrets, as named in errors."""

    PASSWORD = "passwords"  # noqa: S105  # a word
    CODE = "codes"
    PASSKEY = "passkeys"
    DEVICE_CODE = "device codes"


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate limit: ``burst`` attempts at once, then one per ``every``."""

    burst: int
    every: dt.timedelta


@dataclass(frozen=True, slots=True)
class Paces:
    """The limits for one kind of secret: per address, per account and address, and per account from all
    addresses that are not usual for it.
    """

    address: Pace | None = None
    pair: Pace | None = None
    account: Pace | None = None


_STRANGERS = Pace(10, 6 * _SECOND)
# A code has six digits, and the attacker already knows the password. Passkeys can't be guessed; the limit
# only saves CPU.
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
    """A counted attempt, with the subjects under which it is counted and their limits."""

    counted: tuple[tuple[str, Pace], ...]

    def was_right(self) -> None:
        """Uncount this attempt. Earlier ones stay counted; otherwise a right attempt would allow more wrong
        ones.
        """
        with transaction.atomic():
            for subject, pace in self.counted:
                AttemptCount.objects.filter(pk=subject).update(until=F("until") - pace.every)


def count_attempt(secret: Secret, *, account: str, address: str, now: dt.datetime) -> Attempt:
    """Count an attempt on a secret of an account. ``account`` is a canonical username, whether or not it
    exists.

    An IPv6 address counts as its /64. Raises TooManyTries, and then counts nothing.
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
    """Store that a person completed a sign-in from an address, which makes it usual for 90 days."""
    row = UsualAddress(identity=identity, source=source_of(address), until=now + _USUAL_FOR)
    UsualAddress.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["identity", "source"], update_fields=["until"]
    )


def _usual(account: str, source: str, now: dt.datetime) -> bool:
    found = UsualAddress.objects.filter(identity__username=account, source=source, until__gt=now)
    return found.exists()


# The generic cell rate algorithm: each attempt moves the row's time ahead, at most by a full burst. Parallel
# attempts lock the row one after another, so exactly the burst is allowed.
_COUNT = """
INSERT INTO accounts_attemptcount AS kept (subject, until)
VALUES (%(subject)s, %(now)s + make_interval(secs => %(every)s))
ON CONFLICT (subject) DO UPDATE
   SET until = greatest(kept.until, %(now)s) + make_interval(secs => %(every)s)
 WHERE kept.until <= %(free)s
RETURNING until
"""


def _count(subject: str, pace: Pace, now: dt.datetime) -> dt.timedelta:
    """Count one attempt and return zero, or count none and return the time until the next is allowed."""
    free = now + (pace.burst - 1) * pace.every
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"subject": subject, "now": now, "every": pace.every / _SECOND, "free": free})
        if cursor.fetchone():
            return dt.timedelta()
    return AttemptCount.objects.get(pk=subject).until - free
