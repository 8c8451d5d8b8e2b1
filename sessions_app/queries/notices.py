"""Whether what a notice asks is done, and what came of it."""

from __future__ import annotations

import datetime as dt

from django.db.models import Exists, OuterRef

from accounts.models import Identity
from sessions_app.models import (
    AccessRequest,
    Asks,
    CommandRun,
    Comment,
    EndReason,
    Grant,
    GrantState,
    Notice,
    RequestState,
    RunState,
    Verdict,
)
from sessions_app.models.notice import NEAR_END, NoticeQuerySet
from sessions_app.queries.grants import WITHDRAWN

# What still concerns somebody is looked for among so many of the newest that were not read: every page counts them.
NEWEST = 500


def unread_of(identity: Identity, now: dt.datetime) -> NoticeQuerySet:
    """Return the notices of an identity that were not read and still concern it, the newest first."""
    newest = Notice.objects.filter(identity=identity, read_at__isnull=True).order_by("-pk")
    return Notice.objects.filter(pk__in=newest.values("pk")[:NEWEST]).unsettled(now).order_by("-pk")


def with_outcomes(notices: NoticeQuerySet) -> NoticeQuerySet:
    """Add to notices what ``outcome_of`` needs."""
    said = Comment.objects.filter(
        request=OuterRef("request"), author=OuterRef("identity"), created_at__gt=OuterRef("created_at")
    )
    named = notices.select_related(
        "request", "run__decided_by", "run__grant", "grant__reviewed_by", "grant__ended_by"
    )
    final = AccessRequest.objects.filter(pk=OuterRef("request")).not_asked_again()
    return named.prefetch_related("request__approvals__approver").annotate(
        answered=Exists(said), asked_again=~Exists(final)
    )


def outcome_of(notice: Notice, now: dt.datetime) -> str:
    """Return what came of what a notice asks; empty while that still concerns its reader, or when it asks nothing."""
    if notice.asks == Asks.AGAIN:
        return "Asked again" if vars(notice)["asked_again"] else ""
    if notice.request:
        return _of_request(notice, notice.request, now)
    if notice.run:
        return _of_run(notice.run, now)
    return _of_grant(notice, notice.grant, now) if notice.grant else ""


def _of_request(notice: Notice, request: AccessRequest, now: dt.datetime) -> str:
    given = [one for one in request.approvals.all() if one.voided_at is None]
    by = {
        verdict: " and ".join(str(one.approver) for one in given if one.verdict == verdict)
        for verdict in Verdict
    }
    if request.state == RequestState.APPROVED:
        return f"Approved by {by[Verdict.APPROVE]}"
    if request.state == RequestState.DENIED:
        return f"Denied by {by[Verdict.DENY]}"
    if request.state == RequestState.WITHDRAWN:
        return "Withdrawn"
    if request.state == RequestState.LAPSED or request.lapses_at <= now:
        return "Lapsed"
    if notice.asks == Asks.ANSWER:
        return "You answered" if vars(notice)["answered"] else ""
    return "You approved it" if any(one.approver_id == notice.identity_id for one in given) else ""


def _of_run(run: CommandRun, now: dt.datetime) -> str:
    if run.waits(now):
        return ""
    if run.reason == WITHDRAWN:
        return "Withdrawn"
    if run.state == RunState.HOLD_DENIED:
        return f"Denied by {run.decided_by}" if run.decided_by else "Not allowed"
    if run.decided_by:
        return f"Allowed once by {run.decided_by}"
    if run.grant.state != GrantState.ACTIVE:
        return f"{run.grant.ref} ended first"
    return "Lapsed" if run.state in (RunState.HELD, RunState.HOLD_LAPSED) else "Over"


def _of_grant(notice: Notice, grant: Grant, now: dt.datetime) -> str:
    if notice.asks == Asks.REVIEW:
        return f"Reviewed by {grant.reviewed_by}" if grant.reviewed_at else ""
    if notice.asks == Asks.LIVE:
        return _ended(grant) if grant.state == GrantState.ENDED else ""
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        return _ended(grant)
    if notice.asks == Asks.RELEASE:
        return "" if grant.held_at else "Released"
    extended = notice.asks == Asks.TIME and grant.expires_at > notice.created_at + NEAR_END
    return "Extended" if extended else ""


def _ended(grant: Grant) -> str:
    if grant.end_reason in ("", EndReason.EXPIRED):
        return "Expired"
    word = "Revoked" if grant.end_reason == EndReason.REVOKED else "Ended"
    return f"{word} by {grant.ended_by}" if grant.ended_by else f"{word}: {EndReason(grant.end_reason).label}"
