"""Grants: what they allow, what was done under them, and how they end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.api import reads
from sessions_app.api.bodies import (
    Delegate,
    End,
    Extend,
    NewCredential,
    Reason,
    Review,
)
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByNumber, OfGrants, OfRuns
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.grants import (
    CredentialShape,
    GrantDetailShape,
    GrantShape,
    HeartbeatShape,
    HeldCommitShape,
    HeldFileShape,
    RunShape,
    SessionShape,
)
from sessions_app.api.shapes.receipts import ReceiptShape
from sessions_app.api.shapes.requests import RequestDetailShape
from sessions_app.models import Grant, Session
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.heartbeat import heartbeat
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.grants.retry_revoke import retry_revoke
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.grants.suspend_grant import suspend_grant
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.requests.review_break_glass import review_break_glass
from sessions_app.operations.sessions.stop_run import stop_run
from sessions_app.queries.grants.held_commits import readable_commits
from sessions_app.queries.grants.held_files import readable_uploads
from sessions_app.queries.grants.receipts import receipt


class Grants(Endpoint):
    """The grants that the caller may see."""

    @described(paged(GrantShape), query=OfGrants)
    def get(self, request: Request) -> Response:
        """List the grants that you can see, newest first."""
        query = self.query(OfGrants)
        return self.page(_fitting(reads.grants(self.identity), query, self), GrantShape, query)


def _fitting(found: Any, query: dict[str, Any], view: Endpoint) -> Any:
    exact = {
        "state": query.get("state"),
        "cluster__name": query.get("cluster"),
        "holder__username": query.get("holder"),
        "holder": view.identity if query["mine"] else None,
    }
    found = found.filter(**{name: value for name, value in exact.items() if value is not None})
    if query["endable"]:
        found = found.filter(pk__in=Grant.objects.endable_by(view.identity).not_ended().values("pk"))
    return found


class OneGrant(Endpoint):
    """One grant."""

    outlives_token: ClassVar[bool] = True

    @described(GrantDetailShape)
    def get(self, request: Request, ref: str) -> Response:
        """Get a grant, with what it allows and how to use it."""
        return self.answer(GrantDetailShape, reads.grant_of(self.identity, ref))


class GrantEnd(Endpoint):
    """Ends a grant."""

    scope: ClassVar[str] = Scope.END
    outlives_token: ClassVar[bool] = True

    @described(GrantDetailShape, body=End)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """End a grant now: access closes immediately, and everything that was created on targets is
        revoked and verified.
        """
        sent = self.body(End)
        grant = stop_grant(grant_id=reads.any_grant(ref), actor=self.identity, now=clock.now(), **sent)
        return self.answer(GrantDetailShape, reads.grant_after(grant))


class GrantExtend(Endpoint):
    """Requests an extension of a grant."""

    scope: ClassVar[str] = Scope.REQUEST

    @described(RequestDetailShape, body=Extend, status=201)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Request an extension of one of your grants. Its sessions stay open."""
        sent = self.body(Extend)
        grant_id = reads.id_of_grant(self.identity, ref)
        asked = extend_grant(
            grant_id=grant_id,
            requester=self.identity,
            seconds=sent["duration"],
            reason=sent["reason"],
            now=clock.now(),
        )
        detail = reads.detail_of(reads.request_of(self.identity, asked.ref), self.identity)
        return self.answer(RequestDetailShape, detail, status=201, Location=f"/api/v1/requests/{asked.ref}")


class GrantReview(Endpoint):
    """Records the review of break-glass access."""

    scope: ClassVar[str] = Scope.DECIDE

    @described(GrantDetailShape, body=Review)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Record the findings of your review of another person's break-glass access."""
        sent = self.body(Review)
        grant_id = reads.id_of_grant(self.identity, ref)
        review_break_glass(grant_id=grant_id, reviewer=self.identity, note=sent["note"], now=clock.now())
        return self.answer(GrantDetailShape, reads.grant_of(self.identity, ref))


class GrantCredential(Endpoint):
    """Issues a credential for a grant on a target."""

    scope: ClassVar[str] = Scope.REQUEST
    answers_secret: ClassVar[bool] = True
    asks_target: ClassVar[bool] = True

    @described(CredentialShape, body=NewCredential)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Get a credential for a target of your grant. The previous one is no longer valid for new logins,
        except where clients share a token: Kubernetes, and PostgreSQL with statements.
        """
        sent = self.body(NewCredential)
        grant_id = reads.id_of_grant(self.identity, ref)
        made = issue_credential(grant_id=grant_id, actor=self.identity, now=clock.now(), **sent)
        answer = self.answer(CredentialShape, made)
        answer["Cache-Control"] = "no-store"
        return answer


class GrantRetry(Endpoint):
    """Retries the revocation of a grant."""

    scope: ClassVar[str] = Scope.END

    @described(GrantDetailShape)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Retry revoking an ending grant now, instead of at the next scheduled attempt."""
        grant_id = reads.id_of_grant(self.identity, ref)
        retry_revoke(grant_id=grant_id, actor=self.identity, now=clock.now())
        return self.answer(GrantDetailShape, reads.grant_of(self.identity, ref))


class GrantSuspend(Endpoint):
    """Suspends a grant."""

    scope: ClassVar[str] = Scope.END
    outlives_token: ClassVar[bool] = True

    @described(GrantDetailShape, body=Reason)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Suspend a grant: nothing new can run until it is resumed. Running commands continue."""
        sent = self.body(Reason)
        grant = suspend_grant(grant_id=reads.any_grant(ref), actor=self.identity, now=clock.now(), **sent)
        return self.answer(GrantDetailShape, reads.grant_after(grant))


class GrantRelease(Endpoint):
    """Resumes a suspended grant."""

    scope: ClassVar[str] = Scope.DECIDE

    @described(GrantDetailShape, body=Reason)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Resume a suspended grant that you approve, or that you suspended, unless it is your own."""
        sent = self.body(Reason)
        grant_id = reads.id_of_grant(self.identity, ref)
        release_grant(grant_id=grant_id, actor=self.identity, now=clock.now(), **sent)
        return self.answer(GrantDetailShape, reads.grant_of(self.identity, ref))


class GrantDelegate(Endpoint):
    """Delegates a part of a grant."""

    scope: ClassVar[str] = Scope.REQUEST

    @described(GrantDetailShape, body=Delegate, status=201)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Delegate part of your grant. The delegated grant allows no more than yours, and ends with it."""
        sent = self.body(Delegate)
        targets = sent.pop("targets")
        grant_id = reads.id_of_grant(self.identity, ref)
        made = delegate_grant(
            grant_id=grant_id,
            actor=self.identity,
            part=Part(targets=None if targets is None else tuple(targets), **sent),
            now=clock.now(),
        )
        shown = reads.grant_of(self.identity, made.ref)
        return self.answer(GrantDetailShape, shown, status=201, Location=f"/api/v1/grants/{made.ref}")


class GrantHeartbeat(Endpoint):
    """Records a heartbeat of the holder."""

    scope: ClassVar[str] = Scope.REQUEST
    outlives_token: ClassVar[bool] = True

    @described(HeartbeatShape)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Send a heartbeat for your grant, if its policy requires heartbeats. After three missed heartbeats,
        the grant ends.
        """
        grant_id = reads.id_of_grant(self.identity, ref)
        return self.answer(HeartbeatShape, heartbeat(grant_id=grant_id, actor=self.identity, now=clock.now()))


class GrantReceipt(Endpoint):
    """The receipt of a grant."""

    @described(ReceiptShape)
    def get(self, request: Request, ref: str) -> Response:
        """Get what was approved, run and refused, how the grant ended, and what was verified."""
        return self.answer(ReceiptShape, receipt(reads.grant_of(self.identity, ref), clock.now()))


class GrantRuns(Endpoint):
    """The command runs of a grant."""

    @described(paged(RunShape), query=OfRuns)
    def get(self, request: Request, ref: str) -> Response:
        """List the commands attempted under a grant, newest first."""
        query = self.query(OfRuns)
        found = reads.runs(self.identity).filter(grant=reads.grant_of(self.identity, ref))
        return self.page(_in_state(found, query), RunShape, query)


class GrantSessions(Endpoint):
    """The sessions of a grant."""

    @described(paged(SessionShape), query=ByNumber)
    def get(self, request: Request, ref: str) -> Response:
        """List the sessions of a grant, newest first."""
        query = self.query(ByNumber)
        found = Session.objects.visible_to(self.identity).filter(grant=reads.grant_of(self.identity, ref))
        return self.page(found.select_related("target", "gateway"), SessionShape, query)


class Runs(Endpoint):
    """The command runs that the caller may see."""

    @described(paged(RunShape), query=OfRuns)
    def get(self, request: Request) -> Response:
        """List the commands attempted under grants that you can see, newest first. `state=held`: only
        commands that wait for approval.
        """
        query = self.query(OfRuns)
        return self.page(_in_state(reads.runs(self.identity), query), RunShape, query)


def _in_state(found: Any, query: dict[str, Any]) -> Any:
    return found.filter(state=query["state"]) if "state" in query else found


class RunStopped(Endpoint):
    """Ends a running command."""

    scope: ClassVar[str] = Scope.END

    @described(RunShape)
    @once
    def post(self, request: Request, run_id: int) -> Response:
        """End a running command, while its grant continues. It ends within two seconds."""
        run = reads.run_of(self.identity, run_id)
        stop_run(run_id=run.pk, actor=self.identity, now=clock.now())
        return self.answer(RunShape, reads.run_of(self.identity, run_id))


class RunCommit(Endpoint):
    """Shows what a transaction that is held at its COMMIT would change."""

    @described(HeldCommitShape)
    def get(self, request: Request, run_id: int) -> Response:
        """Return each statement of a transaction that is, or was, held at its COMMIT, with its rows before
        and after.

        Only people who can decide the hold have access.
        """
        run = reads.run_of(self.identity, run_id)
        statements = readable_commits(self.identity, run.grant, [run]).get(run.pk)
        if statements is None:
            raise NotFound("Held transaction not found, or you can't decide on it.")
        return self.answer(HeldCommitShape, {"run": run.pk, "statements": statements})


class RunFile(Endpoint):
    """What an upload that waits for approval contains."""

    @described(HeldFileShape)
    def get(self, request: Request, run_id: int) -> Response:
        """Return the path, size, digest and text of an upload that waits for approval. Only for those who may
        decide on it.
        """
        run = reads.run_of(self.identity, run_id)
        file = readable_uploads(self.identity, run.grant, [run], clock.now()).get(run.pk)
        if file is None:
            raise NotFound("Held upload not found, or you can't decide on it.")
        return self.answer(HeldFileShape, {"run": run.pk, **asdict(file)})
