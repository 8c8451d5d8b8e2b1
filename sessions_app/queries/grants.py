"""Grants as gateways and sweepers need them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Min
from django.db.models.functions import Least

from sessions_app.models import CommandRun, EndReason, Grant, GrantState, RunState

TIME_OVER = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantNow:
    """How a grant stands. ``cut``: running commands may not finish; ``finish_until`` is when they must be over."""

    ref: str
    live: bool
    expires_at: dt.datetime
    finish_until: dt.datetime | None
    end_reason: str
    cut: bool


def grants_now(ids: Iterable[int], now: dt.datetime) -> dict[int, GrantNow]:
    """Return how each of the grants stands; one that is not there, or whose holder is disabled, is not live."""
    rows = Grant.objects.filter(pk__in=list(ids)).values_list(
        "pk",
        "ref",
        "state",
        "expires_at",
        "finish_until",
        "end_reason",
        "holder__is_active",
        "holder__owner__is_active",
    )
    return {
        pk: GrantNow(
            ref=ref,
            live=state == GrantState.ACTIVE and expires_at > now and active and owner_active is not False,
            expires_at=expires_at,
            finish_until=finish_until,
            end_reason=end_reason,
            cut=(finish_until is None or finish_until <= now) and (
                state in (GrantState.REVOKING, GrantState.ENDED) or not active or owner_active is False),
        )
        for pk, ref, state, expires_at, finish_until, end_reason, active, owner_active in rows
    }  # fmt: skip


def why_ended(grant: GrantNow) -> str:
    """Return why a grant ended, as the end of a sentence: `revoked`, `workflow closed`."""
    if grant.end_reason in EndReason.values:
        return str(EndReason(grant.end_reason).label).lower()
    return "no longer active" if grant.cut else TIME_OVER


# The reason of a run that its holder took back while it was held.
WITHDRAWN = "withdrawn by its holder"


@dataclass(frozen=True, slots=True)
class HoldNow:
    """What became of a held command: `held`, `allowed`, `denied`, `lapsed` or `over`, and by whom."""

    state: str
    by: str
    message: str


def hold_of(run_id: int, now: dt.datetime) -> HoldNow:
    """Return how a held command stands. Anything unknown is over."""
    run = CommandRun.objects.select_related("decided_by", "grant").filter(pk=run_id).first()
    if run is None:
        return HoldNow("over", "", "Command not found.")
    if run.state == RunState.HOLD_DENIED:
        return HoldNow("denied", str(run.decided_by), f"{run.decided_by} denied it.")
    if run.grant.state != GrantState.ACTIVE:
        return HoldNow("over", "", f"{run.grant.ref} has ended.")
    if run.waits(now):
        return HoldNow("held", "", "Waiting for approval.")
    if run.may_yet_run(now):
        return HoldNow("allowed", str(run.decided_by), f"{run.decided_by} allowed it once.")
    if run.state in (RunState.HELD, RunState.HOLD_LAPSED):
        return HoldNow("lapsed", "", "Timed out: nobody allowed it.")
    if run.reason == WITHDRAWN:
        return HoldNow("over", "", "Withdrawn by the holder.")
    return HoldNow("over", "", f"The command is already {run.state}.")


_NEXT = """
SELECT least(
    (SELECT min(expires_at) FROM sessions_app_grant WHERE state IN ('scheduled', 'provisioning', 'active')),
    (SELECT min(greatest(starts_at, next_attempt_at)) FROM sessions_app_grant WHERE state IN ('scheduled', 'provisioning')),
    (SELECT min(next_attempt_at) FROM sessions_app_grant WHERE state = 'revoking'),
    (SELECT min(lapses_at) FROM sessions_app_accessrequest WHERE state = 'pending'),
    (SELECT min(hold_lapses_at) FROM sessions_app_commandrun WHERE state = 'held'))
"""


def next_due() -> dt.datetime | None:
    """Return when the next thing falls due, which may be in the past; None when nothing waits."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT)
        (due,) = cursor.fetchone()
    return due  # type: ignore[no-any-return]  # a timestamptz or NULL


def overdue_revocation_seconds(now: dt.datetime) -> float:
    """Return for how long the grant that is overdue longest should have been proven to be over: since its deadline or, where
    that was sooner, since its end began; 0.0 when none is. It counts those too whose end nobody has begun.
    """
    due = Grant.objects.not_ended().aggregate(since=Min(Least("expires_at", "revoking_at")))["since"]
    return max(0.0, (now - due).total_seconds()) if due else 0.0


def live_grants() -> dict[str, int]:
    """Return how many grants are in each state before ENDED."""
    counts = Grant.objects.not_ended().order_by().values_list("state").annotate(count=Count("pk"))
    return {**dict.fromkeys(LIVE_STATES, 0), **dict(counts)}


def revoke_quantiles() -> dict[str, float]:
    """Return the median and the 99th percentile of how long the last 500 ends took to be proven, in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(_QUANTILES)
        median, high = cursor.fetchone()
    return {} if median is None else {"0.5": median, "0.99": high}


LIVE_STATES = [state.value for state in GrantState if state != GrantState.ENDED]
_QUANTILES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.99) WITHIN GROUP (ORDER BY took)
  FROM (SELECT extract(epoch FROM ended_at - revoking_at)::float8 AS took FROM sessions_app_grant
         WHERE state = 'ended' AND revoking_at IS NOT NULL ORDER BY created_at DESC LIMIT 500) latest
"""
