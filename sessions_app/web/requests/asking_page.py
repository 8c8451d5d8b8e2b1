"""What a person may ask for, with its price, and the fields that a choice needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from statistics import median
from typing import NamedTuple

from django.db.models import F, Prefetch, Q, QuerySet

from accounts.models import Identity
from accounts.queries import are_same_person, group_names
from sessions_app.connectors.registry import commands_of
from sessions_app.models import (
    OWN,
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSet,
    CommandSetVersion,
    RequestKind,
    RequestState,
    Target,
    Workflow,
    WorkflowKind,
    requestable,
)
from sessions_app.operations.workflows.open_workflow import PREFIX
from sessions_app.policy.commands.parameters import Choice, Duration, Int, ParameterType
from sessions_app.policy.durations import say_duration, show_duration
from sessions_app.policy.evaluate import clauses_for
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.windows import upcoming
from sessions_app.queries import commands, facts
from sessions_app.queries.workflows import (
    fitting,
    is_unread,
    open_workflows,
    sources_for,
    takes,
    workflow_for,
)
from sessions_app.web.shell.forms import KINDS, Draft
from sessions_app.web.shell.words import in_order

DURATIONS = (900, 1800, 3600, 7200, 14400, 28800, 86400)
USUAL = 3600
QUICK = 1800
MOST = 20
# How far back the usual time of a decision is looked for.
RECENT, DECIDED, FEWEST = 2000, 50, 3


@dataclass(frozen=True, slots=True)
class SetOption:
    """One command set that may be asked for, with what it costs under the policy that asks least of others."""

    name: str
    summary: str
    size: int
    destructive: int
    approvals: int
    longest: int
    policies: tuple[str, ...]

    @property
    def price(self) -> str:
        """`2 approvals, up to 4 h`."""
        many = (
            f"{self.approvals} approval{'s' if self.approvals != 1 else ''}"
            if self.approvals
            else "no approval"
        )
        return f"{many}, up to {say_duration(self.longest)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One policy with the live clusters and the published command sets that it covers."""

    name: str
    document: PolicyDocument
    clusters: Sequence[Cluster]
    versions: Sequence[CommandSetVersion]


@dataclass(frozen=True, slots=True)
class ParameterField:
    """One parameter as a field of the form."""

    name: str
    kind: str
    limits: str
    choices: tuple[str, ...]
    low: str
    high: str
    value: str
    # Taken from the work, so that nothing is to be chosen.
    from_workflow: bool = False

    @property
    def is_short(self) -> bool:
        """Whether few, short choices fit beside each other."""
        return 0 < len(self.choices) <= 4 and sum(map(len, self.choices)) <= 40


# What errors and rules call the fields that say for which work, and when.
_OF_WORKFLOW = "workflow,workflow_open,workflow_on_cluster,workflow_fits,role_in_workflow,workflow_fresh,incident_open,incident_on_cluster"
_OF_START = "day,starts_at,start,in_window,not_frozen,within_workflow,at_once"


@dataclass(frozen=True, slots=True)
class AskPage:
    """What the form shows for one draft. Windows are pairs of moments; None: any time is allowed."""

    draft: Draft
    clusters: Sequence[Cluster]
    sets: Sequence[SetOption]
    targets: Sequence[Target]
    parameters: Sequence[ParameterField]
    durations: Sequence[int]
    windows: Sequence[tuple[dt.datetime, dt.datetime]] | None
    ticket_required: bool
    reason_required: bool
    kinds: Sequence[RequestKind]
    # What may be named as the work that it is for.
    incidents: Sequence[Workflow]
    workflow_needed: bool = False
    workflows_to_open: Sequence[WorkflowKind] = ()
    sources_to_ask: Sequence[str] = ()
    # The reference of the work that it is for, where that begins later.
    begins_with: str = ""
    # Whose work may be named by its reference; whether what is named has to be read first.
    sources: Sequence[str] = ()
    unread: bool = False

    @property
    def price(self) -> str:
        """What the chosen command set costs."""
        return next((option.price for option in self.sets if option.name == self.draft.command_set), "")

    @property
    def names(self) -> str:
        """The fields that the form has, from first to last, each with what errors and rules call it."""
        listed = self.incidents or (
            self.draft.kind != RequestKind.INCIDENT and (self.workflow_needed or self.draft.incident)
        )
        workflow = "other_workflow" if self.draft.other_workflow else "incident" if listed else ""
        shown = (
            "cluster" if self.clusters else "",
            f"{workflow}:{_OF_WORKFLOW}" if workflow else "",
            "command_set" if self.sets else "",
            *(f"p.{field.name}:parameters.{field.name}" for field in self.parameters),
            "target:targets,has_targets" if len(self.targets) > 1 else "",
            f"day:{_OF_START} hour" if self.draft.kind == RequestKind.PLANNED else "",
            "other_duration:duration,max_duration ticket reason bookmark:name,query",
        )
        return " ".join(shown)

    @property
    def still_open(self) -> list[str]:
        """The parameters that have no value yet."""
        return [field.name for field in self.parameters if not field.value]

    @property
    def workflow_is_elsewhere(self) -> bool:
        """Whether work is named that is not among what is offered."""
        return bool(self.draft.incident) and self.draft.incident not in {one.ref for one in self.incidents}

    @property
    def target_choices(self) -> list[tuple[Target, bool]]:
        """Each target of the cluster, and whether it is in the draft."""
        chosen = self.draft.targets
        return [(target, chosen is None or target.name in chosen) for target in self.targets]


def ask_page(identity: Identity, draft: Draft, now: dt.datetime) -> AskPage:
    """Return the form for a draft; what the draft leaves open is filled with the first possible choice."""
    every = terms_of(identity)
    groups = group_names(identity)
    by_kind = {
        RequestKind.BREAK_GLASS: _breakable(every, groups),
        RequestKind.INCIDENT: on_call(every, groups),
    }
    usable = by_kind.get(RequestKind(draft.kind), every)
    if draft.policy:
        usable = [terms for terms in usable if terms.name == draft.policy]
    clusters = clusters_of(usable)
    unread = is_unread(identity, draft.workflow)
    draft, clusters, incidents = _for_workflow(identity, draft, clusters, unread=unread)
    cluster = next(
        (cluster for cluster in clusters if cluster.name == draft.cluster), clusters[0] if clusters else None
    )
    sets = sets_on(usable, cluster, draft.kind) if cluster else []
    planned = _planned(identity, draft)
    chosen = next((option for option in sets if option.name == draft.command_set), None)
    chosen = chosen or _meant_for(planned, sets, usable) or next(iter(sets), None)
    documents = _documents_of(usable, chosen)
    terms = documents[0] if documents else None
    wanted = _workflow_wanted(documents, draft.kind)
    targets = sorted(cluster.targets.all(), key=lambda one: in_order(one.name)) if cluster else []
    if draft.kind != RequestKind.INCIDENT and cluster:
        incidents = list(open_workflows(identity, cluster, wanted.fits).select_related("source")[:MOST])
    longest = chosen.longest if chosen else 0
    workflow = next((one for one in incidents if one.ref == draft.workflow), None)
    if workflow is None and draft.workflow:
        workflow = workflow_for(identity, draft.workflow)
    fields = fields_of(usable, chosen, draft, workflow) if chosen else []
    draft = replace(
        draft,
        cluster=cluster.name if cluster else "",
        command_set=chosen.name if chosen else "",
        parameters={field.name: field.value for field in fields},
        duration=draft.duration or _usual_duration(longest, draft.kind, planned, now),
    )
    return AskPage(
        draft=draft,
        clusters=clusters,
        sets=sets,
        targets=targets,
        parameters=fields,
        durations=_durations(longest, draft.seconds),
        windows=upcoming(terms.windows, now, 3) if terms and terms.windows is not None else None,
        ticket_required=_wanted_by_all(documents, draft.kind, lambda one: one.ticket is not None),
        reason_required=draft.kind == RequestKind.BREAK_GLASS
        or (draft.kind == RequestKind.INCIDENT and is_own(identity, workflow))
        or _wanted_by_all(documents, draft.kind, lambda one: one.reason == "required"),
        kinds=[kind for kind in KINDS if by_kind.get(kind, every)],
        incidents=incidents,
        workflow_needed=wanted.needed,
        workflows_to_open=wanted.to_open,
        sources_to_ask=wanted.sources,
        begins_with=workflow.ref if workflow and workflow.starts_at and workflow.starts_at > now else "",
        sources=[source.name for source in sources_for(identity)],
        unread=unread and bool(sets),
    )


def _planned(identity: Identity, draft: Draft) -> Workflow | None:
    """Return the change that a draft names, if it has a planned time."""
    workflow = (
        workflow_for(identity, draft.workflow)
        if draft.kind == RequestKind.PLANNED and draft.workflow
        else None
    )
    return workflow if workflow and workflow.starts_at and workflow.ends_at else None


def _meant_for(
    workflow: Workflow | None, sets: Sequence[SetOption], terms: Sequence[Terms]
) -> SetOption | None:
    """Return the first command set under a policy that wants such work: what the change is most likely done with."""
    wanted = {one.name: one.document.workflow for one in terms if one.document.workflow}
    wanting = {name for name, needed in wanted.items() if workflow and takes(needed, workflow)}
    return next((option for option in sets if wanting.intersection(option.policies)), None)


def _usual_duration(longest: int, kind: str, planned: Workflow | None, now: dt.datetime) -> str:
    """Return what is proposed: what is left of a change's planned time, else as long as most take."""
    usual = QUICK if kind == RequestKind.QUICK else USUAL
    if planned and planned.starts_at and planned.ends_at and planned.ends_at > now:
        usual = int((planned.ends_at - max(planned.starts_at, now)).total_seconds())
        usual -= usual % 60
    return show_duration(min(longest, usual)) if longest and usual else ""


def is_own(identity: Identity, workflow: Workflow | None) -> bool:
    """Whether the identity opened the work, in any guise."""
    return (
        workflow is not None
        and workflow.opened_by is not None
        and are_same_person(identity, workflow.opened_by)
    )


def _for_workflow(
    identity: Identity, draft: Draft, clusters: list[Cluster], *, unread: bool
) -> tuple[Draft, list[Cluster], list[Workflow]]:
    """Return the draft, the clusters that the work which it names leaves of those, and the incidents that are offered."""
    if draft.kind != RequestKind.INCIDENT:
        return draft, _clusters_on(identity, draft, clusters), []
    incidents = open_incidents(clusters)
    if draft.other_workflow or unread:
        draft = replace(draft, other_workflow=draft.workflow, incident="")
        return draft, _clusters_on(identity, draft, clusters), incidents
    incident = next(
        (one for one in incidents if one.ref == draft.incident), incidents[0] if incidents else None
    )
    touched = {cluster.pk for cluster in incident.clusters.all()} if incident else set()
    draft = replace(draft, incident=incident.ref if incident else "")
    return draft, [cluster for cluster in clusters if cluster.pk in touched], incidents


def _clusters_on(identity: Identity, draft: Draft, clusters: list[Cluster]) -> list[Cluster]:
    named = workflow_for(identity, draft.workflow) if draft.workflow else None
    touched = set(named.clusters.values_list("pk", flat=True)) if named else set()
    return [cluster for cluster in clusters if cluster.pk in touched] or clusters


def clusters_of(terms: Sequence[Terms]) -> list[Cluster]:
    """Return the clusters of the terms, each once, by name."""
    found = {cluster.pk: cluster for one in terms for cluster in one.clusters}
    return sorted(found.values(), key=lambda cluster: cluster.name)


def open_incidents(clusters: Sequence[Cluster]) -> list[Workflow]:
    """Return the open incidents on the clusters, the worst and newest first, with their clusters."""
    through = Workflow.clusters.through.objects.filter(cluster__in=clusters)
    found = Workflow.objects.open().filter(kind=WorkflowKind.INCIDENT, pk__in=through.values("workflow_id"))
    found = found.select_related("opened_by__owner").prefetch_related("clusters")
    return list(found.order_by("severity", "-pk")[:MOST])


class WorkflowWanted(NamedTuple):
    """Which work the policies of a choice take: whether some must be named, what fits, the kinds that Stint can open, and the
    sources that are wanted.
    """

    needed: bool
    fits: Q
    to_open: Sequence[WorkflowKind] = ()
    sources: Sequence[str] = ()


def _workflow_wanted(documents: Sequence[PolicyDocument], kind: str) -> WorkflowWanted:
    """Return which work is wanted. Where one policy takes any, and for breaking glass, any may be named and none must be."""
    wanted = [one.workflow for one in documents if one.workflow]
    if not documents or len(wanted) < len(documents) or kind not in (RequestKind.PLANNED, RequestKind.QUICK):
        return WorkflowWanted(False, Q())
    own = {kind for terms in wanted if terms.sources is None or OWN in terms.sources for kind in terms.kinds}
    fits = reduce(or_, (fitting(terms) for terms in wanted))
    sources = sorted({name for terms in wanted for name in terms.sources or ()})
    return WorkflowWanted(True, fits, [kind for kind in PREFIX if kind in own], sources)


def terms_of(identity: Identity) -> list[Terms]:
    """Return on what terms the identity may ask, policy by policy."""
    return _terms(identity, AccessPolicy.objects.all())


def on_call_terms(identity: Identity) -> list[Terms]:
    """Return those of the terms that put the identity on call for incidents; home asks for everybody, and most have none."""
    found = AccessPolicy.objects.exclude(document__incident=None)
    return on_call(_terms(identity, found), group_names(identity))


def _terms(identity: Identity, policies: QuerySet[AccessPolicy]) -> list[Terms]:
    """Return those of the policies under which the identity may ask, each with the clusters that it may ask for."""
    pairs = set(
        requestable(identity).filter(accesspolicy__in=policies).values_list("accesspolicy", "cluster")
    )
    published = CommandSetVersion.objects.filter(published_at__isnull=False).order_by("-number")
    targets = Prefetch("targets", Target.objects.live())
    found = (
        AccessPolicy.objects.filter(pk__in={policy for policy, _ in pairs})
        .order_by("name")
        .prefetch_related(
            Prefetch("clusters", Cluster.objects.live().prefetch_related(targets)),
            Prefetch(
                "command_sets", CommandSet.objects.live().prefetch_related(Prefetch("versions", published))
            ),
        )
    )
    return [
        Terms(
            name=policy.name,
            document=document,
            clusters=[one for one in policy.clusters.all() if (policy.pk, one.pk) in pairs],
            versions=[one for command_set in policy.command_sets.all() if (one := command_set.published)],
        )
        for policy in found
        if (document := facts.readable_document(policy))
    ]


def on_call(terms: Sequence[Terms], groups: frozenset[str]) -> list[Terms]:
    """Return the terms that put one of the groups on call for incidents."""
    return [
        one for one in terms if one.document.incident and groups.intersection(one.document.incident.on_call)
    ]


def _breakable(terms: list[Terms], groups: frozenset[str]) -> list[Terms]:
    return [
        one
        for one in terms
        if one.document.break_glass and groups.intersection(one.document.break_glass.groups)
    ]


def sets_on(terms: Sequence[Terms], cluster: Cluster, kind: str) -> list[SetOption]:
    found: dict[str, SetOption] = {}
    fitting = commands_of(cluster.kind)
    for one in terms:
        if cluster not in one.clusters:
            continue
        for version in one.versions:
            if version.document["kind"] != fitting:
                continue
            option = _option(version, one, kind)
            earlier = found.get(option.name)
            cheaper = earlier is None or option.approvals < earlier.approvals
            names = (*(earlier.policies if earlier else ()), one.name)
            found[option.name] = replace(option if cheaper or earlier is None else earlier, policies=names)
    return sorted(found.values(), key=lambda option: (option.approvals, option.name))


def _option(version: CommandSetVersion, terms: Terms, kind: str) -> SetOption:
    limits = {
        RequestKind.BREAK_GLASS: terms.document.break_glass,
        RequestKind.INCIDENT: terms.document.incident,
    }
    limit = limits.get(RequestKind(kind)) or terms.document
    workflow = terms.document.workflow
    clauses = clauses_for(
        terms.document, break_glass=kind == RequestKind.BREAK_GLASS, incident=kind == RequestKind.INCIDENT,
        vouched=workflow is not None and workflow.approvals == "none",
    )  # fmt: skip
    listed = version.document.get("commands", [])
    return SetOption(
        name=version.document["name"],
        summary=version.document["summary"],
        size=len(listed),
        destructive=sum(1 for command in listed if command.get("effect") == "destructive"),
        approvals=sum(clause.count for clause in clauses),
        longest=limit.max_duration,
        policies=(terms.name,),
    )


def _wanted_by_all(
    documents: Sequence[PolicyDocument], kind: str, wants: Callable[[PolicyDocument], bool]
) -> bool:
    """Whether every policy that could allow it wants something that only planned work and quick looks are asked for."""
    return kind in (RequestKind.PLANNED, RequestKind.QUICK) and bool(documents) and all(map(wants, documents))


def _documents_of(terms: Sequence[Terms], option: SetOption | None) -> list[PolicyDocument]:
    """Return the policies that cover the chosen set."""
    return [one.document for one in terms if option and one.name in option.policies]


def fields_of(
    terms: Sequence[Terms], option: SetOption, draft: Draft, workflow: Workflow | None = None
) -> list[ParameterField]:
    """Return the parameters of a command set as fields, with the values that the draft or the work gives them."""
    versions = (version for one in terms if one.name in option.policies for version in one.versions)
    chosen = next((version for version in versions if version.document["name"] == option.name), None)
    document = commands.document_of(chosen) if chosen else None
    return (
        [_field(name, type_, draft, workflow) for name, type_ in document.parameters.items()]
        if document
        else []
    )


def _field(name: str, type_: ParameterType, draft: Draft, workflow: Workflow | None) -> ParameterField:
    choices = type_.choices if isinstance(type_, Choice) else ()
    low, high = map(str, type_.bounds) if isinstance(type_, Int | Duration) else ("", "")
    from_workflow = workflow.fact(type_.source.removeprefix("workflow.")) if workflow and type_.source else ""
    usual = choices[0] if len(choices) == 1 else ""
    return ParameterField(
        name=name, kind=type_.kind, limits=type_.wanted, choices=choices, low=low, high=high,
        value=from_workflow if type_.source else draft.parameters.get(name, "") or usual,
        from_workflow=bool(type_.source),
    )  # fmt: skip


def _durations(longest: int, chosen: int) -> list[int]:
    fitting = [seconds for seconds in DURATIONS if seconds < longest][-3:]
    return sorted({*fitting, *([longest] if longest else []), *([chosen] if chosen else [])})


def usual_wait(policy: AccessPolicy) -> int | None:
    """Return the median of the seconds that the policy's last 50 decisions by people took; None when there are too few."""
    recent = AccessRequest.objects.order_by("-number").values("pk")[:RECENT]
    rows = (
        AccessRequest.objects.filter(pk__in=recent, policy=policy, decided_at__gt=F("created_at"))
        .filter(state__in=[RequestState.APPROVED, RequestState.DENIED])
        .order_by("-number")
        .values_list("created_at", "decided_at")[:DECIDED]
    )
    waits = [int((decided - asked).total_seconds()) for asked, decided in rows if decided]
    return int(median(waits)) if len(waits) >= FEWEST else None
