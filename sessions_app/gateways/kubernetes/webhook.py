"""The authorization webhook for clusters that holders reach directly: an API server queries it before each
request.

A grant's account may send the requests of the grant's commands, as long as the grant can be used. The user
must be in the group of grants' accounts, as it is with each of their tokens. For all other users Stint
returns no opinion. The API server authenticates with the cluster's webhook key as its bearer token.

Source: PEP 3333; https://kubernetes.io/docs/reference/access-authn-authz/webhook/. An API server treats any
answer other than a review as a failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.connectors.kubernetes.objects import group_of, mark_of_user
from sessions_app.gateways.core.calls import BEARER, BadCall, Environ, Start, answered, answered_badly
from sessions_app.gateways.kubernetes.denials import refusal_of, request_url
from sessions_app.gateways.kubernetes.reviews import (
    BadReview,
    PathAsked,
    Review,
    allowed,
    denied,
    no_opinion,
    read_review,
)
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.account import (
    AccountUse,
    AskingCluster,
    ByAccount,
    asking_clusters,
)
from sessions_app.operations.sessions.record_refused_review import record_dead_account, record_refused_review
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.json_values.bodies import MAX_BODY, BodyRefused, read_body
from sessions_app.policy.commands.kubernetes.access import decide_access, decide_path
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet
from sessions_app.queries.grants.revocation import installation_mark

log = structlog.get_logger(__name__)

PATH = "/authz/kubernetes"
_NO_KEY = "authenticate with Authorization: Bearer and the webhook key of a cluster with direct: true"


class AuthorizationWebhook:
    """Responds to `/authz/kubernetes`; every other request goes to ``inner``."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request. Source: PEP 3333."""
        if environ["PATH_INFO"] != PATH:
            passed_on: Iterable[bytes] = self.inner(environ, start)
            return passed_on
        try:
            return answered(start, 200, _reviewed(environ))
        except BadCall as error:
            return answered_badly(start, error)
        except (DatabaseError, InterfaceError, StintError) as error:
            log.error("review.not_decided", error=str(error))  # noqa: TRY400  # the traceback adds nothing
            if not connection.in_atomic_block:
                connection.close()
            said = {"error": "Stint is unavailable. Try again in a moment."}
            return answered(start, 503, said, [("retry-after", "1")])


def _reviewed(environ: Environ) -> dict[str, Any]:
    if environ["REQUEST_METHOD"] != "POST":
        raise BadCall(405, "use POST")
    key = BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    clusters = asking_clusters(hashlib.sha256(key[1].encode()).digest()) if key else []
    if not clusters:
        raise BadCall(401, _NO_KEY)
    try:
        review = read_review(read_body(environ["wsgi.input"].read(MAX_BODY + 1)))
    except (BodyRefused, BadReview) as error:
        raise BadCall(400, str(error)) from error
    return _answer(review, clusters)


def _answer(review: Review, clusters: list[AskingCluster]) -> dict[str, Any]:
    # Stint's own reviews, which confirm that access has ended, name an account without its group.
    own = [
        one
        for one in clusters
        if mark_of_user(one.accounts, review.user) and group_of(one.accounts) in review.groups
    ]
    if not own:
        return no_opinion(review)
    mark = mark_of_user(own[0].accounts, review.user)
    for cluster in own:
        # The account and its permissions are the same on each target of the cluster.
        for use in authorize_use(by=ByAccount(mark, cluster.id)):
            return _of_account(review, cluster, use)
    return _dead(review, own, mark)


def _of_account(review: Review, cluster: AskingCluster, use: AccountUse) -> dict[str, Any]:
    question = _question(review)
    decision = question(use.compiled)
    if isinstance(decision, Refused):
        return _refused(review, cluster, use, decision)
    return allowed(review)


def _question(review: Review) -> Callable[[answers.CompiledSet], answers.Allowed | Refused]:
    asked = review.asked

    def question(compiled: answers.CompiledSet) -> answers.Allowed | Refused:
        if not isinstance(compiled, CompiledSet):
            return Refused("not for Kubernetes", None, "right")
        if isinstance(asked, PathAsked):
            return decide_path(asked.verb, asked.path)
        return decide_access(compiled, asked)

    return question


def _refused(review: Review, cluster: AskingCluster, use: AccountUse, refused: Refused) -> dict[str, Any]:
    record_refused_review(
        mark=use.mark,
        cluster=cluster.name,
        line=str(review.asked),
        reason=refused.reason,
        code=refused.code,
        now=clock.now(),
    )
    question = None if isinstance(review.asked, PathAsked) else _question(review)
    said = refusal_of(use=use, refused=refused, question=question, named=str(review.asked))
    return denied(review, f"{use.grant_ref}: {said}")


def _dead(review: Review, clusters: list[AskingCluster], mark: str) -> dict[str, Any]:
    dead = record_dead_account(
        mark=mark, clusters={one.id: one.name for one in clusters}, line=str(review.asked), now=clock.now()
    )
    if dead is not None:
        question = None if isinstance(review.asked, PathAsked) else _question(review)
        url = request_url(dead.holder_id, dead.cluster, question, named=str(review.asked))
        more = f"Request new access: {url}" if url else "Request new access."
        return denied(review, f"{dead.grant_ref} can't be used on this cluster: {dead.reason}. {more}")
    if mark.startswith(installation_mark()):
        return denied(review, "no grant has this account")
    # Another installation may have accounts on the same cluster.
    return no_opinion(review)
