"""Workflows, especially incidents: those that are open, and the people who have access for them."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Prefetch, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.urls import reverse

from accounts.models import Identity
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import (
    AccessRequest,
    Cluster,
    CommandRun,
    Grant,
    GrantQuerySet,
    GrantState,
    RequestState,
    RunState,
    Workflow,
    WorkflowKind,
    WorkflowState,
)
from sessions_app.queries.gateways.watches import watchable
from sessions_app.queries.grants.counts import LIVE, Counts, run_counts
from sessions_app.queries.grants.end_preview import endings, goes_on
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.statements.composed import Listed, Tabled, among, first_of
from sessions_app.queries.statements.related_names import with_names
from sessions_app.web.display.states import Linked, Look, plural, severity_look, workflow_state
from sessions_app.web.forms.suspend_form import SuspendForm, suspend_form
from sessions_app.web.workflows.on_call import Call, calls_for, offered

MOST = 50
# The maximum number of names in one panel. Further names are counted.
NAMED = 8


@dataclass(frozen=True, slots=True)
class Ending:
    """The effects of closing an incident."""

    grants: int
    people: int
    running: int
    waiting: int

    @property
    def says(self) -> str:
        """A sentence about the access that ends."""
        if not self.grants:
            return "No one has access for this incident."
        return (
            f"{plural(self.grants, 'grant')} held by {plural(self.people, 'person,people')}"
            f" {_end(self.grants)} immediately."
        )

    @property
    def also(self) -> Sequence[str]:
        """The other effects, one sentence each."""
        found = []
        if self.running:
            found.append(
                f"{plural(self.running, 'running or held command')} {_are(self.running)} terminated."
            )
        if self.waiting:
            found.append(
                f"{plural(self.waiting, 'pending request')} {'expires' if self.waiting == 1 else 'expire'}."
            )
        return [*found, "The incident can't be reopened."]


def _end(count: int) -> str:
    return "ends" if count == 1 else "end"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


@dataclass(frozen=True, slots=True)
class Holding:
    """One grant for an incident, and the activity under it: `3 commands, 1 refused`.

    ``suspending`` is the form that suspends the grant; None if the reader can't suspend it now.
    """

    grant: Grant
    did: str
    suspending: SuspendForm | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempted command, with the reason if it was refused."""

    run: CommandRun
    refusal: str

    @property
    def watchable(self) -> bool:
        """Whether the command's output can be watched live."""
        return watchable(self.run)


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """One workflow as one reader sees it. ``offer`` describes what the button does for on-call responders."""

    incident: Workflow
    look: Look
    severity: Look | None
    is_open: bool
    is_incident: bool
    call: Call | None
    may_choose: bool
    offer: str
    holding: Sequence[Holding]
    ended: Sequence[Holding]
    requests: Sequence[AccessRequest]
    runs: Sequence[Tried]
    counts: dict[int, Counts]
    ending: Ending
    clusters: Sequence[Linked]
    members: Sequence[Identity]
    may_join: bool
    facts: Sequence[tuple[str, str]]
    seen: str

    @property
    def title(self) -> str:
        """The workflow's reference and title."""
        return f"{self.incident.ref}: {self.incident.title}"

    @property
    def kind(self) -> str:
        """The kind of workflow, for use within a sentence."""
        return str(self.incident.get_kind_display()).lower()

    @property
    def has_details(self) -> bool:
        """Whether the workflow has details besides its title."""
        work = self.incident
        return bool(work.starts_at or work.ends_at or work.assignee or work.source or self.members)

    @property
    def has_access(self) -> bool:
        """Whether any identity has or had access for the workflow."""
        return bool(self.holding or self.ended)

    @property
    def crumbs(self) -> Sequence[Linked]:
        """The breadcrumbs."""
        own = self.is_incident and not self.incident.source
        first = (
            Linked("Incidents", reverse("incidents")) if own else Linked("Workflows", reverse("workflows"))
        )
        return [first, Linked(self.incident.ref)]

    @property
    def box(self) -> str:
        """The CSS classes of the panel at the top."""
        if not self.is_open:
            return "card"
        return "glassbox" if self.is_incident else "glassbox calm"

    @property
    def commands_title(self) -> str:
        """The heading above the commands run for the workflow."""
        return "Commands, live" if self.is_open else "Commands"


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """One open incident in the list, with the grants in use for it. ``more`` is the number of grants that are
    not listed.
    """

    incident: Workflow
    where: str
    call: Call | None
    holding: Sequence[Grant]
    more: int


def workflows(identity: Identity) -> QuerySet[Workflow]:
    """Return the workflows that the identity can see, each with the visible clusters."""
    seen = Prefetch("clusters", Cluster.objects.visible_to(identity).order_by("name"))
    found = Workflow.objects.visible_to(identity).select_related(
        "opened_by", "closed_by", "source", "assignee"
    )
    return found.prefetch_related(seen)


def incidents(identity: Identity) -> QuerySet[Workflow]:
    """Return the incidents that the identity can see."""
    return workflows(identity).filter(kind=WorkflowKind.INCIDENT)


def open_ones(identity: Identity) -> list[OpenIncident]:
    """Return the open incidents with the grants in use for them, most severe and newest first."""
    held = with_names(Grant.objects.visible_to(identity).filter(state__in=LIVE)).order_by("expires_at")
    found = incidents(identity).open().prefetch_related(Prefetch("grants", held, to_attr="in_use"))  # type: ignore[attr-defined]  # the queryset of the model
    calls = {call.incident.pk: call for call in calls_for(identity)}
    return [
        OpenIncident(one, where(one), calls.get(one.pk), one.in_use[:NAMED], max(0, len(one.in_use) - NAMED))
        for one in found.order_by("severity", "-pk")[:MOST]
    ]


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One workflow in the list of all kinds. ``note`` is shown below the state."""

    workflow: Workflow
    look: Look
    says: str
    where: str
    owner: str
    note: str


def workflow_row(workflow: Workflow) -> WorkflowRow:
    """Convert a workflow to a row of the list."""
    severity = f" {workflow.severity}" if workflow.severity else ""
    owner = workflow.assignee or (workflow.source.name if workflow.source else "")
    return WorkflowRow(
        workflow=workflow,
        look=workflow_state(workflow),
        says=f"{workflow.get_kind_display()}{severity}: {workflow.title}",
        where=where(workflow),
        owner=str(owner or (f"opened by {workflow.opener}" if workflow.opener else "")),
        note=(
            "Can't be read right now" if workflow.read_error and workflow.state == WorkflowState.OPEN else ""
        ),
    )


def heading(opened: Sequence[OpenIncident]) -> str:
    """Return the number of open incidents as a heading."""
    return plural(len(opened), "open incident") if opened else "No open incidents"


def where(workflow: Workflow) -> str:
    """Return the names of a workflow's visible clusters."""
    return ", ".join(cluster.name for cluster in workflow.clusters.all())


def incident_page(incident: Workflow, reader: Identity, now: dt.datetime) -> IncidentPage:
    """Return one incident with the holders of access for it, and the commands they ran."""
    holding = _HOLDING(reader, now, incident=incident.pk)
    ended = _ENDED(reader, now, incident=incident.pk)
    call = next((one for one in calls_for(reader) if one.incident.pk == incident.pk), None)
    counts = run_counts([grant.pk for grant in (*holding, *ended)])
    members = _MEMBERS(incident.pk)
    is_open = incident.state == WorkflowState.OPEN
    page = IncidentPage(
        incident=incident,
        look=workflow_state(incident),
        severity=severity_look(incident.severity),
        is_open=is_open,
        is_incident=incident.kind == WorkflowKind.INCIDENT,
        call=call,
        may_choose=bool(call and call.offer and not call.grant),
        offer=offered(call) if call and is_open and not call.grant else "",
        holding=_holding(holding, reader, counts, now),
        ended=[Holding(grant, _did(grant, counts.get(grant.pk))) for grant in ended],
        requests=_ASKED(reader, now, incident=incident.pk),
        runs=[
            Tried(run, run.reason if run.state == RunState.REFUSED else "")
            for run in _RUNS(reader, now, incident=incident.pk)
        ],
        counts=counts,
        ending=_ending(incident, reader, now),
        clusters=[Linked(one.name, reverse("cluster", args=[one.name])) for one in incident.clusters.all()],
        members=members,
        may_join=is_open and reader not in members and reader.pk != incident.assignee_id,
        facts=sorted(incident.facts.items()),
        seen="",
    )
    return _named(page)


def _grants(reader: Identity, incident: int) -> GrantQuerySet:
    return Grant.objects.visible_to(reader).filter(workflow=incident)


def _runs(reader: Identity, _: dt.datetime, incident: int) -> QuerySet[CommandRun]:
    tried = CommandRun.objects.filter(grant__in=_grants(reader, incident))
    first = first_of(tried, "-tried_at", "-pk", most=MOST)
    return first.select_related("grant__holder", "grant__cluster", "target", "order")


def _asked(reader: Identity, _: dt.datetime, incident: int) -> QuerySet[AccessRequest]:
    found = with_names(AccessRequest.objects.visible_to(reader).filter(workflow=incident))
    return found.select_related("grant", "extends").order_by("-number")[:MOST]


_HOLDING = Listed(
    lambda reader, _, incident: with_names(
        _grants(reader, incident).exclude(state=GrantState.ENDED).order_by("expires_at")[:MOST]
    ),
    incident=int,
)
_ENDED = Listed(
    lambda reader, _, incident: with_names(
        _grants(reader, incident).filter(state=GrantState.ENDED).order_by("-ended_at")[:MOST]
    ),
    incident=int,
)
_RUNS = Listed(_runs, incident=int)
_ASKED = Listed(_asked, incident=int)
_MEMBERS = Rows(
    Identity,
    tail=f"""
JOIN sessions_app_workflow_members ON identity_id = accounts_identity.id WHERE workflow_id = %s
ORDER BY username LIMIT {MOST}
""",
)
_ENDABLE = Listed(
    lambda reader, _, grants: Grant.objects.endable_by(reader).filter(among("pk", grants)).only("pk"),
    grants=list,
)


def _holding(
    grants: Sequence[Grant], reader: Identity, counts: Mapping[int, Counts], now: dt.datetime
) -> list[Holding]:
    held = [one.pk for one in grants]
    endable = {one.pk for one in _ENDABLE(reader, now, grants=held)} if held else set()
    ends = endings([one for one in grants if one.pk in endable], now)
    return [
        Holding(
            grant,
            _did(grant, counts.get(grant.pk)),
            suspend_form(grant, reader, now, ends[grant.pk]) if grant.pk in endable else None,
        )
        for grant in grants
    ]


def _did(grant: Grant, counts: Counts | None) -> str:
    if counts:
        return plural(counts.runs, "command") + (f", {counts.refused} refused" if counts.refused else "")
    return "commands not observed here" if observed_under(grant) == "nothing" else "no commands"


def _ending(incident: Workflow, reader: Identity, now: dt.datetime) -> Ending:
    ((grants, people, running, waiting),) = _ENDING(reader, now, incident=incident.pk)
    return Ending(grants, people, running, waiting)


def _counted(_: Identity, now: dt.datetime, incident: int) -> QuerySet[Workflow, tuple[int, ...]]:
    """Return the values of `Ending`."""
    ends = Grant.objects.filter(workflow=incident).exclude(state__in=[GrantState.ENDED, GrantState.REVOKING])
    running = CommandRun.objects.filter(goes_on(now), grant__in=ends.values("pk"))
    waiting = AccessRequest.objects.filter(workflow=incident, state=RequestState.PENDING)
    people = Count("holder", distinct=True)
    counts = (_count(ends), _count(ends, people), _count(running), _count(waiting))
    return Workflow.objects.filter(pk=incident).values_list(*counts)


def _count(rows: QuerySet[Any], what: Count | None = None) -> Coalesce:
    whole = rows.order_by().values(whole=Value(1)).annotate(count=what or Count("pk"))
    return Coalesce(Subquery(whole.values("count")), 0)


_ENDING = Tabled(_counted, incident=int)


def _named(page: IncidentPage) -> IncidentPage:
    """Add a hash of everything that the live part shows, so that polling updates the page only after
    changes.
    """
    workflow = page.incident
    parts: list[object] = [
        workflow.state,
        page.ending,
        page.counts,
        workflow.read_error,
        workflow.facts,
        workflow.ends_at,
    ]
    parts += [workflow.read_at.replace(second=0, microsecond=0) if workflow.read_at else None]
    parts += [member.pk for member in page.members]
    held = [one.grant for one in (*page.holding, *page.ended)]
    parts += [(grant.pk, grant.version, grant.expires_at, grant.held_at) for grant in held]
    parts += [(asked.pk, asked.state) for asked in page.requests]
    parts += [(one.run.pk, one.run.state) for one in page.runs]
    seen = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return replace(page, seen=seen)
