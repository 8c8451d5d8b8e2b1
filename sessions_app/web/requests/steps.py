"""The history of a request as steps: who decided, what is missing, and the result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessions_app.models import AccessRequest, Approval, Grant, RequestKind, RequestState, Verdict
from sessions_app.policy.durations import say_duration
from sessions_app.web.display.states import Look, grant_look
from sessions_app.web.requests.request_facts import Needed, RequestFacts

MOST_NAMES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its tone, an icon or initials, a title, the time, and additional lines."""

    tone: str
    title: str
    icon: str = ""
    mark: str = ""
    at: dt.datetime | None = None
    note: str = ""
    lines: Sequence[str] = ()
    url_of_grant: str = ""
    look: Look | None = None


def steps_of(
    asked: AccessRequest,
    facts: RequestFacts,
    grant: Grant | None,
    *,
    over: str,
    lapsed: bool,
    now: dt.datetime,
) -> list[Step]:
    """Return the steps of a request. ``over`` is the reason why its workflow has ended. ``lapsed``
    means that the request has expired.
    """
    found = [_verdict(approval, facts) for approval in facts.approvals]
    if not lapsed:
        found += [_missing(need) for need in facts.needed if need.missing]
    found += _closed(asked, over=over, lapsed=lapsed)
    if asked.state == RequestState.APPROVED and not facts.approvals:
        note = f"under {asked.policy}"
        found.append(Step(tone="ok", icon="check", title=_unapproved(asked, grant), note=note))
    if grant:
        look = grant_look(grant, now)
        found.append(Step(tone="info", icon="key", title=grant.ref, url_of_grant=grant.ref, look=look))
    return found


def _verdict(approval: Approval, facts: RequestFacts) -> Step:
    yes = approval.verdict == Verdict.APPROVE
    return Step(
        tone="ok" if yes else "bad",
        mark=approval.approver.initials,
        title=f"{approval.approver} {'approved' if yes else 'denied'}",
        at=approval.created_at,
        note=", reduced the scope" if approval.narrowing else "",
        lines=list(_lines(approval, facts)),
    )


def _lines(approval: Approval, facts: RequestFacts) -> Iterator[str]:
    """Yield an approver's comment and the reductions made."""
    if approval.comment:
        yield f"“{approval.comment}”"
    less = approval.narrowing
    if less.get("duration"):
        yield f"for {say_duration(less['duration'])}"
    if less.get("commands"):
        yield f"{len(less['commands'])} of {_many(len(facts.lines), 'command')}"
    if less.get("targets"):
        yield f"{len(less['targets'])} of {_many(len(facts.targets), 'target')}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _missing(need: Needed) -> Step:
    names = ", ".join(map(str, need.people[:MOST_NAMES]))
    more = len(need.people) - MOST_NAMES
    return Step(
        tone="warn",
        mark=str(need.missing),
        title=_many(need.missing, "more approval"),
        note=f"from {' or '.join(need.clause.groups)}",
        lines=[(names + (f" and {more} more" if more > 0 else "")) or "No eligible approver right now."],
    )


def _closed(asked: AccessRequest, *, over: str, lapsed: bool) -> Iterator[Step]:
    if asked.state == RequestState.WITHDRAWN:
        yield Step(tone="mute", icon="x", title="Withdrawn", at=asked.decided_at)
    if asked.state == RequestState.LAPSED or lapsed:
        at = asked.decided_at if over else asked.lapses_at
        why = f"because {over}" if over else "without a decision"
        yield Step(tone="mute", icon="clock", title="Expired", at=at, note=f", {why}" if at else why)


def _unapproved(asked: AccessRequest, grant: Grant | None) -> str:
    """Return why no approval was needed."""
    if asked.kind == RequestKind.BREAK_GLASS:
        return "Started immediately with break-glass access"
    if not asked.workflow:
        return "No approval needed"
    reviewed = ", with a review" if grant and grant.is_own_incident else ""
    return f"Started immediately for {asked.workflow.ref}{reviewed}"
