"""The record page: its filters, its saved searches, and entries as plain sentences."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG, AuditEntry
from broker.audit.queries import entries
from broker.kernel.postgresql.rows import ask
from sessions_app.models import BookmarkPage
from sessions_app.queries.record.entries import Newest, newest_visible
from sessions_app.web.display.sentences import sentence
from sessions_app.web.forms.times import at_hour, parse_hour

FAMILIES = tuple(dict.fromkeys(event.family for event in Event))
EVENTS = tuple((family, [event.value for event in Event if event.family == family]) for family in FAMILIES)
OBJECTS = (
    "grant",
    "request",
    "identity",
    "cluster",
    "policy",
    "command_set",
    "workflow",
    "workflow_source",
    "webhook",
    "trust_policy",
    "group",
    "catalog",
    "ca",
    "log",
    "legal_hold",
    "recording",
    "system",
)
LABELS = {
    "event": "Event",
    "actor": "Actor",
    "type": "Object type",
    "object": "Object",
    "grant": "Grant",
    "cluster": "Cluster",
    "since": "From",
    "since_time": "From",
    "until": "To",
    "until_time": "To",
    "text": "Contains",
}
# The number of entries on one page, small enough to read.
SIZE = 30
# Entries are in the order in which they were appended, which can differ from the order of their times: a
# transaction may have waited, and deferred ends are appended later. So a search by date also reads this much
# time before and after the range.
SLACK = dt.timedelta(days=2)

# Find the first entry at or after a time by binary search: about twenty lookups for a million entries.
_FIRST = """
WITH RECURSIVE look (low, high) AS (
    SELECT 1::bigint, (SELECT seq + 1 FROM audit_head WHERE log = %(log)s)
    UNION ALL
    SELECT CASE WHEN e.at < %(at)s THEN (l.low + l.high) / 2 + 1 ELSE l.low END,
           CASE WHEN e.at < %(at)s THEN l.high ELSE (l.low + l.high) / 2 END
      FROM look l JOIN audit_entry e ON e.log = %(log)s AND e.seq = (l.low + l.high) / 2
     WHERE l.low < l.high
)
SELECT low FROM look ORDER BY high - low LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A search in the record. Empty filters match every entry.

    Dates are days in the reader's time zone, both inclusive. With times of day, the range ends just before
    ``until``. A time without a date belongs to the other date, or to today.
    """

    event: str = ""
    actor: str = ""
    type: str = ""
    object: str = ""
    grant: str = ""
    cluster: str = ""
    since: str = ""
    since_time: str = ""
    until: str = ""
    until_time: str = ""
    text: str = ""

    def filters(self) -> dict[str, str]:
        """Return the active filters."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    @property
    def query(self) -> str:
        """The filters as a query string, without the question mark."""
        return urlencode(self.filters())

    @property
    def is_empty(self) -> bool:
        """Whether no filter is active."""
        return not self.filters()


class Chip(NamedTuple):
    """One active filter, and the query string without it."""

    label: str
    value: str
    without: str


class Saved(NamedTuple):
    """A saved search. ``pk`` is None for the built-in searches."""

    pk: int | None
    name: str
    query: str


def chips(question: Question) -> list[Chip]:
    """Return the active filters, each with the query that removes it."""
    given = question.filters()
    return [
        Chip(LABELS[name], value, urlencode({key: given[key] for key in given if key != name}))
        for name, value in given.items()
    ]


def answer(question: Question, reader: Identity, now: dt.datetime, before: int | None) -> Newest:
    """Return a page of the matching entries that the reader can see, newest first."""
    return newest_visible(
        narrowed(question, now),
        reader,
        before=before,
        size=SIZE,
        text=question.text,
        cluster=question.cluster,
    )


def narrowed(question: Question, now: dt.datetime) -> QuerySet[AuditEntry]:
    """Return the entries that match all filters except text and cluster, which are checked for each entry
    afterward.
    """
    found = entries()
    if question.event in FAMILIES:
        found = found.filter(event__in=[event for event in Event if event.family == question.event])
    elif question.event:
        found = found.filter(event=question.event)
    exact = {
        "actor": question.actor,
        "object_type": question.type,
        "object_ref": question.grant or question.object,
    }
    found = found.filter(**{name: value for name, value in exact.items() if value})
    if question.grant and question.object:
        found = found.filter(object_ref=question.object)
    return _between(found, *_stretch(question, now))


def _between(
    found: QuerySet[AuditEntry], since: dt.datetime | None, until: dt.datetime | None
) -> QuerySet[AuditEntry]:
    """Keep the entries in [since, until), with additional bounds on entry numbers so that distant entries
    aren't read.
    """
    if since is not None:
        found = found.filter(at__gte=since, seq__gte=_first_at(since - SLACK))
    if until is not None:
        found = found.filter(at__lt=until, seq__lte=_first_at(until + SLACK))
    return found


def _stretch(question: Question, now: dt.datetime) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the start and the exclusive end in the reader's time zone; None means no limit."""
    since, until = _day(question.since), _day(question.until)
    from_hour, to_hour = parse_hour(question.since_time), parse_hour(question.until_time)
    today = timezone.localdate(now)
    begin = (since or until or today) if from_hour is not None else since
    end = (
        (until or since or today) if to_hour is not None else until + dt.timedelta(days=1) if until else None
    )
    return at_hour(begin, from_hour) if begin else None, at_hour(end, to_hour) if end else None


def _first_at(moment: dt.datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, {"log": MAIN_LOG, "at": moment})
        row = cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else 1


def _day(text: str) -> dt.date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    if day is None or not dt.date(1970, 1, 3) <= day <= dt.date(9990, 1, 1):
        return None
    return day


def exported(question: Question, reader: Identity, now: dt.datetime) -> Iterator[AuditEntry]:
    """Yield every matching entry that the reader can see, newest first.

    Dates are parsed when the function is called, because the reader's time zone is active only until the
    response starts.
    """
    return _all(narrowed(question, now), question, reader)


def _all(found: QuerySet[AuditEntry], question: Question, reader: Identity) -> Iterator[AuditEntry]:
    before: int | None = None
    while True:
        page = newest_visible(
            found, reader, before=before, size=2000, text=question.text, cluster=question.cluster
        )
        yield from page.rows
        if page.before is None:
            return
        before = page.before


COLUMNS = (
    "seq",
    "at",
    "event",
    "actor",
    "object_type",
    "object_ref",
    "sentence",
    "body",
    "previous_hash",
    "hash",
)


def lines(found: Iterable[AuditEntry]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the record's CSV file, with the columns in the order of COLUMNS."""
    for entry in found:
        yield tuple(as_json(entry)[name] for name in COLUMNS)


def as_json(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry for a JSON file. ``body`` is the exact text that was hashed, and hashes are
    hexadecimal.
    """
    return {
        "seq": entry.seq,
        "at": entry.at.astimezone(dt.UTC).isoformat(),
        "event": entry.event,
        "actor": entry.actor,
        "object_type": entry.object_type,
        "object_ref": entry.object_ref,
        "sentence": sentence(entry),
        "body": entry.body,
        "previous_hash": bytes(entry.prev_hash).hex(),
        "hash": bytes(entry.hash).hex(),
    }


def everybodys(now: dt.datetime) -> list[Saved]:
    """Return the built-in searches, with days in the reader's time zone."""
    today = timezone.localtime(now).date()
    week = today - dt.timedelta(days=7)
    questions = {
        "Refused commands today": Question(event=Event.COMMAND_REFUSED, since=f"{today}"),
        "Break-glass uses, 7 days": Question(event="breakglass", since=f"{week}"),
        "Held commands, 7 days": Question(event=Event.COMMAND_HOLD_DECIDED, since=f"{week}"),
        "Revocations not confirmed by a target": Question(event=Event.GRANT_REVOKE_FAILING),
        "Policy changes this month": Question(event="policy", since=f"{today.replace(day=1)}"),
        "Group membership changes": Question(event=Event.PERMISSION_CHANGED),
        "Failed sign-ins, 7 days": Question(event=Event.IDENTITY_SIGN_IN_FAILED, since=f"{week}"),
        "Record verifications": Question(event="record"),
    }
    return [Saved(None, name, question.query) for name, question in questions.items()]


def saved_by(identity: Identity) -> list[Saved]:
    """Return the searches that the identity saved, sorted by name."""
    return [Saved(*row) for row in ask(_SAVED, identity.pk, BookmarkPage.RECORD.value)]


_SAVED = (
    "SELECT id, name, query FROM sessions_app_bookmark WHERE identity_id = %s AND page = %s ORDER BY name"
)
