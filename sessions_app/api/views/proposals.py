"""Proposals: versions of documents that wait for another administrator."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from broker.kernel import clock
from sessions_app.api import reads
from sessions_app.api.bodies import Nothing, Refusal
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByNumber
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.catalog import ProposalShape
from sessions_app.operations.catalog.publish_proposal import publish_proposal
from sessions_app.operations.catalog.refuse_proposal import refuse_proposal
from sessions_app.operations.catalog.withdraw_proposal import withdraw_proposal


class Proposals(Endpoint):
    """The proposals for documents that the caller administers."""

    @described(paged(ProposalShape), query=ByNumber)
    def get(self, request: Request) -> Response:
        """List the proposals for documents that you administer, newest first."""
        return self.page(reads.proposals(self.identity), ProposalShape, self.query(ByNumber))


class OneProposal(Endpoint):
    """One proposal."""

    @described(ProposalShape)
    def get(self, request: Request, proposal_id: int) -> Response:
        """Get a proposal with its difference."""
        return self.answer(ProposalShape, reads.proposal_of(self.identity, proposal_id))


class ProposalPublish(Endpoint):
    """Publishes a proposal."""

    @described(ProposalShape, body=Nothing)
    @once
    def post(self, request: Request, proposal_id: int) -> Response:
        """Publish another administrator's proposal. Access that the document no longer allows ends."""
        self.body(Nothing)
        publish_proposal(proposal_id=proposal_id, actor=self.identity, now=clock.now())
        return self.answer(ProposalShape, reads.proposal_of(self.identity, proposal_id))


class ProposalRefuse(Endpoint):
    """Denies a proposal."""

    @described(ProposalShape, body=Refusal)
    @once
    def post(self, request: Request, proposal_id: int) -> Response:
        """Deny another administrator's proposal. The document does not change."""
        sent = self.body(Refusal)
        refuse_proposal(proposal_id=proposal_id, actor=self.identity, now=clock.now(), **sent)
        return self.answer(ProposalShape, reads.proposal_of(self.identity, proposal_id))


class ProposalWithdraw(Endpoint):
    """Withdraws a proposal."""

    @described(ProposalShape, body=Nothing)
    @once
    def post(self, request: Request, proposal_id: int) -> Response:
        """Withdraw your own proposal."""
        self.body(Nothing)
        withdraw_proposal(proposal_id=proposal_id, actor=self.identity, now=clock.now())
        return self.answer(ProposalShape, reads.proposal_of(self.identity, proposal_id))
