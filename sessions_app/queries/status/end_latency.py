"""How long ends took to be proven, and how much of the error budget is left.

An end is due at the deadline or, if it began earlier, when it began; where commands may finish, when they must have. What ends
within `PROMISE_S` of that, as its targets confirmed, kept the promise. Of all ends, the share `OBJECTIVE` is to keep it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sessions_app.models import EndCause, EndReason, EndsOfDay, Grant

PROMISE_S = 2.0
OBJECTIVE = 0.999
# The window of the objective, today included.
DAYS = 30
CAUSES = tuple(EndCause.values)
# A bucket is a tenth wider than the one before; number 0 goes up to a millisecond.
BUCKET_S, BUCKET_GROWTH = 0.001, 1.1


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of some days. ``buckets`` has their numbers by bucket, and ``longest`` the longest time in seconds."""

    total: int
    late: int
    longest: float
    buckets: dict[int, int]

    def within(self, share: float) -> float | None:
        """Return in how many seconds this share of them was proven, to a tenth; None if there are none."""
        if not self.total:
            return None
        rest = share * self.total
        for number in sorted(self.buckets):
            count = self.buckets[number]
            if rest <= count:
                low = _upper(number - 1) if number else 0.0
                return min(self.longest, low + (_upper(number) - low) * rest / count)
            rest -= count
        return self.longest

    @property
    def kept(self) -> float:
        """The share that was proven in time; 1 if there are none."""
        return 1 - self.late / self.total if self.total else 1.0

    @property
    def allowed(self) -> float:
        """How many of so many may be late."""
        return round(self.total * (1 - OBJECTIVE), 6)

    @property
    def budget_left(self) -> float:
        """The share of the error budget that is left: 1 all, 0 none, negative if it is overspent."""
        return 1 - self.late / self.allowed if self.total else 1.0


def all_ends(days: Iterable[EndsOfDay]) -> Ends:
    """Return the ends of some days together."""
    total = late = 0
    longest, buckets = 0.0, Counter[int]()
    for day in days:
        total, late, longest = total + day.total, late + day.late, max(longest, day.longest)
        buckets += Counter({int(number): count for number, count in day.buckets.items()})
    return Ends(total, late, longest, dict(buckets))


def ends_of(cause: str, now: dt.datetime) -> Ends:
    """Return the ends of this cause within the window, as last counted."""
    return all_ends(day for day in ends_by_day(now) if day.cause == cause)


def ends_by_day(now: dt.datetime) -> list[EndsOfDay]:
    """Return what was counted of each day in the window, oldest first."""
    first = now.astimezone(dt.UTC).date() - dt.timedelta(days=DAYS - 1)
    return list(EndsOfDay.objects.filter(day__gte=first).order_by("day", "cause"))


def cause_of(grant: Grant) -> EndCause:
    """Return what ended a grant."""
    return EndCause.DEADLINE if grant.end_reason == EndReason.EXPIRED else EndCause.REVOKE


def seconds_to_prove(grant: Grant) -> float:
    """Return how long after its end was due a grant was proven over; 0.0 if it was before that."""
    if grant.ended_at is None:
        return 0.0
    due = min(grant.expires_at, grant.revoking_at or grant.expires_at)
    late = grant.ended_at - max(due, grant.finish_until or due)
    return max(0.0, late.total_seconds())


def _upper(number: int) -> float:
    return BUCKET_S * math.pow(BUCKET_GROWTH, number)
