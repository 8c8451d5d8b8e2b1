"""The pulse of a page: whether anything has changed since rendering, and the text that a screen reader
announces.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.queries import families_after, last_number
from sessions_app.models import Notice
from sessions_app.web.layout.reader import newest_of, standing_of

# A page that is further behind updates all its parts.
FAR_BEHIND = 500
EVERYTHING = tuple(sorted({event.family for event in Event} | {"notice"}))
MOST_SAID = 2


@dataclass(frozen=True, slots=True)
class Pulse:
    """The latest numbers of the record and of the reader's notifications. ``families`` contains the event
    families since ``after``.
    """

    after: int
    notice: int
    families: Sequence[str]
    waiting: int
    unread: int
    say: str


def pulse(identity: Identity, seen: Mapping[str, int], now: dt.datetime) -> Pulse | None:
    """Return the changes since the state given by ``after``, ``notice`` and ``waiting``; None if there
    are none.
    """
    notice = newest_of(identity).values_list("pk", flat=True).first() or 0
    told = notice != seen["notice"]
    if last_number() == seen["after"] and not told:
        return None
    current = standing_of(identity, now)
    families = families_after(seen["after"], most=FAR_BEHIND)
    waiting = sum(current.waiting)
    return Pulse(
        after=current.seen,
        notice=current.notice,
        families=EVERYTHING if families is None else [*families, *(["notice"] if told else [])],
        waiting=waiting,
        unread=current.unread,
        say=_say(identity, seen, waiting) if seen["after"] else "",
    )


def _say(identity: Identity, seen: Mapping[str, int], waiting: int) -> str:
    """Return the text that a screen reader announces: new notifications, or otherwise that more
    items need attention.
    """
    told = Notice.objects.filter(identity=identity, pk__gt=seen["notice"]).order_by("pk")
    subjects = list(told.values_list("subject", flat=True)[: MOST_SAID + 1])
    if len(subjects) > MOST_SAID:
        return "You have new notifications."
    if subjects:
        return " ".join(f"{subject}." for subject in subjects)
    more = waiting - seen["waiting"]
    return f"{more} more {'item needs' if more == 1 else 'items need'} your attention." if more > 0 else ""
