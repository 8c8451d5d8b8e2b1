"""How long the confirmation of ends took, and how much of the error budget is left.

An end is due at the grant's deadline or, if the end began earlier, at that time. If commands may finish, the
end is due at their deadline. An end is in time if its targets confirmed it within `PROMISE_S` of the due
time. The objective is that the share `OBJECTIVE` of all ends is in time.
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
# The time window of the objective, including today.
DAYS = 30
CAUSES = tuple(EndCause.values)
# Each bucket is a tenth wider than the previous one; bucket 0 goes up to a millisecond.
BUCKET_S, BUCKET_GROWTH = 0.001, 1.1


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends on some days.

    ``buckets`` has the number of ends in each bucket, and ``longest`` the longest time in seconds.
    """

    total: int
    late: int
    longest: float
    buckets: dict[int, int]

    def within(self, share: float) -> float | None:
        """Return the time in seconds within which this share of the ends was confirmed, rounded to a tenth;
        None if there are no ends.
        """
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
        """The share of ends that were confirmed in time; 1 if there are no ends."""
        return 1 - self.late / self.total if self.total else 1.0

    @property
    def allowed(self) -> float:
        """The number of ends that can be late without missing the objective."""
        return round(self.total * (1 - OBJECTIVE), 6)

    @property
    def budget_left(self) -> float:
        """The share of the error budget that is left: 1 all, 0 none, negative if overspent."""
        return 1 - self.late / self.allowed if self.total else 1.0


def all_ends(days: Iterable[EndsOfDay]) -> Ends:
    """Return the ends of several days combined."""
    total = late = 0
    longest, buckets = 0.0, Counter[int]()
    for day in days:
        total, late, longest = total + day.total, late + day.late, max(longest, day.longest)
        buckets += Counter({int(number): count for number, count in day.buckets.items()})
    return Ends(total, late, longest, dict(buckets))


def ends_of(cause: str, now: dt.datetime) -> Ends:
    """Return the ends with this cause within the window, as last counted."""
    return all_ends(day for day in ends_by_day(now) if day.cause == cause)


def ends_by_day(now: dt.datetime) -> list[EndsOfDay]:
    """Return the counts of each day in the window, oldest first."""
    first = now.astimezone(dt.UTC).date() - dt.timedelta(days=DAYS - 1)
    return list(EndsOfDay.objects.filter(day__gte=first).order_by("day", "cause"))


def cause_of(grant: Grant) -> EndCause:
    """Return the cause of a grant's end."""
    return EndCause.DEADLINE if grant.end_reason == EndReason.EXPIRED else EndCause.REVOKE


def seconds_to_prove(grant: Grant) -> float:
    """Return how many seconds passed between a grant's due end and its confirmation; 0.0 if it was confirmed
    earlier.
    """
    if grant.ended_at is None:
        return 0.0
    due = min(grant.expires_at, grant.revoking_at or grant.expires_at)
    late = grant.ended_at - max(due, grant.finish_until or due)
    return max(0.0, late.total_seconds())


def _upper(number: int) -> float:
    return BUCKET_S * math.pow(BUCKET_GROWTH, number)
