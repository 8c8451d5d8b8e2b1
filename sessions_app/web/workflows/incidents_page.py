"""Incidents: what is open, what the reader may get for it, and who holds access because of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Prefetch, Q, QuerySet

from accounts.models import Identity
from sessions_app.models import (
    AccessRequest,
    Cluster,
    CommandRun,
    Grant,
    GrantState,
    RequestKind,
    RequestState,
    RunState,
    Workflow,
    WorkflowKind,
    WorkflowState,
)
from sessions_app.policy.durations import show_duration
from sessions_app.queries.facts import is_own_doing
from sessions_app.queries.named import with_names
from sessions_app.web.requests.asking_page import open_incidents
from sessions_app.web.requests.fields import fields_of
from sessions_app.web.requests.set_options import SetOption, sets_on
from sessions_app.web.requests.terms import Terms, clusters_of, on_call_terms
from sessions_app.web.shell.forms import Draft
from sessions_app.web.shell.home_page import LIVE, Counts, run_counts

MOST = 50
RUNNING = (RunState.HELD, RunState.ALLOWED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Offer:
    """What one person may get for an incident: the set that fits best. ``ready`` means that nothing is left to choose or to
    give a reason for, ``own`` that they opened the incident themselves and nobody approves.
    """

    draft: Draft
    approvals: int
    ready: bool
    own: bool


@dataclass(frozen=True, slots=True)
class Call:
    """An open incident that the reader is on call for, what is offered, and what the reader holds because of it."""

    incident: Workflow
    offer: Offer | None
    grant: Grant | None


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends when an incident is closed, of all people."""

    grants: int
    people: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """One incident for one reader."""

    incident: Workflow
    call: Call | None
    holding: Sequence[Grant]
    ended: Sequence[Grant]
    requests: Sequence[AccessRequest]
    runs: Sequence[CommandRun]
    counts: dict[int, Counts]
    ending: Ending
    members: Sequence[Identity]
    may_join: bool
    facts: Sequence[tuple[str, str]]
    seen: str


def workflows(identity: Identity) -> QuerySet[Workflow]:
    """Return the work that the identity may see, with those of its clusters that it may see."""
    seen = Prefetch("clusters", Cluster.objects.visible_to(identity).order_by("name"))
    found = Workflow.objects.visible_to(identity).select_related(
        "opened_by", "closed_by", "source", "assignee"
    )
    return found.prefetch_related(seen)


def incidents(identity: Identity) -> QuerySet[Workflow]:
    """Return the incidents that the identity may see."""
    return workflows(identity).filter(kind=WorkflowKind.INCIDENT)


def open_ones(identity: Identity) -> list[Workflow]:
    """Return the open incidents, the worst and newest first, each with the grants that are in use because of it."""
    held = with_names(Grant.objects.visible_to(identity).filter(state__in=LIVE)).order_by("expires_at")
    found = incidents(identity).open().prefetch_related(Prefetch("grants", held, to_attr="in_use"))  # type: ignore[attr-defined]  # the queryset of the model
    return list(found.order_by("severity", "-pk")[:MOST])


def calls_for(identity: Identity) -> list[Call]:
    """Return the open incidents that the identity is on call for."""
    terms = on_call_terms(identity)
    found = open_incidents(clusters_of(terms)) if terms else []
    held = {
        grant.workflow_id: grant
        for grant in with_names(
            Grant.objects.not_ended().filter(holder=identity, workflow__in=found)
        ).exclude(state=GrantState.REVOKING)
    }
    return [Call(one, offer_for(identity, terms, one), held.get(one.pk)) for one in found]


def offer_for(identity: Identity, terms: Sequence[Terms], incident: Workflow) -> Offer | None:
    """Return what fits an incident best: what is ready to be asked for, needs the fewest approvals, has most commands."""
    own = is_own_doing(identity, incident)
    if own:
        terms = [one for one in terms if one.document.incident and one.document.incident.own != "forbid"]
    touched = {cluster.pk for cluster in incident.clusters.all()}
    offers = [
        (option.size, _offer(terms, incident, cluster, option, own=own and not option.approvals))
        for cluster in clusters_of(terms)
        if cluster.pk in touched
        for option in sets_on(terms, cluster, RequestKind.INCIDENT)
    ]
    ranked = sorted(offers, key=lambda pair: (not pair[1].ready, pair[1].approvals, -pair[0]))
    return ranked[0][1] if ranked else None


def _offer(
    terms: Sequence[Terms],
    incident: Workflow,
    cluster: Cluster,
    option: SetOption,
    *,
    own: bool,
) -> Offer:
    draft = Draft(
        kind=RequestKind.INCIDENT,
        cluster=cluster.name,
        command_set=option.name,
        duration=show_duration(option.longest),
        incident=incident.ref,
    )
    fields = fields_of(terms, option, draft, incident)
    filled = {field.name: field.value for field in fields}
    return Offer(
        Draft(
            kind=draft.kind, cluster=draft.cluster, command_set=draft.command_set, duration=draft.duration,
            incident=draft.incident, parameters=filled,
        ),
        option.approvals,
        all(filled.values()) and not own,
        own,
    )  # fmt: skip


def incident_page(incident: Workflow, reader: Identity) -> IncidentPage:
    """Return one incident with who holds what because of it, and what they ran."""
    grants = with_names(Grant.objects.visible_to(reader).filter(workflow=incident))
    holding = list(grants.exclude(state=GrantState.ENDED).order_by("expires_at")[:MOST])
    ended = list(grants.filter(state=GrantState.ENDED).order_by("-ended_at")[:MOST])
    runs = CommandRun.objects.visible_to(reader).filter(grant__in=Grant.objects.filter(workflow=incident))
    asked = with_names(AccessRequest.objects.visible_to(reader).filter(workflow=incident))
    call = next((one for one in calls_for(reader) if one.incident.pk == incident.pk), None)
    members = list(incident.members.order_by("username")[:MOST])
    page = IncidentPage(
        incident=incident,
        call=call,
        holding=holding,
        ended=ended,
        requests=list(asked.select_related("grant", "extends").order_by("-number")[:MOST]),
        runs=list(
            runs.select_related("grant__holder", "target", "decided_by").order_by("-tried_at", "-pk")[:MOST]
        ),
        counts=run_counts([grant.pk for grant in (*holding, *ended)]),
        ending=_ending(incident),
        members=members,
        may_join=incident.state == WorkflowState.OPEN
        and reader not in members
        and reader.pk != incident.assignee_id,
        facts=sorted(incident.facts.items()),
        seen="",
    )
    return _named(page)


def _ending(incident: Workflow) -> Ending:
    grants = Grant.objects.filter(workflow=incident).exclude(
        state__in=[GrantState.ENDED, GrantState.REVOKING]
    )
    counted = grants.aggregate(grants=Count("pk"), people=Count("holder", distinct=True))
    running = CommandRun.objects.filter(Q(grant__in=grants), state__in=RUNNING).count()
    waiting = AccessRequest.objects.filter(workflow=incident, state=RequestState.PENDING).count()
    return Ending(**counted, running=running, waiting=waiting)


def _named(page: IncidentPage) -> IncidentPage:
    """Add a short name of all that the live part shows, so that a poll without news changes nothing on the page."""
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
    parts += [(grant.pk, grant.version, grant.expires_at) for grant in (*page.holding, *page.ended)]
    parts += [(asked.pk, asked.state) for asked in page.requests]
    parts += [(run.pk, run.state) for run in page.runs]
    seen = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return IncidentPage(**{**{name: getattr(page, name) for name in page.__slots__}, "seen": seen})
