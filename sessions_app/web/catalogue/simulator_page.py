"""What a policy, or a draft of one, would answer to somebody else's request, and to past ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from accounts.models import Identity
from accounts.names import canonical_username
from accounts.queries import group_names
from broker.kernel.errors import InvalidInput
from sessions_app.models import (
    OWN,
    AccessPolicy,
    Cluster,
    CommandSetVersion,
    RequestKind,
    Severity,
    WorkflowKind,
)
from sessions_app.operations.requests.check_request import FARTHEST
from sessions_app.policy.decision import Decision, RuleResult
from sessions_app.policy.durations import parse_duration, show_duration
from sessions_app.policy.evaluate import evaluate
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.policy.replay import Changed, named, replay
from sessions_app.policy.rules import Ask, Facts, WorkflowFacts
from sessions_app.queries import deciders, facts
from sessions_app.queries.past import Approvers, past_requests
from sessions_app.web.shell.forms import parse_start

PREFIX = "s."
KINDS = ((RequestKind.PLANNED, "Planned work"), (RequestKind.INCIDENT, "An incident"),
         (RequestKind.BREAK_GLASS, "Break glass"))  # fmt: skip
MOST_SHOWN = 200
# What the work is called that the simulator supposes.
SUPPOSED, SUPPOSED_INCIDENT = "The work", "The incident"
NO_SEVERITY = "none"
# What the asker may be in the work, and what that includes.
PARTS = (
    ("assignee", "assigned to it"),
    ("member", "a member"),
    ("on_call", "on call for it"),
    ("nobody", "nobody in it"),
)
_ROLES = {
    "assignee": frozenset({"assignee", "member"}), "member": frozenset({"member"}),
    "on_call": frozenset({"on_call", "member"}), "nobody": frozenset[str](),
}  # fmt: skip
TOO_FAR = "A time or a duration is farther away than anything that can be granted."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is supposed, as typed. ``incident`` says that work is open, and ``workflow``, ``source``, ``severity`` and ``part`` what
    it is and what the asker is in it; where they say nothing, what the policy wants. It is planned ``from_…`` ``to_…``, if at
    all.
    """

    person: str = ""
    cluster: str = ""
    command_set: str = ""
    duration: str = "1h"
    day: str = ""
    hour: str = ""
    kind: str = RequestKind.PLANNED
    incident: bool = False
    workflow: str = ""
    source: str = ""
    severity: str = ""
    part: str = ""
    from_day: str = ""
    from_hour: str = ""
    to_day: str = ""
    to_hour: str = ""
    ticket: str = ""
    reason: str = "Simulated"


def question_of(data: QueryDict) -> Question:
    """Return the question that a form or a link asks."""
    names = (
        "person",
        "cluster",
        "command_set",
        "duration",
        "day",
        "hour",
        "ticket",
        "workflow",
        "source",
        "severity",
        "part",
        "from_day",
        "from_hour",
        "to_day",
        "to_hour",
    )
    given = {name: data.get(PREFIX + name, "").strip() for name in names if PREFIX + name in data}
    kind = data.get(PREFIX + "kind", "")
    return Question(
        **given,
        kind=kind if kind in dict(KINDS) else RequestKind.PLANNED,
        incident=data.get(PREFIX + "incident") == "on",
        reason="" if data.get(PREFIX + "no_reason") else "Simulated",
    )


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen in the simulator."""

    people: Sequence[Identity]
    clusters: Sequence[str]
    command_sets: Sequence[str]
    kinds: Sequence[tuple[str, str]] = KINDS
    # Of the work that a policy wants; nothing to choose where it wants none.
    workflows: Sequence[tuple[str, str]] = ()
    sources: Sequence[str] = ()
    severities: Sequence[str] = ()
    parts: Sequence[tuple[str, str]] = PARTS


def options(document: PolicyDocument | None) -> Options:
    """Return the choices for a document; people are offered, and any other name may be typed."""
    people = Identity.objects.active()
    if document:
        groups = [*document.requesters.groups, *(document.incident.on_call if document.incident else ())]
        people = people.filter(groups__name__in=groups) | people.filter(
            username__in=document.requesters.identities
        )
    return Options(
        list(people.distinct().order_by("username")[:200]),
        document.clusters if document else (),
        document.command_sets if document else (),
        **_workflow_options(document),
    )


def _workflow_options(document: PolicyDocument | None) -> dict[str, Any]:
    """Return what the supposed work may be: first what the policy wants, and then what it doesn't."""
    terms = document.workflow if document else None
    if terms is None:
        return {}
    kinds = sorted(WorkflowKind, key=lambda kind: kind not in terms.kinds)
    wanted = terms.severity or (NO_SEVERITY,)
    return {
        "workflows": [(kind.value, kind.label) for kind in kinds],
        "sources": list(dict.fromkeys((*(terms.sources or ()), OWN))),
        "severities": sorted([NO_SEVERITY, *Severity.values], key=lambda one: one not in wanted),
        "parts": sorted(PARTS, key=lambda part: part[0] != terms.requester),
    }


@dataclass(frozen=True, slots=True)
class Simulated:
    """The decision on a question, for whom, and who could approve."""

    person: Identity
    decision: Decision
    approvers: Sequence[tuple[Clause, Sequence[Identity]]]

    @property
    def needed(self) -> int:
        """How many approvals are needed."""
        return sum(clause.count for clause in self.decision.clauses)


def simulate(
    question: Question, document: PolicyDocument, policy: AccessPolicy | None, now: dt.datetime
) -> Simulated:
    """Answer a question by the same evaluation as a real request. Changes nothing. Raises InvalidInput.

    ``policy`` is the stored row whose ``document`` is judged; None for a draft, whose own words say who may ask.
    """
    person = _person(question.person)
    cluster = Cluster.objects.live().filter(name=question.cluster).first()
    if cluster is None:
        raise InvalidInput("Choose a cluster.", fields={"cluster": ["There is no such cluster."]})
    at = parse_start(question.day, question.hour)
    ask = _ask(question, document, person, cluster, at, now)
    world = _facts(question, document, policy, person, cluster, at, now)
    try:
        decision = evaluate(ask=ask, facts=world, policy=document)
    except OverflowError as error:
        raise InvalidInput(TOO_FAR) from error
    approvers = [(clause, deciders.eligible_approvers(clause, person)) for clause in decision.clauses]
    return Simulated(person, decision, approvers)


def _person(name: str) -> Identity:
    person = Identity.objects.filter(username=canonical_username(name)).first()
    if person is None:
        raise InvalidInput(
            "Choose who asks.", hint="Write a user name.", fields={"person": ["There is no such identity."]}
        )
    return person


def _ask(
    question: Question,
    document: PolicyDocument,
    person: Identity,
    cluster: Cluster,
    at: dt.datetime | None,
    now: dt.datetime,
) -> Ask:
    try:
        seconds = parse_duration(question.duration)
    except ValueError as error:
        raise InvalidInput(
            "Enter a duration.", hint=f"{error}.", fields={"duration": [f"{error}."]}
        ) from error
    planned = (at, *_planned(question, document)) if question.incident else (at,)
    if seconds > FARTHEST.total_seconds() or any(one and abs(one - now) > FARTHEST for one in planned):
        raise InvalidInput(TOO_FAR, fields={"duration": ["Within some years."]})
    called = SUPPOSED if document.workflow else SUPPOSED_INCIDENT
    incident = called if question.incident else ""
    return Ask(
        requester=person.username,
        requester_groups=group_names(person),
        cluster=question.cluster,
        command_set=question.command_set,
        target_count=cluster.targets.filter(removed_at__isnull=True).count(),
        duration=seconds,
        starts_at=at if question.kind == RequestKind.PLANNED else None,
        reason=question.reason,
        ticket=question.ticket,
        break_glass=question.kind == RequestKind.BREAK_GLASS,
        incident=incident if question.kind == RequestKind.INCIDENT else None,
        workflow=incident,
    )


def _facts(
    question: Question,
    document: PolicyDocument,
    policy: AccessPolicy | None,
    person: Identity,
    cluster: Cluster,
    at: dt.datetime | None,
    now: dt.datetime,
) -> Facts:
    version = (
        CommandSetVersion.objects.filter(
            command_set__name=question.command_set,
            command_set__removed_at__isnull=True,
            published_at__isnull=False,
        )
        .select_related("command_set")
        .order_by("-number")
        .first()
    )
    found = facts.facts_for(
        policy=policy or AccessPolicy(name=document.name), document=document, requester=person, cluster=cluster,
        version=version, targets=list(cluster.targets.filter(removed_at__isnull=True)), now=now,
    )  # fmt: skip
    # Planned work is asked for now and starts then; what starts at once is asked for then.
    asked_at = min(now, at) if question.kind == RequestKind.PLANNED and at else at or now
    return replace(
        found,
        now=asked_at,
        may_request=found.may_request if policy else _may_ask(person, document, cluster),
        workflow_open=question.incident,
        workflow_on_cluster=question.incident,
        workflow=_workflow(question, document) if question.incident else None,
    )


def _workflow(question: Question, document: PolicyDocument) -> WorkflowFacts:
    """Return the work that is supposed: an incident where the policy wants no work, and else as it was chosen. What was not,
    and what can't be, is the first that the form offers.
    """
    if document.workflow is None:
        return WorkflowFacts(kind=WorkflowKind.INCIDENT.value, source=OWN, roles=_ROLES["assignee"])
    offered = Options((), (), (), **_workflow_options(document))
    starts_at, ends_at = _planned(question, document)
    severity = _chosen(question.severity, offered.severities)
    return WorkflowFacts(
        kind=_chosen(question.workflow, [kind for kind, _ in offered.workflows]),
        source=_chosen(question.source, offered.sources),
        severity="" if severity == NO_SEVERITY else severity,
        roles=_ROLES[_chosen(question.part, [part for part, _ in offered.parts])],
        starts_at=starts_at,
        ends_at=ends_at,
    )


def _planned(question: Question, document: PolicyDocument) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the planned time of the work that is supposed. Raises InvalidInput."""
    if document.workflow is None:
        return None, None
    starts_at = parse_start(question.from_day, question.from_hour, "from_")
    ends_at = parse_start(question.to_day, question.to_hour, "to_")
    if starts_at and ends_at and ends_at <= starts_at:
        raise InvalidInput(
            "The work would end before it begins.",
            hint="Give it a later end.",
            fields={"to_day": ["Must be later than its begin."]},
        )
    return starts_at, ends_at


def _chosen(value: str, offered: Sequence[str]) -> str:
    return value if value in offered else offered[0]


def _may_ask(person: Identity, document: PolicyDocument, cluster: Cluster) -> bool:
    """Whether a draft would let somebody ask for the cluster: by its own words, or because that cluster does."""
    return (
        named(document.requesters, person.username, group_names(person))
        or Cluster.objects.held_by(person, "request").filter(pk=cluster.pk).exists()
    )


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """One past request whose decision would change, and by which rules."""

    changed: Changed

    @property
    def was(self) -> str:
        """What the rules of now say."""
        return _say(self.changed.before)

    @property
    def becomes(self) -> str:
        """What the draft says."""
        return _say(self.changed.after)

    @property
    def reasons(self) -> Sequence[RuleResult]:
        """The refusals behind it: those of the draft, or those that fall away."""
        return self.changed.after.refusals or self.changed.before.refusals

    @property
    def duration(self) -> str:
        """How long was asked for."""
        return show_duration(self.changed.past.ask.duration)


def _say(decision: Decision) -> str:
    if decision.refusals:
        return "refused"
    needed = sum(clause.count for clause in decision.clauses)
    if not needed:
        return "starts without approval"
    groups = " and ".join(f"{clause.count} of {' or '.join(clause.groups)}" for clause in decision.clauses)
    return f"needs {needed} approval{'s' if needed > 1 else ''}: {groups}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a draft would change of the past. ``total`` counts all changes; the newest are listed."""

    looked: int
    more: bool
    total: int
    changes: Sequence[ChangedDecision] = ()
    by_rule: Sequence[tuple[str, int]] = field(default_factory=list)


def replay_past(policy: AccessPolicy, draft: PolicyDocument, now: dt.datetime) -> Replayed:
    """Judge the last 90 days by the policy that holds and by a draft. Raises Unreadable, InvalidInput."""
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
