"""The timeline as a CSV file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from sessions_app.models import AccessRequest
from sessions_app.web.record.timeline_page import times_of

COLUMNS = (
    "request",
    "grant",
    "holder",
    "username",
    "kind",
    "owner",
    "cluster",
    "command_set",
    "state",
    "starts_at",
    "ends_at",
    "asked_at",
    "decided_at",
    "end_reason",
    "ended_by",
    "break_glass",
    "ticket",
    "reason",
)


def lines(rows: Iterable[AccessRequest], now: dt.datetime) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a timeline file, with the columns in the order of COLUMNS. Times are in UTC."""
    for request in rows:
        who, grant = request.requester, getattr(request, "grant", None)
        starts, ends = times_of(request, now)
        yield (
            request.ref,
            grant.ref if grant else "",
            who.name,
            who.username,
            who.kind,
            who.owner.username if who.owner else "",
            request.cluster.name,
            str(request.command_set_version),
            grant.state if grant else request.state,
            _utc(starts),
            _utc(ends),
            _utc(request.created_at),
            _utc(request.decided_at),
            grant.end_reason if grant else "",
            grant.ender.username if grant and grant.ender else "",
            "yes" if grant and grant.break_glass else "no",
            request.ticket,
            request.reason,
        )


def _utc(moment: dt.datetime | None) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds") if moment else ""
