"""Requesting access, and deciding on requests."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.api import reads
from sessions_app.api.bodies import NewRequest, NewVerdict, Nothing, Wanted
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import OfRequests
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.requests import OffersShape, PreviewShape, RequestDetailShape, RequestShape
from sessions_app.models import AccessRequest
from sessions_app.operations.requests import check_request as dry_run
from sessions_app.operations.requests.decide_request import decide_request
from sessions_app.operations.requests.request_access import read_its_workflow, request_access
from sessions_app.operations.requests.withdraw_approval import withdraw_approval
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.queries.requests import deciders
from sessions_app.queries.requests.offers import offers


class _Asking(Endpoint):
    scope: ClassVar[str] = Scope.REQUEST

    def ask(self) -> dry_run.NewRequest:
        """Return the body in the format that operations take."""
        sent = self.body(NewRequest)
        targets = sent.pop("targets")
        return dry_run.NewRequest(targets=None if targets is None else tuple(targets), **sent)

    def detail(self, request: AccessRequest, status: int = 200, **headers: str) -> Response:
        """Return one request as the caller sees it."""
        return self.answer(
            RequestDetailShape, reads.detail_of(request, self.identity), status=status, **headers
        )


class Requests(_Asking):
    """The requests that the caller may see."""

    @described(paged(RequestShape), query=OfRequests)
    def get(self, request: Request) -> Response:
        """List the requests that you can see, newest first."""
        query = self.query(OfRequests)
        return self.page(_fitting(reads.requests(self.identity), query, self), RequestShape, query)

    @described(RequestDetailShape, body=NewRequest, status=201)
    @once
    def post(self, request: Request) -> Response:
        """Request access. If the policy needs no approval, the grant is created immediately."""
        asked = request_access(requester=self.identity, ask=self.ask(), now=clock.now())
        return self.detail(asked, 201, Location=f"/api/v1/requests/{asked.ref}")


def _fitting(found: Any, query: dict[str, Any], view: Endpoint) -> Any:
    exact = {
        "state": query.get("state"),
        "kind": query.get("kind"),
        "cluster__name": query.get("cluster"),
        "requester__username": query.get("requester"),
        "requester": view.identity if query["mine"] else None,
    }
    found = found.filter(**{name: value for name, value in exact.items() if value is not None})
    if query["decidable"]:
        found = found.filter(pk__in=deciders.requests_for(view.identity, clock.now()).values("pk"))
    return found


class RequestPreview(_Asking):
    """Dry run of a request."""

    scope: ClassVar[str] = Scope.READ

    @described(PreviewShape, body=NewRequest)
    @once
    def post(self, request: Request) -> Response:
        """Return what would happen if you submitted the request, with the result of each rule. Reads the
        workflow from its source, and changes nothing else.
        """
        now = clock.now()
        ask = read_its_workflow(self.identity, dry_run.for_its_workflow(self.identity, self.ask()), now)
        preview = dry_run.check_request(requester=self.identity, ask=ask, now=now)
        return self.answer(PreviewShape, reads.outcome_of(preview))


class RequestOffers(Endpoint):
    """The access that the caller can request."""

    scope: ClassVar[str] = Scope.READ

    @described(OffersShape, body=Wanted)
    @once
    def post(self, request: Request) -> Response:
        """List the access you can request, fewest approvals first.

        Filter by a cluster or target, or by a command that should be allowed.
        """
        return self.answer(OffersShape, {"results": offers(identity=self.identity, **self.body(Wanted))})


class OneRequest(_Asking):
    """One request."""

    @described(RequestDetailShape)
    def get(self, request: Request, ref: str) -> Response:
        """Get a request with everything its approvers need."""
        return self.detail(reads.request_of(self.identity, ref))


class RequestVerdicts(_Asking):
    """Verdicts on a request."""

    scope: ClassVar[str] = Scope.DECIDE

    @described(RequestDetailShape, body=NewVerdict)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Approve or deny exactly the request that you read.

        An approval can reduce the scope, but never widen it.
        """
        sent = self.body(NewVerdict)
        narrowing = sent.pop("narrowing")
        if narrowing:
            narrowing = _by_id(reads.seen_request(self.identity, ref), narrowing)
        decided = decide_request(
            request_id=reads.any_request(ref),
            approver=self.identity,
            narrowing=narrowing,
            now=clock.now(),
            **sent,
        )
        return self.detail(decided)

    @described(RequestDetailShape)
    def delete(self, request: Request, ref: str) -> Response:
        """Withdraw your approval, within ten seconds and if access has not started."""
        withdraw_approval(request_id=reads.any_request(ref), approver=self.identity, now=clock.now())
        return self.detail(reads.request_of(self.identity, ref))


def _by_id(request: AccessRequest, narrowing: dict[str, Any]) -> dict[str, Any]:
    """Return a narrowing with target ids instead of names, as verdicts store it. Raises InvalidInput."""
    kept = {name: value for name, value in narrowing.items() if value is not None}
    if "targets" in kept:
        ids = dict(request.cluster.targets.filter(pk__in=request.targets).values_list("name", "pk"))
        if unknown := [name for name in kept["targets"] if name not in ids]:
            raise InvalidInput(
                "You can't add targets that were not requested.",
                fields={"narrowing.targets": [f"Unknown: {', '.join(unknown)}."]},
            )
        kept["targets"] = [ids[name] for name in kept["targets"]]
    return kept


class RequestWithdraw(_Asking):
    """Withdraws a request."""

    @described(RequestDetailShape, body=Nothing)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Withdraw one of your requests."""
        self.body(Nothing)
        seen = reads.seen_request(self.identity, ref)
        withdraw_request(request_id=seen.pk, actor=self.identity, now=clock.now())
        return self.detail(reads.request_of(self.identity, ref))
