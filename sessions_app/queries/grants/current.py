"""The current state of grants, for gateways and sweepers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import BooleanField, Count, ExpressionWrapper, Min, Q
from django.db.models.functions import Least

from broker.kernel.each_free import BATCH
from broker.kernel.statement import Statement, moment, number
from sessions_app.models import CommandRun, EndReason, Grant, GrantState, RunState
from sessions_app.models.grant import all_above_usable, why_over
from sessions_app.queries.grants.suspensions import all_above_live

TIME_OVER = why_over(EndReason.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantNow:
    """The current state of a grant.

    ``cut`` means that running commands may not finish. Otherwise ``finish_until`` is their deadline.
    ``over_at`` is when the grant's end began; None if it has not begun. ``suspended``: nothing new may begin,
    because the grant, or one that it was delegated from, is suspended.
    """

    ref: str
    live: bool
    expires_at: dt.datetime
    finish_until: dt.datetime | None
    end_reason: str
    cut: bool
    over_at: dt.datetime | None = None
    suspended: bool = False


def grants_now(ids: Iterable[int], now: dt.datetime) -> dict[int, GrantNow]:
    """Return the state of each grant. Grants that do not exist are left out.

    A grant is not live if its holder is disabled or missed a heartbeat, or if a grant that it was delegated
    from is not live. A suspended grant is live: what runs under it may continue.
    """
    fit = {
        "held_by_active": Q(holder__is_active=True) & ~Q(holder__owner__is_active=False),
        "usable": Q(held_at__isnull=True) & all_above_usable(now),
        "heard_of": Q(Q(heartbeat_due_at__isnull=True) | Q(heartbeat_due_at__gt=now), all_above_live(now)),
    }
    rows = list(
        Grant.objects.filter(pk__in=list(ids))
        .annotate(**{name: ExpressionWrapper(one, output_field=BooleanField()) for name, one in fit.items()})
        .values_list("pk", "ref", "state", "expires_at", *fit)
    )
    # The end of a grant may still be waiting for a row lock.
    over = Grant.objects.in_bulk(
        [row[0] for row in rows if row[2] in (GrantState.REVOKING, GrantState.ENDED)]
    )
    return {
        pk: GrantNow(
            ref=ref,
            live=state == GrantState.ACTIVE and expires_at > now and held and heard,
            expires_at=expires_at,
            finish_until=over[pk].finish_until if pk in over else None,
            end_reason=over[pk].end_reason if pk in over else "",
            # At the deadline, heartbeats stop and the parent grants are also over, but commands may
            # still finish.
            cut=(
                not _may_finish(over[pk], now) if pk in over else not held or (not heard and expires_at > now)
            ),
            over_at=over[pk].revoking_at if pk in over else None,
            suspended=not usable,
        )
        for pk, ref, state, expires_at, held, usable, heard in rows
    }


def _may_finish(grant: Grant, now: dt.datetime) -> bool:
    return grant.finish_until is not None and grant.finish_until > now


def why_ended(grant: GrantNow) -> str:
    """Return why a grant ended, as the end of a sentence, such as `revoked` or `workflow closed`."""
    return why_over(grant.end_reason) or ("no longer active" if grant.cut else TIME_OVER)


@dataclass(frozen=True, slots=True)
class HoldNow:
    """The outcome of a held command: `held`, `allowed`, `denied`, `lapsed` or `over`, and who decided."""

    state: str
    by: str
    message: str


def hold_of(run_id: int, now: dt.datetime) -> HoldNow:
    """Return the state of a held command; `over` if the command is unknown."""
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
        return HoldNow("lapsed", "", "Timed out: not approved in time.")
    if run.state == RunState.HOLD_WITHDRAWN:
        return HoldNow("over", "", "Withdrawn by the holder.")
    if run.state == RunState.CUT and run.reason:
        return HoldNow("over", "", f"The command was terminated: {run.reason}.")
    return HoldNow("over", "", f"The command is already {run.state}.")


# The time of the next due task, as an SQL expression.
NEXT_DUE = """
least(
    (SELECT min(expires_at) FROM sessions_app_grant WHERE state IN ('scheduled', 'provisioning', 'active')),
    (SELECT min(greatest(starts_at, next_attempt_at)) FROM sessions_app_grant
      WHERE state IN ('scheduled', 'provisioning')),
    (SELECT min(next_attempt_at) FROM sessions_app_grant WHERE state = 'revoking'),
    (SELECT clock_timestamp() + interval '100 milliseconds'
      WHERE EXISTS (SELECT FROM sessions_app_endintent)),
    (SELECT min(lapses_at) FROM sessions_app_accessrequest WHERE state = 'pending'),
    (SELECT min(hold_lapses_at) FROM sessions_app_commandrun WHERE state = 'held'))
"""
_NEXT = Statement("stint_next_due", f"SELECT {NEXT_DUE}")


def next_due() -> dt.datetime | None:
    """Return the time of the next due task, which may be in the past; None if nothing is pending."""
    return due_at(_NEXT(()).get_value(0, 0))


def due_at(value: bytes | None) -> dt.datetime | None:
    """Return the value of `NEXT_DUE`."""
    return moment(value) if value else None


_TO_REVOKE = Statement(
    "stint_to_revoke",
    """
WITH due AS (SELECT id, cluster_id, next_attempt_at FROM sessions_app_grant
               WHERE state = 'revoking' AND next_attempt_at <= $1::timestamptz),
     host AS (SELECT DISTINCT ON (grant_id) grant_id, address, port,
                     bool_or(answered_at IS NOT NULL OR failed_at IS NOT NULL)
                     OVER (PARTITION BY grant_id) AS again FROM sessions_app_lease
               WHERE gone_at IS NULL AND grant_id IN (SELECT id FROM due) ORDER BY grant_id, id),
     line AS (SELECT id, next_attempt_at, coalesce(again, false) AS again, row_number() OVER
                     (PARTITION BY cluster_id, address, port, again ORDER BY next_attempt_at, id) AS place
                FROM due LEFT JOIN host ON host.grant_id = due.id)
SELECT id FROM line ORDER BY place * CASE WHEN again THEN 4 ELSE 1 END, again, next_attempt_at, id
 LIMIT $2::int
""",
)


def to_revoke_now(now: dt.datetime, limit: int = BATCH) -> tuple[int, ...]:
    """Return the ids of grants whose targets can be called now, alternating between hosts: the first in line
    at each host, then the second at each, and so on.

    As a result, a busy host with many waiting grants does not delay other hosts. At each host, one retry
    follows every four first attempts.
    """
    found = _TO_REVOKE([str(value).encode() for value in (now, limit)])
    return tuple(number(found.get_value(row, 0)) for row in range(found.ntuples))


def overdue(now: dt.datetime) -> tuple[int, float]:
    """Return the number of grants whose end is due but not confirmed, and the delay of the most
    overdue one in seconds.

    The delay counts from the deadline or, if earlier, from the beginning of the end. Grants whose end has not
    begun also count.
    """
    due = Grant.objects.not_ended().annotate(due=Least("expires_at", "revoking_at", "end_intents__at"))
    found = due.filter(due__lt=now).aggregate(count=Count("pk", distinct=True), since=Min("due"))
    return found["count"], (now - found["since"]).total_seconds() if found["since"] else 0.0


def live_grants() -> dict[str, int]:
    """Return the number of grants in each state before ENDED."""
    counts = Grant.objects.not_ended().order_by().values_list("state").annotate(count=Count("pk"))
    return {**dict.fromkeys(LIVE_STATES, 0), **dict(counts)}


LIVE_STATES = [state.value for state in GrantState if state != GrantState.ENDED]
