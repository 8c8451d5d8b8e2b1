"""The proposed version of a document, for display on the document's page."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from accounts.models import Identity
from sessions_app.models import Proposal, ProposalState
from sessions_app.operations.catalog.document_state import Kind, standing_of
from sessions_app.queries.catalog.widening import may_not_publish
from sessions_app.web.display.states import line_style
from sessions_app.web.forms.documents import PLACES


@dataclass(frozen=True, slots=True)
class ShownProposal:
    """A pending proposal as one reader sees it."""

    proposal: Proposal
    may_decide: bool
    is_own: bool

    @property
    def wider(self) -> str:
        """The document keys whose new values may allow more."""
        return ", ".join(self.proposal.wider)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The diff lines, each with its style, without the file header."""
        return [(line_style(line), line) for line in self.proposal.diff[2:]]


def proposal_for(kind: Kind, name: str, reader: Identity, now: dt.datetime) -> ShownProposal | None:
    """Return the pending proposal for a document that the reader administers; None if there is none."""
    seen = Proposal.objects.visible_to(reader).filter(kind=kind, name=name, state=ProposalState.PENDING)
    proposal = seen.select_related("proposed_by__owner").first()
    if proposal is None or standing_of(proposal, now) is not ProposalState.PENDING:
        return None
    return ShownProposal(proposal, not may_not_publish(proposal, reader), proposal.proposed_by == reader)


def url_of(proposal: Proposal) -> str:
    """Return the address of the page of the proposed document."""
    return next(place.url_of(proposal.name) for place in PLACES.values() if place.kind == proposal.kind)
