"""Tell people: a notice in the page for each, and a mail by the worker. Outgoing webhooks follow the record instead
(``gather_webhooks``), in which every act stands, also those of which nobody is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable

from accounts.models import Identity
from accounts.queries import people_in
from broker.audit.events import Event
from broker.kernel.moments import Sayer
from sessions_app.models import AccessRequest, Asks, CommandRun, Grant, Notice
from sessions_app.policy.policies import PolicyDocument

# What is told: the same to all, or, where it names a time, to each in their own zone.
Words = str | Callable[[Sayer], str]
_NAMES = {AccessRequest: "request", CommandRun: "run", Grant: "grant"}


def notify(
    *,
    people: Iterable[Identity],
    event: Event,
    subject: Words,
    body: Words,
    path: str,
    now: dt.datetime,
    asks: Asks = Asks.NOTHING,
    of: AccessRequest | CommandRun | Grant | None = None,
    also_to: str = "",
) -> None:
    """Write a notice for each person once. The row is the mail's queue; machines are told through their owners.

    What it ``asks``, and ``of`` what, settle it in the page when that is done, has lapsed or is over. ``also_to`` is a mail
    address that was theirs until now.
    """
    about = {} if of is None else {_NAMES[type(of)]: of}
    wanted = {told.pk: told.time_zone for told in (person.owner or person for person in people)}
    Notice.objects.bulk_create(
        Notice(identity_id=pk, event=event.value, subject=_said(subject, wanted[pk])[:200],
               body=_said(body, wanted[pk]), path=path, asks=asks, also_to=also_to, created_at=now,
               next_attempt_at=now, **about)
        for pk in sorted(wanted)
    )  # fmt: skip


def _said(words: Words, time_zone: str) -> str:
    return words if isinstance(words, str) else words(Sayer.of(time_zone))


def notified_first(people: Collection[Identity], document: PolicyDocument) -> Collection[Identity]:
    """Return those of the people who decide that the policy wants told first; all of them where none of those is there."""
    if document.notify is None or not document.notify.first:
        return people
    first = set(people_in(document.notify.first, but=()).values_list("person", flat=True))
    return [one for one in people if one.person in first] or people
