"""Notify people: each gets a notification in the app, and an email that the worker sends.

Webhook messages are created from the record instead (``gather_webhooks``), which also contains actions
without notifications.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable

from accounts.models import Identity
from accounts.queries import people_in
from broker.audit.events import Event
from broker.kernel.moments import Sayer
from broker.kernel.postgresql.writes import insert_all
from sessions_app.models import AccessRequest, Asks, CommandRun, Grant, Notice
from sessions_app.policy.policies import PolicyDocument

# Either a string that is the same for everyone or, for a text with a time, a function that renders it in a
# person's time zone.
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
    """Write one notification for each person.

    The row is also the mail queue. For a machine, its owner is notified.

    ``asks`` is the action that the person should take, and ``of`` the object concerned. The page shows the
    notification as settled after the action was taken, or after the object has expired or ended. ``also_to``
    is the person's previous email address.
    """
    about = {} if of is None else {_NAMES[type(of)]: of}
    wanted = {told.pk: told.time_zone for told in (person.owner or person for person in people)}
    notices = [
        Notice(
            identity_id=pk,
            event=event.value,
            subject=said(subject, wanted[pk])[:200],
            body=said(body, wanted[pk]),
            path=path,
            asks=asks,
            also_to=also_to,
            created_at=now,
            next_attempt_at=now,
            **about,
        )
        for pk in sorted(wanted)
    ]
    insert_all(notices)


def said(words: Words, time_zone: str) -> str:
    """Return the text with its times in a time zone."""
    return words if isinstance(words, str) else words(Sayer.of(time_zone))


def notified_first(people: Collection[Identity], document: PolicyDocument) -> Collection[Identity]:
    """Return the deciders whom the policy notifies first; all deciders if the policy notifies none of them
    first.
    """
    if document.notify is None or not document.notify.first:
        return people
    first = set(people_in(document.notify.first, but=()).values_list("person", flat=True))
    return [one for one in people if one.person in first] or people
