"""The pulse of a page: whether something happened since it was rendered, and what its reader should hear about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.queries import families_after, last_number
from sessions_app.models import Asks, Notice
from sessions_app.queries.notices import unread_of
from sessions_app.web.shell.waiting import count_waiting

# A page that is further behind updates everything.
FAR_BEHIND = 500
EVERYTHING = tuple(sorted({event.family for event in Event} | {"notice"}))
MOST_UNREAD = 99
MOST_SAID = 2


@dataclass(frozen=True, slots=True)
class Pulse:
    """The latest numbers of the record and the reader's notifications. ``families`` are those of the events since
    ``after``.
    """

    after: int
    notice: int
    families: Sequence[str]
    waiting: int
    unread: int
    say: str


def newest_notice(identity: Identity) -> int:
    """Return the number of the identity's newest notification; 0 if there is none."""
    found = Notice.objects.filter(identity=identity).order_by("-pk").values_list("pk", flat=True).first()
    return found or 0


def count_unread(identity: Identity, now: dt.datetime) -> int:
    """Return the number of unread notifications that still need the identity, at most 99."""
    # Approved access of one's own needs no action.
    told = Q(asks=Asks.NOTHING) | Q(asks=Asks.LIVE, event=Event.REQUEST_APPROVED)
    asking = unread_of(identity, now).exclude(told)
    return len(asking.values_list("pk", flat=True)[:MOST_UNREAD])


def pulse(identity: Identity, seen: Mapping[str, int], now: dt.datetime) -> Pulse | None:
    """Return what changed since the page saw ``after``, ``notice`` and ``waiting``; None if nothing did."""
    after, notice = last_number(), newest_notice(identity)
    told = notice != seen["notice"]
    if after == seen["after"] and not told:
        return None
    families = families_after(seen["after"], most=FAR_BEHIND)
    waiting = count_waiting(identity, now)
    return Pulse(
        after=after,
        notice=notice,
        families=EVERYTHING if families is None else [*families, *(["notice"] if told else [])],
        waiting=waiting,
        unread=count_unread(identity, now),
        say=_say(identity, seen, waiting) if seen["after"] else "",
    )


def _say(identity: Identity, seen: Mapping[str, int], waiting: int) -> str:
    """Return what a screen reader announces: new notifications, or else that more things are waiting."""
    told = Notice.objects.filter(identity=identity, pk__gt=seen["notice"]).order_by("pk")
    subjects = list(told.values_list("subject", flat=True)[: MOST_SAID + 1])
    if len(subjects) > MOST_SAID:
        return "You have new notifications."
    if subjects:
        return " ".join(f"{subject}." for subject in subjects)
    more = waiting - seen["waiting"]
    return f"{more} more {'item needs' if more == 1 else 'items need'} your attention." if more > 0 else ""
