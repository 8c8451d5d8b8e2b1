"""Record entries arranged for reading: by day, and within each day by grant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.kernel.postgresql.rows import ask
from sessions_app.models import Grant
from sessions_app.policy import references
from sessions_app.queries.statements.composed import Listed, among
from sessions_app.web.display.sentences import sentence
from sessions_app.web.display.states import Linked, Look, entry_look

PAGES = {
    "grant": "grant",
    "request": "request",
    "cluster": "cluster",
    "command_set": "command_set",
    "policy": "policy",
    "identity": "person",
    "workflow": "incident",
    "workflow_source": "source",
    "webhook": "webhook",
    "trust_policy": "trust_policy_edit",
}


class Told(NamedTuple):
    """One entry with its display style and its sentence. ``about`` is the entry's object. In both, it has a
    link if it has a page.
    """

    entry: AuditEntry
    look: Look
    says: SafeString
    about: SafeString


@dataclass(frozen=True, slots=True)
class Group:
    """A day's entries about one grant, latest first. Without ``about``, a single entry about another
    object.
    """

    about: Linked | None
    says: str
    rows: Sequence[Told]


@dataclass(frozen=True, slots=True)
class Day:
    """The entries of one day in the reader's time zone."""

    title: str
    groups: Sequence[Group]


def days(entries: Iterable[AuditEntry], reader: Identity, now: dt.datetime) -> list[Day]:
    """Group entries, given latest first, by day and by grant. A request belongs to the grant that it led
    to.
    """
    entries = list(entries)
    grants = _grants(entries, reader, now)
    by_day: dict[dt.date, dict[str, list[AuditEntry]]] = {}
    for entry in entries:
        key = grants[entry.object_ref].ref if entry.object_ref in grants else f"entry {entry.seq}"
        day = timezone.localtime(entry.at).date()
        by_day.setdefault(day, {}).setdefault(key, []).append(entry)
    today = timezone.localtime(now).date()
    return [
        Day(_day(day, today), [_group(rows, grants) for rows in groups.values()])
        for day, groups in by_day.items()
    ]


def _group(rows: list[AuditEntry], grants: dict[str, Grant]) -> Group:
    found = [_told(entry) for entry in rows]
    grant = grants.get(rows[0].object_ref)
    if grant is None:
        return Group(None, "", found)
    says = f"{grant.holder}, {grant.command_set_version.command_set} on {grant.cluster}"
    return Group(Linked(grant.ref, reverse("grant", args=[grant.ref])), says, found)


def _grants(entries: Sequence[AuditEntry], reader: Identity, now: dt.datetime) -> dict[str, Grant]:
    """Return the visible grants that the entries concern, by grant reference and by request reference."""
    refs = {entry.object_ref for entry in entries if entry.object_type == "grant"}
    asked = {
        number
        for entry in entries
        if entry.object_type == "request"
        if (number := references.request_number(entry.object_ref))
    }
    if not refs and not asked:
        return {}
    about = [pk for (pk,) in ask(_ABOUT, list(refs), list(asked))]
    found = _GRANTS(reader, now, about=about) if about else ()
    return {name: grant for grant in found for name in (grant.ref, grant.request.ref)}


_ABOUT = """
SELECT id FROM sessions_app_grant WHERE ref = ANY(%s)
 UNION
SELECT of_request.id FROM sessions_app_accessrequest request
  JOIN sessions_app_grant of_request ON of_request.request_id = request.id WHERE request.number = ANY(%s)
"""


def _named(reader: Identity, _: dt.datetime, about: list[int]) -> QuerySet[Grant]:
    found = Grant.objects.visible_to(reader).filter(among("pk", about))
    return found.select_related("holder", "cluster", "command_set_version__command_set", "request").only(
        "ref",
        "holder__name",
        "holder__username",
        "cluster__name",
        "command_set_version__command_set__name",
        "request__number",
    )


_GRANTS = Listed(_named, about=list)


def _day(day: dt.date, today: dt.date) -> str:
    name = date_format(day, "l, j F Y" if day.year != today.year else "l, j F")
    word = {0: "Today, ", 1: "Yesterday, "}.get((today - day).days, "")
    return f"{word}{name}"


def _told(entry: AuditEntry) -> Told:
    text = sentence(entry)
    before, named, after = text.partition(entry.object_ref) if entry.object_ref else (text, "", "")
    about = _about(entry)
    link = '<a\nhref="{0}">{1}</a>' if named and about.url else "{1}"
    says = format_html(f"{{2}}{link}{{3}}", about.url, named, before, after)
    whole = format_html('<a href="{}">{}</a>' if about.url else "{1}", about.url, about.label)
    return Told(entry, entry_look(entry.event), says, whole)


def _about(entry: AuditEntry) -> Linked:
    """Return an entry's object with a link to its page. Objects without a page, and usernames from failed
    sign-ins, have no link.
    """
    page = PAGES.get(entry.object_type)
    if page and entry.event != Event.IDENTITY_SIGN_IN_FAILED:
        try:
            return Linked(entry.object_ref, reverse(page, args=[entry.object_ref]))
        except NoReverseMatch:
            pass
    return Linked(f"{entry.object_type} {entry.object_ref}")
