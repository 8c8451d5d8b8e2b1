"""The requester's past access on the same cluster."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.db.models import QuerySet

from accounts.models import Identity
from broker.kernel.postgresql.rows import ask
from sessions_app.models import (
    AccessRequest,
    CommandRun,
    Grant,
    GrantState,
    Observed,
    RunState,
)
from sessions_app.queries.grants.comparisons import comparison
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.statements.composed import Listed
from sessions_app.queries.statements.related_names import LARGE

PAST = dt.timedelta(days=90)
# The maximum number of the requester's grants to examine.
NEWEST = 200


class PastRecord(NamedTuple):
    """The requester's access to the cluster in the 90 days before the decision.

    ``more`` means that there were more grants than were examined. ``refused`` is None if refusals aren't
    observed. ``compared`` is how much of ``last``, the latest grant of the same command set, was used.
    ``last``, ``compared`` and ``recording`` are read only with ``whole``.
    """

    grants: int
    more: bool
    early: int
    refused: int | None
    recording: CommandRun | None
    last: Grant | None = None
    compared: str = ""
    whole: bool = False

    @property
    def says(self) -> str:
        """The past access as a sentence: `3 grants here in 90 days: 2 ended early, 1 refused command.`."""
        if not self.grants:
            return "No grants here in 90 days"
        many = (
            f"Many grants here in 90 days. Of the last {self.grants},"
            if self.more
            else _many(self.grants, "grant") + _HERE
        )
        early = "all" if self.early == self.grants else self.early
        refused = "refusals not observed" if self.refused is None else _many(self.refused, "refused command")
        return f"{many} {early} ended early, {refused}."


_HERE = " here in 90 days:"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def past_of(request: AccessRequest, reader: Identity, now: dt.datetime, *, whole: bool) -> PastRecord:
    """Return the requester's past access to the request's cluster; with ``whole``, also the last grant and
    the last recording that the reader can see.
    """
    # For a decided request, leave out the resulting grant and everything later.
    until = request.decided_at or now
    found = _GRANTS(
        None,
        now,
        holder=request.requester_id,
        cluster=request.cluster_id,
        but=request.pk,
        since=until - PAST,
        until=until,
    )
    looked_at = [pk for pk, *_ in found[:NEWEST]]
    ended = [row for row in found[:NEWEST] if row[1] == GrantState.ENDED]
    same = [pk for pk, *_, command_set in ended if command_set == request.command_set_version.command_set_id]
    refused = ask(_REFUSED, looked_at, RunState.REFUSED.value)[0][0] if looked_at else 0
    known = refused or observed_under(request) == Observed.ALL
    past = PastRecord(
        grants=len(ended),
        early=sum(bool(at and at < expires) for _, _, at, expires, _ in ended),
        more=len(found) > NEWEST,
        refused=refused if known else None,
        recording=None,
        whole=whole or not looked_at,
    )
    return _with_last(past, same, looked_at, reader, now) if whole and looked_at else past


_REFUSED = "SELECT count(*) FROM sessions_app_commandrun WHERE grant_id = ANY(%s) AND state = %s"


def _grants(
    _: None, __: dt.datetime, holder: int, cluster: int, but: int, since: dt.datetime, until: dt.datetime
) -> QuerySet[Any]:
    """Return the newest grants of that time, except that of the request ``but``."""
    found = Grant.objects.filter(
        holder=holder, cluster=cluster, created_at__gt=since, created_at__lt=until
    ).exclude(request=but)
    columns = ("pk", "state", "ended_at", "expires_at", "command_set_version__command_set")
    return found.order_by("-created_at").values_list(*columns)[: NEWEST + 1]


_GRANTS: Listed[Any] = Listed(_grants, holder=int, cluster=int, but=int, since=dt.datetime, until=dt.datetime)


def _with_last(
    past: PastRecord, same: list[int], looked_at: list[int], reader: Identity, now: dt.datetime
) -> PastRecord:
    """Add the latest of the ``same`` grants, and the latest recording of the grants in ``looked_at``."""
    visible = Grant.objects.visible_to(reader)
    seen = CommandRun.objects.filter(grant__in=looked_at).filter(grant__in=visible).exclude(recording="")
    # Order by time, which has no index. With the primary key, PostgreSQL might read a million runs of
    # other grants to find none.
    recording = seen.select_related("grant").only("grant__ref").order_by("-tried_at").first()
    mine = visible.filter(pk__in=same).select_related("cluster", "command_set_version")
    mine = mine.defer(*LARGE).order_by("-created_at")
    last = mine.first() if same else None
    compared = comparison(last, now)["sentence"] if last else ""
    return past._replace(recording=recording, last=last, compared=compared)
