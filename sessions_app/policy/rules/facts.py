"""The inputs of rules: the ask, and the facts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar, Protocol

from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.starts import begins_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The request as rules see it. ``duration`` in seconds; without ``starts_at`` the time starts with the approval.

    ``incident`` is the reference of the incident that the access is for, empty when none is named; None for access of
    another kind. ``workflow`` is the reference of the named workflow, for any kind of request.
    """

    requester: str
    requester_groups: frozenset[str]
    cluster: str
    command_set: str
    target_count: int
    duration: int
    starts_at: dt.datetime | None
    reason: str
    ticket: str
    break_glass: bool = False
    incident: str | None = None
    workflow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFacts:
    """The facts of the named workflow.

    ``roles`` are those of `assignee`, `member` and `on_call` that the requester has in it; ``silence`` is for how many
    seconds its source has not said that it is open, None for Stint's own; ``own_doing`` that the requester opened it, in any
    guise: their owner, their machine, another account of theirs.
    """

    kind: str
    source: str
    severity: str = ""
    roles: frozenset[str] = frozenset()
    silence: float | None = None
    own_doing: bool = False
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the world, read just before. Unknown values must be passed as the denying ones."""

    now: dt.datetime
    requester_enabled: bool
    may_request: bool
    policy_live: bool
    cluster_live: bool
    command_set_published: bool
    targets_live: bool
    sweeper_silence: float | None
    # Grants that began without anybody's approval, by break-glass access or by an incident that the requester opened, and
    # that should have been reviewed by now.
    overdue_reviews: tuple[str, ...]
    # Of each person who could give an approval that counts, in which of the policy's groups they are; None: not known.
    approvers: tuple[frozenset[str], ...] | None
    # The work that is named: whether it is open, whether it is on the cluster, and the rest of it.
    workflow_open: bool = False
    workflow_on_cluster: bool = False
    workflow: WorkflowFacts | None = None
    # References of open work that the policy would take, to be offered.
    fitting: tuple[str, ...] = ()
    # Whether the command set is of the cluster's kind.
    kinds_fit: bool = False
    # Whether a person asks, and no machine.
    is_person: bool = False


class Rule(Protocol):
    """A rule of a policy."""

    tag: ClassVar[str]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        """Answer for one ask, from the facts alone."""
        ...


def start_of(ask: Ask, facts: Facts) -> dt.datetime:
    """Return when the time asked for begins: without a start of its own at once, or by itself when the work does."""
    return ask.starts_at or begins_at(
        facts.now, workflow=facts.workflow.starts_at if facts.workflow else None
    )
