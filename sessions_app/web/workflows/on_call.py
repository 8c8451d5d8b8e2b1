"""The access that on-call responders can get for an open incident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import Identity
from sessions_app.models import Cluster, Grant, GrantState, RequestKind, Workflow
from sessions_app.policy.durations import say_duration, show_duration
from sessions_app.policy.rules import Doing
from sessions_app.queries.statements.related_names import with_names
from sessions_app.queries.workflows.doings import Doings
from sessions_app.web.display.states import plural
from sessions_app.web.forms.request_draft import Draft
from sessions_app.web.requests.asking_page import open_incidents
from sessions_app.web.requests.parameter_fields import fields_of
from sessions_app.web.requests.set_options import SetOption, sets_on
from sessions_app.web.requests.terms import Terms, clusters_of, on_call_terms


@dataclass(frozen=True, slots=True)
class Offer:
    """Access that a person can get for an incident, with the best-matching command set.

    ``ready`` means that there is nothing to choose, and no reason is required. ``review`` is empty if no
    review is needed. Otherwise it is a sentence, without its period, about why another person must review the
    access: no approval is needed, and the person may have caused the incident.
    """

    draft: Draft
    approvals: int
    ready: bool
    review: str


@dataclass(frozen=True, slots=True)
class Call:
    """An open incident that the reader is on call for, the offered access, and the reader's grant for the
    incident.
    """

    incident: Workflow
    offer: Offer | None
    grant: Grant | None


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
    doings = Doings(found)
    return [Call(one, _offer_for(terms, one, doings.of(identity, one)), held.get(one.pk)) for one in found]


def _offer_for(terms: Sequence[Terms], incident: Workflow, doing: Doing) -> Offer | None:
    """Return the offer that matches an incident best.

    Ready offers come first, then those with the fewest approvals, then those with the most commands.
    """
    review = "" if doing.is_others else doing.said(incident.ref)
    if review:
        terms = [one for one in terms if one.document.incident and one.document.incident.own != "forbid"]
    touched = {cluster.pk for cluster in incident.clusters.all()}
    offers = [
        (option.size, _offer(terms, incident, cluster, option, "" if option.approvals else review))
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
    review: str,
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
            kind=draft.kind,
            cluster=draft.cluster,
            command_set=draft.command_set,
            duration=draft.duration,
            incident=draft.incident,
            parameters=filled,
        ),
        option.approvals,
        all(filled.values()) and not review,
        review,
    )


def offered(call: Call) -> str:
    """Return a description of what an incident's button does for an on-call responder."""
    offer = call.offer
    if offer is None:
        return "You're on call here."
    draft, approved = (
        offer.draft,
        f"after {plural(offer.approvals, 'approval')}" if offer.approvals else "immediately",
    )
    if offer.review:
        says = (
            f"{offer.review}, so give a reason. Access starts immediately, all approvers are notified, "
            "and someone else reviews it."
        )
    elif offer.ready:
        length = say_duration(draft.seconds)
        says = (
            f"The button requests {draft.command_set} on {draft.cluster} for {length}. It starts {approved}. "
            "All approvers are notified, and everything is recorded."
        )
    else:
        says = f"Choose the remaining values for {draft.command_set}. Access then starts {approved}."
    return f"You're on call here. {says}"
