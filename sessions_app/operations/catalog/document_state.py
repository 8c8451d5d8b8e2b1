"""The state of a catalog document and of proposals to change it."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    CommandSetVersion,
    Proposal,
    ProposalState,
    TrustPolicy,
    WebhookEndpoint,
    WorkflowSource,
)
from sessions_app.operations.catalog.catalog_rows import cluster_data
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.webhook_endpoint import endpoint_data
from sessions_app.operations.workflows.workflow_sources import shown_document
from sessions_app.policy.digests import digest_of

Kind = Literal[
    "groups", "clusters", "command-sets", "webhooks", "policies", "workflow-sources", "trust-policies"
]
NOUN: dict[Kind, str] = {
    "groups": "group",
    "clusters": "cluster",
    "command-sets": "command set",
    "webhooks": "webhook",
    "policies": "policy",
    "workflow-sources": "workflow source",
    "trust-policies": "trust policy",
}
# The page of each kind that can be proposed.
PAGES: dict[Kind, str] = {
    "policies": "/policies/{}/",
    "clusters": "/clusters/{}/",
    "command-sets": "/command-sets/{}/",
}


class ProposalOver(Conflict):
    """The proposal was published, denied or withdrawn, or its document changed. Propose the change again."""

    code = "proposal_over"


def state_of(kind: Kind, name: str) -> str:
    """Return a digest of the object that the catalog stores under the name; empty if there is no such object.

    The digest covers a command set's draft.
    """
    if kind == "clusters":
        cluster = Cluster.objects.live().filter(name=name).first()
        return digest_of(cluster_data(cluster)) if cluster else ""
    if kind == "workflow-sources":
        source = WorkflowSource.objects.live().filter(name=name).first()
        return digest_of(shown_document(source)) if source else ""
    if kind == "policies":
        return AccessPolicy.objects.live().filter(name=name).values_list("digest", flat=True).first() or ""
    if kind == "trust-policies":
        return TrustPolicy.objects.live().filter(name=name).values_list("digest", flat=True).first() or ""
    if kind == "webhooks":
        endpoint = WebhookEndpoint.objects.live().filter(name=name).first()
        return digest_of(endpoint_data(endpoint)) if endpoint else ""
    if kind == "command-sets":
        versions = CommandSetVersion.objects.filter(
            command_set__name=name, command_set__removed_at__isnull=True
        )
        found = list(versions.order_by("-published_at", "-number").values_list("digest", "accepted")[:2])
        return digest_of(found) if found else ""
    members = (
        Identity.objects.filter(groups__name=name).order_by("username").values_list("username", flat=True)
    )
    return digest_of(list(members))


def standing_of(proposal: Proposal, now: dt.datetime) -> ProposalState:
    """Return the state of a proposal. A proposal expires after a few days, or when its document changes."""
    state = ProposalState(proposal.state)
    if state is not ProposalState.PENDING:
        return state
    kind: Kind = proposal.kind  # type: ignore[assignment]  # written from one
    stands = proposal.lapses_at > now and proposal.based_on == state_of(kind, proposal.name)
    return state if stands else ProposalState.LAPSED


def pending_proposal(*, proposal_id: int, actor: Identity, now: dt.datetime) -> Proposal:
    """Return a pending proposal for a document that the actor administers, and lock the proposal until the
    end of the transaction.

    Raises NotFound, ProposalOver.
    """
    proposal = (
        Proposal.objects.visible_to(actor)
        .select_for_update(no_key=True, of=("self",))
        .select_related("proposed_by__owner")
        .filter(pk=proposal_id)
        .first()
    )
    if proposal is None:
        raise NotFound("Proposal not found.")
    if (state := standing_of(proposal, now)) is not ProposalState.PENDING:
        raise ProposalOver(
            f"This proposal for {proposal.name} is already {state.label.lower()}.",
            hint="If the change is still wanted, edit the document again.",
        )
    return proposal


def settle_proposal(
    *,
    proposal: Proposal,
    state: ProposalState,
    event: Event,
    actor: Identity,
    now: dt.datetime,
    comment: str = "",
) -> None:
    """Store the outcome of a locked proposal, and who decided it.

    Notify the proposer, unless it was the proposer who decided.
    """
    proposal.state, proposal.decided_by, proposal.decided_at = state, actor, now
    proposal.comment = comment
    proposal.save(update_fields=["state", "decided_by", "decided_at", "comment"])
    record_proposal(proposal, event, actor, now)
    if proposal.proposed_by != actor:
        kind: Kind = proposal.kind  # type: ignore[assignment]  # written from one
        notify(
            people=[proposal.proposed_by],
            event=event,
            now=now,
            path=PAGES[kind].format(proposal.name),
            subject=f"{actor} {state.label.lower()} your change to {proposal.name}",
            body=comment,
        )


def record_proposal(proposal: Proposal, event: Event, actor: Identity, now: dt.datetime) -> None:
    """Record the outcome of a proposal, under the name of its document."""
    kind: Kind = proposal.kind  # type: ignore[assignment]  # written from one
    record(
        event=event,
        actor=actor_of(actor),
        object_type=NOUN[kind].replace(" ", "_"),
        object_ref=proposal.name,
        now=now,
        data={
            "proposal": proposal.pk,
            "proposed_by": proposal.proposed_by.username,
            "wider": proposal.wider,
            "digest": digest_of([proposal.source, proposal.accepted]),
            "comment": proposal.comment,
        },
    )
