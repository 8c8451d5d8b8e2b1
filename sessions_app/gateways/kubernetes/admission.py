"""Authenticates a request by the grant's token, which kubectl gets from the plugin.

Source: RFC 6750 §2.1 and §3.
"""

from __future__ import annotations

import re

import structlog

from broker.kernel import clock
from broker.kernel.crypto import token_digest
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.gateways.kubernetes.status import NotMade
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.kubernetes import AtKubernetes, KubernetesUse
from sessions_app.operations.sessions.record_refused_request import record_dead_token

log = structlog.get_logger(__name__)

_TOKEN = re.compile(r"Bearer (sgt_[A-Za-z0-9_-]{43})", re.IGNORECASE)


async def admit(admissions: Admissions, asked: Asked) -> KubernetesUse:
    """Return the use that a request may make now. Raises NotMade or Unavailable."""
    token = _TOKEN.fullmatch(asked.request.headers.get("authorization", ""))
    if token is None:
        raise NotMade(
            401,
            "A grant's token is required: `stint kubectl-config` writes a kubeconfig that fetches the token.",
        )
    digest = token_digest(token[1])
    return await admissions.ask(digest, asked.client, _admit, asked=asked, digest=digest)


def _admit(*, asked: Asked, digest: str) -> KubernetesUse:
    uses = authorize_use(by=AtKubernetes(digest, asked.name))
    if len(uses) > 1:
        uses = [use for use in uses if use.target.name == asked.name]
    if not uses:
        raise _dead(asked, digest)
    if len(uses) > 1:
        raise NotMade(400, f"{uses[0].grant_ref} is for several targets: use the kubeconfig for one of them.")
    return uses[0]


def _dead(asked: Asked, digest: str) -> NotMade:
    dead = record_dead_token(token_digest=digest, target_name=asked.name, line=asked.line, now=clock.now())
    if dead is None:
        # Recording requests with unknown tokens would let anyone fill the record.
        log.warning("kubernetes.unknown_token", name=asked.name[:63], client=asked.client)
        return NotMade(401, "The token is not valid here.")
    if dead.held:
        return NotMade(403, dead.says)
    # Not 401: kubectl would only get the same token again, and show less.
    return NotMade(
        403,
        f"{dead.grant_ref} can't be used on this cluster: it has ended, its token was revoked, or it is "
        "for another"
        " cluster.",
    )
