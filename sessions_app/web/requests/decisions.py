"""A person's past decisions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import (
    Approval,
    CommandRun,
    Grant,
    RunState,
    Verdict,
)
from sessions_app.queries.statements.composed import Composed, Part, how_many
from sessions_app.queries.statements.related_names import OF_GRANT, WHOSE
from sessions_app.web.display.held import exact_line
from sessions_app.web.display.states import Look


class Decided(NamedTuple):
    """One decision by a person: the page, the requester, the decision, its result, and whether it still
    counts.
    """

    at: dt.datetime
    ref: str
    url: str
    who: str
    what: str
    look: Look
    line: str = ""
    voided: bool = False


def _verdict(one: Approval) -> Decided:
    asked = one.request
    look = Look("ok", "check", "approved") if one.verdict == Verdict.APPROVE else Look("bad", "x", "denied")
    what = f"{asked.command_set_version.command_set} on {asked.cluster}"
    url = reverse("approval", args=[asked.ref])
    return Decided(
        one.created_at, asked.ref, url, str(asked.requester), what, look, voided=bool(one.voided_at)
    )


def _held(run: CommandRun, at: dt.datetime) -> Decided:
    denied = run.state == RunState.HOLD_DENIED
    look = Look("bad", "x", "denied") if denied else Look("ok", "check", "allowed once")
    url = f"{reverse('grant', args=[run.grant.ref])}#run-{run.pk}"
    return Decided(
        at, run.grant.ref, url, str(run.grant.holder), f"on {run.target}", look, line=exact_line(run)
    )


def _review(grant: Grant, at: dt.datetime) -> Decided:
    access = "break-glass access" if grant.break_glass else "incident access without approval"
    url = reverse("grant", args=[grant.ref])
    what = f"{access} to {grant.cluster}"
    return Decided(at, grant.ref, url, str(grant.holder), what, Look("ok", "eye", "reviewed"))


def _of(whose: str) -> Iterator[str]:
    """Return the columns that name an identity."""
    return (f"{whose}__{name}" for name in WHOSE)


_VERDICTS = Rows(
    Approval,
    "request__requester",
    "request__cluster",
    "request__command_set_version__command_set",
    only=(
        "verdict",
        "created_at",
        "voided_at",
        "request__number",
        "request__command_set_version__command_set__name",
        "request__cluster__name",
        *_of("request__requester"),
    ),
    tail="WHERE sessions_app_approval.approver_id = %s"
    " ORDER BY sessions_app_approval.created_at DESC LIMIT %s",
)
_HOLDS = Rows(
    CommandRun,
    "grant__holder",
    "grant__cluster",
    "target",
    only=("state", "decided_at", "argv", "line", "target__name", *OF_GRANT),
    tail="WHERE sessions_app_commandrun.decided_by_id = %s AND sessions_app_commandrun.decided_at IS NOT NULL"
    " ORDER BY sessions_app_commandrun.decided_at DESC LIMIT %s",
)
_REVIEWS = Rows(
    Grant,
    "holder",
    "cluster",
    only=("ref", "break_glass", "reviewed_at", "cluster__name", *_of("holder")),
    tail="WHERE sessions_app_grant.reviewed_by_id = %s AND sessions_app_grant.reviewed_at IS NOT NULL"
    " ORDER BY sessions_app_grant.reviewed_at DESC LIMIT %s",
)


def decided_by(person: Identity, most: int = 20) -> list[Decided]:
    """Return a person's last decisions: verdicts, held commands and reviews, latest first."""
    found = [_verdict(one) for one in _VERDICTS(person.pk, most)]
    found += [_held(one, one.decided_at) for one in _HOLDS(person.pk, most) if one.decided_at]
    found += [_review(one, one.reviewed_at) for one in _REVIEWS(person.pk, most) if one.reviewed_at]
    return sorted(found, key=lambda one: one.at, reverse=True)[:most]


def decided_today(person: Identity, now: dt.datetime) -> int:
    """Return how many decisions a person made since midnight in the current time zone."""
    start = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return sum(_DECIDED(person, start))


def _decided_since(person: Identity, start: dt.datetime) -> list[Part]:
    return [
        how_many(Approval.objects.filter(approver=person, created_at__gte=start)),
        how_many(CommandRun.objects.filter(decided_by=person, decided_at__gte=start)),
        how_many(_reviews_by(person).filter(reviewed_at__gte=start)),
    ]


_DECIDED = Composed("stint_decided", _decided_since)


def _reviews_by(person: Identity) -> QuerySet[Grant]:
    return Grant.objects.filter(reviewed_by=person)
