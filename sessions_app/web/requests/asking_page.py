"""The request form: what can be requested, the required approvals, and the fields that depend on other
choices.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import Identity
from accounts.queries import group_names
from sessions_app.models import (
    OWN,
    Cluster,
    RequestKind,
    Target,
    Workflow,
    WorkflowKind,
)
from sessions_app.operations.workflows.open_workflow import PREFIX
from sessions_app.policy.durations import show_duration
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.windows import is_cut_off, upcoming
from sessions_app.queries.workflows.doings import doing_of
from sessions_app.queries.workflows.workflows import (
    fitting,
    is_unread,
    open_workflows,
    sources_for,
    takes,
    workflow_for,
)
from sessions_app.web.display.states import in_order
from sessions_app.web.forms.request_draft import KINDS, Draft
from sessions_app.web.requests.cluster_choices import (
    FEW,
    ClusterChoices,
    cluster_choices,
    recent_clusters,
)
from sessions_app.web.requests.parameter_fields import ParameterField, fields_of
from sessions_app.web.requests.set_options import SetOption, sets_on
from sessions_app.web.requests.terms import Terms, breakable, clusters_of, on_call, terms_of
from sessions_app.web.templatetags.times import when

DURATIONS = (900, 1800, 3600, 7200, 14400, 28800, 86400)
USUAL = 3600
QUICK = 1800
MOST = 20


# The names that errors and rules use for the workflow field and the start field.
_OF_WORKFLOW = (
    "workflow,workflow_open,workflow_on_cluster,workflow_fits,role_in_workflow,workflow_fresh,"
    "incident_open,incident_on_cluster"
)
_OF_START = "day,starts_at,start,in_window,not_frozen,within_workflow,at_once"


@dataclass(frozen=True, slots=True)
class AskPage:
    """The form for one draft. ``windows`` contains pairs of start and end; None means that any time is
    allowed.
    """

    draft: Draft
    now: dt.datetime
    clusters: Sequence[Cluster]
    where: ClusterChoices
    sets: Sequence[SetOption]
    targets: Sequence[Target]
    parameters: Sequence[ParameterField]
    durations: Sequence[int]
    windows: Sequence[tuple[dt.datetime, dt.datetime]] | None
    ticket_required: bool
    reason_required: bool
    kinds: Sequence[RequestKind]
    # The workflows that can be linked to the request.
    incidents: Sequence[Workflow]
    workflow_needed: bool = False
    # The kinds of workflows that Stint can open, if the request needs one.
    kinds_to_open: Sequence[WorkflowKind] = ()
    sources_to_ask: Sequence[str] = ()
    # The reference of the workflow, if the workflow starts later.
    begins_with: str = ""
    # The sources whose workflows can be linked by reference, and whether the linked workflow must be read
    # first.
    sources: Sequence[str] = ()
    unread: bool = False

    @property
    def price(self) -> str:
        """The approvals that the selected command set needs, and its longest duration."""
        return next((option.price for option in self.sets if option.name == self.draft.command_set), "")

    @property
    def names(self) -> str:
        """The form's fields in order, each with its names in errors and rules."""
        listed = self.incidents or (not self.for_incident and (self.workflow_needed or self.draft.incident))
        workflow = "other_workflow" if self.draft.other_workflow else "incident" if listed else ""
        shown = (
            "cluster" if self.clusters else "",
            f"{workflow}:{_OF_WORKFLOW}" if workflow else "",
            "command_set" if self.sets else "",
            *(f"p.{field.name}:parameters.{field.name}" for field in self.parameters),
            "target:targets,has_targets" if self.chooses_targets else "",
            f"day:{_OF_START} hour" if self.chooses_start else "",
            "other_duration:duration,max_duration" if self.sets else "",
            "ticket reason bookmark:name,query",
        )
        return " ".join(shown)

    @property
    def still_open(self) -> list[str]:
        """The parameters that have no value yet."""
        return [field.name for field in self.parameters if not field.value]

    @property
    def workflow_is_elsewhere(self) -> bool:
        """Whether the linked workflow is not in the list of choices."""
        return bool(self.draft.incident) and self.draft.incident not in {one.ref for one in self.incidents}

    @property
    def for_incident(self) -> bool:
        """Whether the request is for an incident. The incident is then chosen first."""
        return self.draft.kind == RequestKind.INCIDENT

    @property
    def chooses_workflow(self) -> bool:
        """Whether a workflow can be linked and the list of workflows isn't empty."""
        some = self.incidents or self.workflow_needed or self.draft.incident
        return not self.for_incident and bool(self.clusters) and bool(some)

    @property
    def none_to_choose(self) -> bool:
        """Whether a workflow must be linked, but no suitable workflow is open."""
        return self.workflow_needed and not self.incidents

    @property
    def workflows_to_open(self) -> list[tuple[WorkflowKind, str]]:
        """The kinds of workflows that the requester can open in Stint, each with its label: `Open an
        incident`.
        """
        return [(kind, f"Open {_article(kind.label)} {kind.label.lower()}") for kind in self.kinds_to_open]

    @property
    def opened_in(self) -> str:
        """The systems outside Stint where a suitable workflow can be opened."""
        return " or ".join(self.sources_to_ask) or "its own system"

    @property
    def chooses_targets(self) -> bool:
        """Whether the cluster has more than one target."""
        return len(self.targets) > 1

    @property
    def chooses_start(self) -> bool:
        """Whether the request can have its own start time."""
        return self.draft.kind == RequestKind.PLANNED

    @property
    def open_window(self) -> str | SafeString:
        """A sentence about the window that is open now; empty if none is."""
        period = next((one for one in self.windows or () if one[0] <= self.now), None)
        if period is None:
            return ""
        cut_off = is_cut_off(period, self.now)
        return "A window is open." if cut_off else format_html("A window is open until {}.", when(period[1]))

    @property
    def next_windows(self) -> Sequence[tuple[dt.datetime, dt.datetime]]:
        """The later windows."""
        return [pair for pair in self.windows or () if pair[0] > self.now]

    @property
    def default_start(self) -> str:
        """When access starts by default: `on approval`."""
        return f"with {self.begins_with}" if self.begins_with else "on approval"

    @property
    def clusters_hint(self) -> str:
        """A sentence about the clusters in the list."""
        if self.for_incident:
            return "The incident's clusters."
        many = len(self.clusters)
        return "The only cluster you can request." if many == 1 else f"You can request {many} clusters."

    @property
    def target_choices(self) -> list[tuple[Target, bool]]:
        """The cluster's targets, each with whether the draft includes it."""
        chosen = self.draft.targets
        return [(target, chosen is None or target.name in chosen) for target in self.targets]


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"


def ask_page(identity: Identity, draft: Draft, now: dt.datetime) -> AskPage:
    """Return the form for a draft. Empty fields, except the cluster, get the first possible value."""
    every = terms_of(identity)
    groups = group_names(identity)
    by_kind = {
        RequestKind.BREAK_GLASS: breakable(every, groups),
        RequestKind.INCIDENT: on_call(every, groups),
    }
    usable = by_kind.get(RequestKind(draft.kind), every)
    if draft.policy:
        usable = [terms for terms in usable if terms.name == draft.policy]
    clusters = clusters_of(usable)
    unread = is_unread(identity, draft.workflow)
    draft, clusters, incidents = _for_workflow(identity, draft, clusters, unread=unread)
    cluster = _chosen(clusters, draft)
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
        command_set=chosen.name if chosen else "" if cluster else draft.command_set,
        parameters={field.name: field.value for field in fields} if cluster else draft.parameters,
        duration=draft.duration or _usual_duration(longest, draft.kind, planned, now),
    )
    return AskPage(
        draft=draft,
        now=now,
        clusters=clusters,
        where=_where(identity, draft, clusters, cluster),
        sets=sets,
        targets=targets,
        parameters=fields,
        durations=_durations(longest, draft.seconds),
        windows=upcoming(terms.windows, now, 4) if terms and terms.windows is not None else None,
        ticket_required=_wanted_by_all(documents, draft.kind, lambda one: one.ticket is not None),
        reason_required=draft.kind == RequestKind.BREAK_GLASS
        or (draft.kind == RequestKind.INCIDENT and not doing_of(identity, workflow).is_others)
        or _wanted_by_all(documents, draft.kind, lambda one: one.reason == "required"),
        kinds=[kind for kind in KINDS if by_kind.get(kind, every)],
        incidents=incidents,
        workflow_needed=wanted.needed,
        kinds_to_open=wanted.to_open,
        sources_to_ask=wanted.sources,
        begins_with=workflow.ref if workflow and workflow.starts_at and workflow.starts_at > now else "",
        sources=[source.name for source in sources_for(identity)],
        unread=unread and bool(sets),
    )


def _chosen(clusters: Sequence[Cluster], draft: Draft) -> Cluster | None:
    """Return the cluster that a draft names, or the only cluster with the draft's targets."""
    named = [one for one in clusters if one.name == draft.cluster]
    wanted = set(() if draft.cluster else draft.targets or ())
    having = [one for one in clusters if wanted and wanted <= {target.name for target in one.targets.all()}]
    fitting = named or having or clusters
    return fitting[0] if len(fitting) == 1 else None


def _where(
    identity: Identity, draft: Draft, clusters: Sequence[Cluster], chosen: Cluster | None
) -> ClusterChoices:
    recent = recent_clusters(identity) if len(clusters) > FEW else ()
    return cluster_choices(clusters, chosen, recent, draft.find)


def _planned(identity: Identity, draft: Draft) -> Workflow | None:
    """Return the workflow linked to a draft for planned access, if the workflow has a planned time."""
    workflow = (
        workflow_for(identity, draft.workflow)
        if draft.kind == RequestKind.PLANNED and draft.workflow
        else None
    )
    return workflow if workflow and workflow.starts_at and workflow.ends_at else None


def _meant_for(
    workflow: Workflow | None, sets: Sequence[SetOption], terms: Sequence[Terms]
) -> SetOption | None:
    """Return the first command set under a policy that accepts the workflow: it is the one that the
    requester most likely needs.
    """
    wanted = {one.name: one.document.workflow for one in terms if one.document.workflow}
    wanting = {name for name, needed in wanted.items() if workflow and takes(needed, workflow)}
    return next((option for option in sets if wanting.intersection(option.policies)), None)


def _usual_duration(longest: int, kind: str, planned: Workflow | None, now: dt.datetime) -> str:
    """Return the suggested duration: the rest of the workflow's planned time, or otherwise a common
    duration.
    """
    usual = QUICK if kind == RequestKind.QUICK else USUAL
    if planned and planned.starts_at and planned.ends_at and planned.ends_at > now:
        usual = int((planned.ends_at - max(planned.starts_at, now)).total_seconds())
        usual -= usual % 60
    return show_duration(min(longest, usual)) if longest and usual else ""


def _for_workflow(
    identity: Identity, draft: Draft, clusters: list[Cluster], *, unread: bool
) -> tuple[Draft, list[Cluster], list[Workflow]]:
    """Return the draft, the clusters that its workflow concerns, and the incidents to choose from."""
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


def open_incidents(clusters: Sequence[Cluster]) -> list[Workflow]:
    """Return the open incidents on the clusters, each with its clusters, most severe and newest first."""
    through = Workflow.clusters.through.objects.filter(cluster__in=clusters)
    found = Workflow.objects.open().filter(kind=WorkflowKind.INCIDENT, pk__in=through.values("workflow_id"))
    found = found.select_related("opened_by__owner", "source").prefetch_related("clusters")
    return list(found.order_by("severity", "-pk")[:MOST])


class WorkflowWanted(NamedTuple):
    """The workflows that the selected policies accept: whether one is required, which existing ones fit, and
    the kinds that Stint can open. ``sources`` lists the sources that the policies name.
    """

    needed: bool
    fits: Q
    to_open: Sequence[WorkflowKind] = ()
    sources: Sequence[str] = ()


def _workflow_wanted(documents: Sequence[PolicyDocument], kind: str) -> WorkflowWanted:
    """Return which workflows are accepted. A workflow is required only for planned and quick requests, and
    only if all policies require one. Otherwise any workflow can be linked.
    """
    wanted = [one.workflow for one in documents if one.workflow]
    if not documents or len(wanted) < len(documents) or kind not in (RequestKind.PLANNED, RequestKind.QUICK):
        return WorkflowWanted(False, Q())
    own = {kind for terms in wanted if terms.sources is None or OWN in terms.sources for kind in terms.kinds}
    fits = reduce(or_, (fitting(terms) for terms in wanted))
    sources = sorted({name for terms in wanted for name in terms.sources or ()})
    return WorkflowWanted(True, fits, [kind for kind in PREFIX if kind in own], sources)


def _wanted_by_all(
    documents: Sequence[PolicyDocument], kind: str, wants: Callable[[PolicyDocument], bool]
) -> bool:
    """Whether all policies that could allow the request have a requirement. It applies only to planned and
    quick requests.
    """
    return kind in (RequestKind.PLANNED, RequestKind.QUICK) and bool(documents) and all(map(wants, documents))


def _documents_of(terms: Sequence[Terms], option: SetOption | None) -> list[PolicyDocument]:
    """Return the documents of the policies that cover the selected command set."""
    return [one.document for one in terms if option and one.name in option.policies]


def _durations(longest: int, chosen: int) -> list[int]:
    fitting = [seconds for seconds in DURATIONS if seconds < longest][-3:]
    return sorted({*fitting, *([longest] if longest else []), *([chosen] if chosen else [])})
