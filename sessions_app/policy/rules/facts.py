"""The inputs of rules: the request and the facts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar, Protocol

from sessions_app.policy.approval_count import CountedVerdict
from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.rules.doing import UNTOLD, Doing
from sessions_app.policy.starts import begins_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The request, in the format that rules evaluate.

    ``duration`` is in seconds. Without ``starts_at``, the time starts on approval. ``incident`` is the
    reference of the incident, empty if none is named, and None for other kinds of access. ``workflow`` is the
    reference of the named workflow, for any kind of request. ``extension`` is the number of seconds by which
    to extend a grant; None if no grant is to be extended.
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
    extension: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFacts:
    """The facts of the named workflow.

    ``roles`` are the requester's roles: `assignee`, `member` and `on_call`. ``silence`` is the time in
    seconds since the source last confirmed that the workflow is open; None for Stint's own workflows.
    ``doing`` is who opened or changed the workflow.
    """

    kind: str
    source: str
    severity: str = ""
    roles: frozenset[str] = frozenset()
    silence: float | None = None
    doing: Doing = UNTOLD
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFacts:
    """The facts of a grant.

    ``holder`` is the display name. ``unchanged`` means that the targets, commands and workflow are the
    approved ones. ``verdicts`` are all verdicts that count on the grant's request, whose digest is
    ``digest``. ``by_workflow`` means that the grant was given because of its workflow, without approvals.
    ``reviewed`` means that another person has reviewed the access or still must. ``extended`` counts its
    approved extensions, and ``waiting`` is whether another extension is pending.
    """

    ref: str
    holder: str
    expires_at: dt.datetime
    digest: str
    unchanged: bool
    verdicts: tuple[CountedVerdict, ...]
    by_workflow: bool
    reviewed: bool
    delegated: bool
    extended: int
    waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts, read just before the evaluation.

    For an unknown fact, pass the value that makes rules deny.
    """

    now: dt.datetime
    requester_enabled: bool
    may_request: bool
    policy_live: bool
    cluster_live: bool
    command_set_published: bool
    targets_live: bool
    sweeper_silence: float | None
    # Grants that began without approval and whose review is overdue. These are break-glass access, or access
    # for an incident that may be the requester's own. None if unknown.
    overdue_reviews: tuple[str, ...] | None
    # For each person whose approval would count, their groups that the policy names; None if unknown.
    approvers: tuple[frozenset[str], ...] | None
    # The named workflow: whether it is open, whether it is on the cluster, and its other facts.
    workflow_open: bool = False
    workflow_on_cluster: bool = False
    workflow: WorkflowFacts | None = None
    # References of open workflows that the policy would accept, as suggestions.
    fitting: tuple[str, ...] = ()
    # Whether the command set is of the cluster's kind.
    kinds_fit: bool = False
    # Whether the requester is a person, not a machine.
    is_person: bool = False
    # Whether approvers can be verified to be other people, which is possible if the requester (for a machine,
    # also its owner) has an email address.
    is_known: bool = False
    # The grant being evaluated; None for a request.
    grant: GrantFacts | None = None


class Rule(Protocol):
    """A rule of a policy."""

    tag: ClassVar[str]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        """Decide on one request, using only the facts."""
        ...


def start_of(ask: Ask, facts: Facts) -> dt.datetime:
    """Return the start of the requested time.

    If the request sets no start, the time starts with the workflow, or immediately.
    """
    return ask.starts_at or begins_at(
        facts.now, workflow=facts.workflow.starts_at if facts.workflow else None
    )


def said_of(doing: Doing, ask: Ask, facts: Facts) -> str:
    """Return who opened or changed the named workflow, as a sentence without its period.

    For a machine, the named person may also be its owner.
    """
    return doing.said(
        ask.workflow or ask.incident or "the workflow",
        "You" if facts.is_person else f"{ask.requester} or its owner",
    )
