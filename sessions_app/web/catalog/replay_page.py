"""Replay the requests of the last 90 days against a draft of a policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessPolicy
from sessions_app.policy.decision import Decision, RuleResult
from sessions_app.policy.durations import show_duration
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.replay import Changed, replay
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.past_requests import Approvers, past_requests
from sessions_app.web.catalog.simulator_page import TOO_FAR
from sessions_app.web.display.states import BREAK_GLASS, REQUEST, Look, plural

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """A past request whose decision would change, and the rules that change it."""

    changed: Changed

    @property
    def was(self) -> str:
        """The decision under the current rules."""
        return _say(self.changed.before)

    @property
    def then(self) -> str:
        """The final state of the request."""
        past = self.changed.past
        return (BREAK_GLASS if past.ask.break_glass else REQUEST[past.state]).word

    @property
    def becomes(self) -> str:
        """The decision under the draft."""
        return _say(self.changed.after)

    @property
    def reasons(self) -> Sequence[RuleResult]:
        """The refusals that changed the decision: by rules of the draft, or by current rules that the draft
        removes.
        """
        return self.changed.after.refusals or self.changed.before.refusals

    @property
    def duration(self) -> str:
        """The requested duration."""
        return show_duration(self.changed.past.ask.duration)


def _say(decision: Decision) -> str:
    if decision.refusals:
        return "refused"
    needed = sum(clause.count for clause in decision.clauses)
    if not needed:
        return "starts without approval"
    groups = " and ".join(f"{clause.count} of {' or '.join(clause.groups)}" for clause in decision.clauses)
    return f"needs {plural(needed, 'approval')}: {groups}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """The past decisions that a draft would change. ``total`` counts all of them; only the newest
    are listed.
    """

    looked: int
    more: bool
    total: int
    changes: Sequence[ChangedDecision] = ()
    by_rule: Sequence[tuple[str, int]] = field(default_factory=list)

    @property
    def look(self) -> Look:
        """The number of decisions that would change: a tone, an icon and a sentence."""
        if self.total:
            changed = f"{plural(self.total, 'decision')} of {plural(self.looked, 'request')} would change."
            return Look("warn", "alert", changed)
        if self.looked:
            return Look("ok", "check", f"None of {plural(self.looked, 'decision')} would change.")
        return Look("ok", "check", "There were no requests in the last 90 days.")

    @property
    def left_out(self) -> str:
        """A note that older requests were not replayed; empty if all were replayed."""
        return f"Only the newest {self.looked:,} requests were replayed." if self.more else ""

    @property
    def refused_by(self) -> str:
        """The rules that would refuse requests, and how often: `window (2), ticket (1)`."""
        return ", ".join(f"{rule} ({count})" for rule, count in self.by_rule)

    @property
    def unlisted(self) -> str:
        """A note that some counted changes are not listed; empty if all are listed."""
        listed = len(self.changes)
        return f"The newest {listed:,} are listed." if self.total > listed else ""


def replay_past(policy: AccessPolicy, draft: PolicyDocument, now: dt.datetime) -> Replayed:
    """Evaluate the requests of the last 90 days against the current policy and a draft. Raises Unreadable,
    InvalidInput.
    """
    current = facts.policy_document(policy)
    past = past_requests(policy, now)
    groups = {*current.approver_groups, *draft.approver_groups}
    approvers = Approvers(groups, {one.ask.requester for one in past.requests})
    try:
        changes = list(replay(past.requests, before=current, after=draft, approvers=approvers))
    except OverflowError as error:
        raise InvalidInput(TOO_FAR) from error
    counts: dict[str, int] = {}
    for changed in changes:
        for result in changed.after.refusals:
            counts[result.rule] = counts.get(result.rule, 0) + 1
    return Replayed(
        looked=len(past.requests),
        more=past.more,
        total=len(changes),
        changes=[ChangedDecision(changed) for changed in changes[:MOST_SHOWN]],
        by_rule=sorted(counts.items(), key=lambda pair: -pair[1]),
    )
