"""The policy simulator, which shows how a policy or a draft would decide someone's request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from accounts.models import Identity
from accounts.names import canonical_username
from accounts.queries import group_names
from broker.kernel.errors import InvalidInput
from sessions_app.models import (
    OWN,
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSet,
    CommandSetVersion,
    RequestKind,
    Severity,
    WorkflowKind,
)
from sessions_app.operations.requests.check_request import FARTHEST
from sessions_app.policy.case import Case
from sessions_app.policy.decision import Decision, RuleResult
from sessions_app.policy.durations import parse_duration
from sessions_app.policy.evaluate import evaluate
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.policy.replay import named
from sessions_app.policy.rules import Act, Doing, Whose, WorkflowFacts
from sessions_app.policy.steps import Step
from sessions_app.queries.catalog.command_sets import published_version
from sessions_app.queries.requests import deciders
from sessions_app.queries.requests.case import case_of_draft
from sessions_app.web.display.states import Look, plural
from sessions_app.web.forms.times import parse_start

PREFIX = "s."
KINDS = (
    (RequestKind.PLANNED, "Planned"),
    (RequestKind.INCIDENT, "Incident"),
    (RequestKind.BREAK_GLASS, "Break-glass access"),
)
# The maximum number of approvers named for a clause. Further approvers are counted.
NAMED = 8
PERMITTED, DENIED = Look("ok", "check", "Yes"), Look("bad", "x", "No")
# The name of the workflow that a simulation assumes.
SUPPOSED, SUPPOSED_INCIDENT = "The workflow", "The incident"
SUPPOSED_OPENER = "assumed"
NO_SEVERITY = "none"
# The roles that the requester can have in the workflow. A role can include other roles.
PARTS = (
    ("assignee", "Assignee"),
    ("member", "Member"),
    ("on_call", "On call"),
    ("nobody", "None"),
)
_ROLES = {
    "assignee": frozenset({"assignee", "member"}),
    "member": frozenset({"member"}),
    "on_call": frozenset({"on_call", "member"}),
    "nobody": frozenset[str](),
}
# Who opened the workflow.
OPENERS = (
    (Whose.OTHER.value, "Someone else"),
    (Whose.OWN.value, "The requester"),
    (Whose.UNKNOWN.value, "Unknown"),
)
TOO_FAR = "The start or duration is too far in the future to be granted."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The assumptions of a simulation, as typed.

    ``incident`` means that a workflow is open. ``workflow``, ``source`` and ``severity`` describe it, and
    ``part`` is the requester's role in it. Empty values default to the policy's requirements. ``opener`` is
    who opened the workflow; by default, someone else. ``from_…`` and ``to_…`` are the workflow's planned
    time, if it has one.
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
    opener: str = ""
    from_day: str = ""
    from_hour: str = ""
    to_day: str = ""
    to_hour: str = ""
    ticket: str = ""
    reason: str = "Simulated"


def question_of(data: QueryDict) -> Question:
    """Read the simulator's input from a submitted form or a link."""
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
        "opener",
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
    """The choices that the simulator offers."""

    people: Sequence[Identity]
    clusters: Sequence[str]
    command_sets: Sequence[str]
    kinds: Sequence[tuple[str, str]] = KINDS
    # The choices for the workflow that the policy requires; empty if it requires none.
    workflows: Sequence[tuple[str, str]] = ()
    sources: Sequence[str] = ()
    severities: Sequence[str] = ()
    parts: Sequence[tuple[str, str]] = PARTS
    openers: Sequence[tuple[str, str]] = OPENERS

    @property
    def open_label(self) -> str:
        """The label of the checkbox that assumes a workflow."""
        return "A workflow is open on the cluster" if self.workflows else "An incident is open on the cluster"

    @property
    def start_hint(self) -> str:
        """A hint about how the start time applies to each kind of request."""
        when = "with the workflow or on approval" if self.workflows else "on approval"
        return (
            "A planned request is submitted now, any other kind at its start. Leave both fields empty to"
            f" start {when}."
        )

    @property
    def choose_source(self) -> bool:
        """Whether there is more than one source to choose from."""
        return len(self.sources) > 1


def options(document: PolicyDocument | None) -> Options:
    """Return the simulator's choices for a document. The people are suggestions: any other name can be
    typed.
    """
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
    """Return the choices for the assumed workflow: those that the policy requires first, then the rest."""
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
    """The decision on a simulated request, the requester, and the possible approvers."""

    person: Identity
    decision: Decision
    approvers: Sequence[tuple[Clause, Sequence[Identity]]]

    @property
    def look(self) -> Look:
        """The outcome as a tone, an icon and a word."""
        if self.decision.outcome == "refused":
            return Look("bad", "x", "Refused")
        if self.decision.outcome == "starts":
            return Look("ok", "check", "Starts without approval")
        needed = sum(clause.count for clause in self.decision.clauses)
        return Look("warn", "stamp", f"Needs {plural(needed, 'approval')}")

    @property
    def approvals(self) -> Sequence[str]:
        """The people who could give the required approvals: `1 of security: Ana, Bo`."""
        if self.decision.outcome == "refused":
            return []
        return [
            f"{clause.count} of {' or '.join(clause.groups)}: {_named(people)}"
            for clause, people in self.approvers
        ]

    @property
    def answers(self) -> Sequence[tuple[RuleResult, Look]]:
        """The result of each rule, with its display style."""
        return [(result, PERMITTED if result.permitted else DENIED) for result in self.decision.results]


def _named(people: Sequence[Identity]) -> str:
    more = f" and {len(people) - NAMED} more" if len(people) > NAMED else ""
    return (", ".join(map(str, people[:NAMED])) or "no one") + more


def simulate(
    question: Question, document: PolicyDocument, policy: AccessPolicy | None, now: dt.datetime
) -> Simulated:
    """Evaluate a simulated request in the same way as a real one. Changes nothing. Raises InvalidInput.

    ``policy`` is the stored row whose ``document`` is evaluated. For a draft, ``policy`` is None, and the
    document's own rules define who can request.
    """
    person = _person(question.person)
    cluster = Cluster.objects.live().filter(name=question.cluster).first()
    if cluster is None:
        raise InvalidInput("Choose a cluster.", fields={"cluster": ["Cluster not found."]})
    at = parse_start(question.day, question.hour)
    draft = _draft(question, document, policy, person, cluster, at, now)
    targets = list(cluster.targets.filter(removed_at__isnull=True))
    draft.targets = [target.pk for target in targets]
    case = _supposed(case_of_draft(draft, document, targets, now), question, at)
    if policy is None:
        case = replace(case, facts=replace(case.facts, may_request=_may_ask(person, document, cluster)))
    try:
        decision = evaluate(case, Step.REQUEST)
    except OverflowError as error:
        raise InvalidInput(TOO_FAR) from error
    approvers = [(clause, deciders.eligible_approvers(clause, person)) for clause in decision.clauses]
    return Simulated(person, decision, approvers)


def _person(name: str) -> Identity:
    person = Identity.objects.filter(username=canonical_username(name)).first()
    if person is None:
        raise InvalidInput(
            "Choose a requester.", hint="Enter a username.", fields={"person": ["Identity not found."]}
        )
    return person


def _draft(
    question: Question,
    document: PolicyDocument,
    policy: AccessPolicy | None,
    person: Identity,
    cluster: Cluster,
    at: dt.datetime | None,
    now: dt.datetime,
) -> AccessRequest:
    """Return the simulated request, without targets. Raises InvalidInput."""
    try:
        seconds = parse_duration(question.duration)
    except ValueError as error:
        raise InvalidInput(
            "Enter a duration.", hint=f"{error}.", fields={"duration": [f"{error}."]}
        ) from error
    planned = (at, *_planned(question, document)) if question.incident else (at,)
    if seconds > FARTHEST.total_seconds() or any(one and abs(one - now) > FARTHEST for one in planned):
        raise InvalidInput(TOO_FAR, fields={"duration": ["Choose a shorter duration or an earlier start."]})
    # A rule refuses an unknown or unpublished command set.
    version = published_version(question.command_set) or CommandSetVersion(
        command_set=CommandSet(name=question.command_set, kind="")
    )
    return AccessRequest(
        kind=question.kind,
        requester=person,
        cluster=cluster,
        policy=policy or AccessPolicy(name=document.name),
        policy_version=policy.version if policy else 0,
        command_set_version=version,
        duration=seconds,
        starts_at=at if question.kind == RequestKind.PLANNED else None,
        reason=question.reason,
        ticket=question.ticket,
    )


def _supposed(case: Case, question: Question, at: dt.datetime | None) -> Case:
    """Return the case with the simulation's assumptions: the time of the request, and the workflow."""
    called = SUPPOSED if case.policy.workflow else SUPPOSED_INCIDENT
    workflow = called if question.incident else ""
    # A planned request is submitted now and starts later. Any other request is submitted at its start.
    now = case.facts.now
    asked_at = min(now, at) if question.kind == RequestKind.PLANNED and at else at or now
    facts = replace(
        case.facts,
        now=asked_at,
        workflow_open=question.incident,
        workflow_on_cluster=question.incident,
        workflow=_workflow(question, case.policy) if question.incident else None,
    )
    incident = workflow if case.is_incident else None
    return replace(case, ask=replace(case.ask, incident=incident, workflow=workflow), facts=facts)


def _workflow(question: Question, document: PolicyDocument) -> WorkflowFacts:
    """Return the assumed workflow: an incident if the policy requires no workflow, otherwise the selected
    kind. If the selection is missing or invalid, the form's first choice is used.
    """
    doing = _doing(question)
    if document.workflow is None:
        return WorkflowFacts(
            kind=WorkflowKind.INCIDENT.value, source=OWN, roles=_ROLES["assignee"], doing=doing
        )
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
        doing=doing,
    )


def _doing(question: Question) -> Doing:
    """Return who opened the assumed workflow."""
    whose = Whose(_chosen(question.opener, [value for value, _ in OPENERS]))
    return Doing(whose, Act.OPENED, SUPPOSED_OPENER if whose is Whose.OTHER else "")


def _planned(question: Question, document: PolicyDocument) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the planned time of the assumed workflow. Raises InvalidInput."""
    if document.workflow is None:
        return None, None
    starts_at = parse_start(question.from_day, question.from_hour, "from_")
    ends_at = parse_start(question.to_day, question.to_hour, "to_")
    if starts_at and ends_at and ends_at <= starts_at:
        raise InvalidInput(
            "The workflow would end before it starts.",
            hint="Choose a later end.",
            fields={"to_day": ["Must be after the start."]},
        )
    return starts_at, ends_at


def _chosen(value: str, offered: Sequence[str]) -> str:
    return value if value in offered else offered[0]


def _may_ask(person: Identity, document: PolicyDocument, cluster: Cluster) -> bool:
    """Whether the person can request the cluster under a draft, because the draft or the cluster lists them
    as a requester.
    """
    return (
        named(document.requesters, person.username, group_names(person))
        or Cluster.objects.held_by(person, "request").filter(pk=cluster.pk).exists()
    )
