"""Notifications that still need their reader's action, and the outcomes of the others."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce, NullIf
from django.utils.text import capfirst

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
from sessions_app.models.grant import why_over
from sessions_app.models.notice import NEAR_END, NoticeQuerySet
from sessions_app.queries.requests import deciders
from sessions_app.queries.statements.composed import Composed, Part, values_of

# Every page counts open notifications, so they are searched only among this many of the newest unread
# ones.
NEWEST = 500
DECISIONS = frozenset((Asks.VERDICT, Asks.DECISION, Asks.DIGEST, Asks.RELEASE, Asks.REVIEW))


def unread_of(identity: Identity, now: dt.datetime) -> NoticeQuerySet:
    """Return an identity's unread notifications that are still relevant, newest first: those that need no
    action, and those whose action is still possible.
    """
    newest = Notice.objects.filter(identity=identity, read_at__isnull=True).order_by("-pk")
    found = Notice.objects.filter(pk__in=newest.values("pk")[:NEWEST])
    return found.filter(_decidable(identity, now) | _open(now)).order_by("-pk")


def unread_ids(identity: Identity, now: dt.datetime) -> list[int]:
    """Return the ids of ``unread_of``, using a prepared statement."""
    (found,) = _UNREAD(identity, now)
    return list(found)


_UNREAD = Composed("stint_unread", lambda reader, now: [values_of(unread_of(reader, now).values("pk"))])


def _decidable(identity: Identity, now: dt.datetime) -> Q:
    """Return the condition that a notification asks for a decision that this identity can still make.

    Each notification is looked up among the items to decide. Otherwise, every page would check every item
    that can be decided.
    """
    requests, holds = deciders.requests_for(identity, now), deciders.holds_for(identity, now)
    # Items after the notification, up to the newest one that it covers.
    told = holds.filter(
        grant=OuterRef("grant"), pk__lte=OuterRef("run"), tried_at__gte=OuterRef("created_at")
    )
    return (
        _asks(Asks.VERDICT, Q(_among(requests, "request")))
        | _asks(Asks.DECISION, Q(_among(holds, "run")) | Q(count__gt=1) & Q(Exists(told)))
        | _asks(Asks.DIGEST, _sent_by("requester", requests) | _sent_by("grant__holder", holds))
        | _asks(Asks.RELEASE, Q(_among(deciders.releases_for(identity, now), "grant")))
        | _asks(Asks.REVIEW, Q(_among(deciders.to_be_reviewed_by(identity), "grant")))
    )


def _asks(what: Asks, condition: Q) -> Q:
    """Return the condition for notifications that ask for this action.

    PostgreSQL evaluates the parts in this order, so it skips ``condition`` for other notifications.
    """
    return Q(asks=what) & condition


def _among(rows: QuerySet[Any], what: str) -> Exists:
    return Exists(rows.filter(pk=OuterRef(what)))


def _sent_by(whose: str, rows: QuerySet[Any]) -> Q:
    """Return the condition that one of these rows belongs to the sender of a notification.

    ``whose`` is the name of the account field.
    """
    behind = Coalesce(f"{whose}__owner__person", f"{whose}__person")
    people = rows.order_by().annotate(behind=behind).values("behind")
    # A subquery, because PostgreSQL would join all identities, and all notifications with them.
    return Q(sender__in=Identity.objects.filter(person__in=people))


def digest_waits(notice: Notice, now: dt.datetime) -> bool:
    """Whether any request by a digest's sender still waits for a decision, and the digest is unread."""
    requests = AccessRequest.objects.filter(state=RequestState.PENDING, lapses_at__gt=now)
    waits = _sent_by("requester", requests) | _sent_by("grant__holder", CommandRun.objects.waiting(now))
    return Notice.objects.filter(waits, pk=notice.pk, read_at__isnull=True).exists()


def combined(identity: Identity, now: dt.datetime) -> dict[str, int]:
    """Return the number of pending items for which the identity got no separate notification, by sender."""
    (found,) = _COMBINED(identity, now)
    counts: dict[str, int] = {}
    for sender, more in found:
        counts[sender] = counts.get(sender, 0) + more
    return counts


def _combined(identity: Identity, now: dt.datetime) -> list[Part]:
    found = unread_of(identity, now).filter(Q(asks=Asks.DIGEST) | Q(asks=Asks.DECISION, count__gt=1))
    told = Case(When(asks=Asks.DIGEST, then=0), default=1)
    # In the same format as `str(identity)`.
    sender = Coalesce(NullIf("sender__name", Value("")), "sender__username")
    pair = Func(sender, F("count") - told, function="json_build_array", output_field=JSONField())
    return [values_of(found.annotate(pair=pair).values("pair"))]


_COMBINED = Composed("stint_combined", _combined)


def _open(now: dt.datetime) -> Q:
    """Return the condition that a notification asks for an action other than a decision, and that the
    action is still possible.
    """
    pending = AccessRequest.objects.filter(state=RequestState.PENDING, lapses_at__gt=now)
    near_end = ExpressionWrapper(OuterRef("created_at") + NEAR_END, output_field=DateTimeField())
    live = Grant.objects.filter(state=GrantState.ACTIVE, expires_at__gt=now, expires_at__lte=near_end)
    ended = Grant.objects.filter(state=GrantState.ENDED)
    # Lookups, not joins, because PostgreSQL would check the conditions before and after a join.
    return (
        Q(asks=Asks.NOTHING)
        | _asks(Asks.ANSWER, Q(_among(pending, "request")) & ~Q(Exists(_said())))
        | _asks(Asks.AGAIN, Q(_among(AccessRequest.objects.not_asked_again(), "request")))
        | _asks(Asks.TIME, Q(_among(live, "grant")))
        | _asks(Asks.LIVE, ~Q(_among(ended, "grant")))
    )


def _said() -> QuerySet[Comment]:
    """Return the comments that the reader of a notification has since added to its request."""
    return Comment.objects.filter(
        request=OuterRef("request"), author=OuterRef("identity"), created_at__gt=OuterRef("created_at")
    )


def with_outcomes(notices: NoticeQuerySet, identity: Identity, now: dt.datetime) -> NoticeQuerySet:
    """Annotate an identity's notifications with the columns that ``outcome_of`` needs."""
    named = notices.select_related(
        "identity", "request", "run__decided_by", "run__grant", "grant__reviewed_by", "grant__ended_by"
    )
    final = AccessRequest.objects.filter(pk=OuterRef("request")).not_asked_again()
    return named.prefetch_related("request__approvals__approver").annotate(
        answered=Exists(_said()),
        asked_again=~Exists(final),
        decidable=ExpressionWrapper(_decidable(identity, now), output_field=BooleanField()),
    )


def outcome_of(notice: Notice, now: dt.datetime) -> str:
    """Return the outcome of the action that a notification asks for.

    Empty if the action is still possible, or if the notification asks for none.
    """
    if said := _outcome(notice, now):
        return said
    open_ = notice.asks not in DECISIONS or vars(notice)["decidable"]
    return "" if open_ else "You can no longer decide this"


def _outcome(notice: Notice, now: dt.datetime) -> str:
    if notice.asks == Asks.AGAIN:
        return "Requested again" if vars(notice)["asked_again"] else ""
    if notice.asks == Asks.DIGEST or (notice.asks == Asks.DECISION and notice.count > 1):
        return "" if vars(notice)["decidable"] else "No item is waiting for you"
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
        return "Expired"
    if notice.asks == Asks.ANSWER:
        return "You replied" if vars(notice)["answered"] else ""
    mine = any(one.approver.person == notice.identity.person for one in given)
    return "You approved it" if mine else ""


def _of_run(run: CommandRun, now: dt.datetime) -> str:
    if run.waits(now):
        return ""
    if run.state == RunState.HOLD_WITHDRAWN:
        return "Withdrawn"
    if run.state == RunState.HOLD_DENIED:
        return f"Denied by {run.decided_by}" if run.decided_by else "Not allowed"
    cut = run.reason if run.state == RunState.CUT else ""
    if run.decided_by:
        return f"Allowed once by {run.decided_by}{f', then terminated: {cut}' if cut else ''}"
    if run.grant.state != GrantState.ACTIVE:
        return f"{run.grant.ref} ended first"
    if cut:
        return f"Terminated: {cut}"
    return "Timed out" if run.state in (RunState.HELD, RunState.HOLD_LAPSED) else "Ended"


def _of_grant(notice: Notice, grant: Grant, now: dt.datetime) -> str:
    if notice.asks == Asks.REVIEW:
        return f"Reviewed by {grant.reviewed_by}" if grant.reviewed_at else ""
    if notice.asks == Asks.LIVE:
        return _ended(grant) if grant.state == GrantState.ENDED else ""
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        return _ended(grant)
    if notice.asks == Asks.RELEASE:
        return "" if grant.held_at else "Resumed"
    extended = notice.asks == Asks.TIME and grant.expires_at > notice.created_at + NEAR_END
    return "Extended" if extended else ""


def _ended(grant: Grant) -> str:
    return capfirst(grant.why_ended or why_over(EndReason.EXPIRED))
