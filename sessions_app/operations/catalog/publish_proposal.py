"""Publish a proposed version of a document."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import replace

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Forbidden, NotFound, StintError
from sessions_app.models import Proposal, ProposalState
from sessions_app.operations.catalog.catalog_names import check_names
from sessions_app.operations.catalog.catalog_plan import Plan, one_change
from sessions_app.operations.catalog.document_state import (
    Kind,
    ProposalOver,
    pending_proposal,
    settle_proposal,
)
from sessions_app.operations.catalog.save_document import grants_of, wider_than_stored, write_documents
from sessions_app.policy.catalog import Catalog, read_one
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog.widening import may_not_publish


class MayNotPublish(Forbidden):
    """Another administrator must publish or deny the proposal. The message gives the reason."""

    code = "may_not_publish"


def publish_proposal(
    *,
    proposal_id: int,
    actor: Identity,
    now: dt.datetime,
    told: Collection[str] | None = None,
    plan_only: bool = False,
) -> Plan:
    """Replace the document with the version that another administrator proposed, and return the plan.

    ``told`` lists the grants that the caller was shown as ending. ``plan_only`` changes nothing.

    The document must be unchanged since the proposal, and the proposer must still administer the document.
    Raises NotFound, MayNotPublish, ProposalOver, MoreWouldEnd.
    """
    asked = Proposal.objects.visible_to(actor).filter(pk=proposal_id).first()
    if asked is None:
        raise NotFound("Proposal not found.")
    kind: Kind = asked.kind  # type: ignore[assignment]  # written from one
    with one_change(
        actor=actor_of(actor), now=now, plan_only=plan_only, told=told, **grants_of(kind, asked.name)
    ) as plan:
        proposal = pending_proposal(proposal_id=proposal_id, actor=actor, now=now)
        if why := may_not_publish(proposal, actor):
            raise MayNotPublish(why, hint="Ask another administrator to decide, or withdraw the proposal.")
        try:
            catalog = _document(kind, proposal)
            check_names(catalog)
            write_documents(catalog, plan, actor, now)
        except (DocumentError, StintError) as error:
            raise ProposalOver(
                f"The proposal for {proposal.name} can no longer be published: {error}",
                hint="Deny the proposal, and propose the change again.",
            ) from error
        settle_proposal(
            proposal=proposal,
            state=ProposalState.PUBLISHED,
            event=Event.PROPOSAL_PUBLISHED,
            actor=actor,
            now=now,
        )
    return plan


def _document(kind: Kind, proposal: Proposal) -> Catalog:
    """Return the proposed document as a catalog. Raises an error if the proposer can no longer change the
    stored document.
    """
    proposer = Identity.objects.active().filter(pk=proposal.proposed_by_id).first()
    if proposer is None:
        raise Forbidden(f"{proposal.proposed_by} is disabled.")
    catalog = read_one(kind, proposal.source)
    wider_than_stored(kind, catalog, proposer)
    sets = {
        name: replace(file, accept={**file.accept, **proposal.accepted})
        for name, file in catalog.command_sets.items()
    }
    return replace(catalog, command_sets=sets)
