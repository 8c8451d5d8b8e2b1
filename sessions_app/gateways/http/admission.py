"""Authenticate a request by its token, and by a proof of the key if the token is bound to a key.

Source: RFC 6750 §2.1 and §3; RFC 9449 §7.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from broker.kernel import clock
from broker.kernel.crypto import token_digest
from broker.kernel.problems import problem
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.proofs import ProofRefused, check_proof
from sessions_app.gateways.core.reads import Reads
from sessions_app.gateways.http.denials import held
from sessions_app.operations.sessions.authorize_use import (
    UNREADABLE,
    authorize_use,
    rows_in,
    used_from,
    values_of,
)
from sessions_app.operations.sessions.proofs.gateway import AT_GATEWAY, AtGateway, GatewayUse
from sessions_app.operations.sessions.record_failed_proof import record_failed_proof
from sessions_app.operations.sessions.record_refused_request import record_dead_token

log = structlog.get_logger(__name__)

_TOKEN = re.compile(r"(Bearer|DPoP) (sgt_[A-Za-z0-9_-]{43})", re.IGNORECASE)
_SEVERAL = "This grant is for several targets. Use a target's name in the address: /http/{name}/"


class NotAdmitted(Exception):
    """The request has no valid credentials. Contains the problem to respond with, and its headers."""

    def __init__(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self.body, self.headers = body, headers or {}
        super().__init__(body["title"])


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts of a request that authentication needs: credentials, target name, method, ``url`` (no query),
    and ``line`` to record.
    """

    authorization: str
    proof: str
    name: str
    method: str
    url: str
    line: str
    client: str


async def admit(admissions: Admissions, reads: Reads, shown: Shown) -> GatewayUse:
    """Return the use that a request may make now. Raises NotAdmitted or Unavailable."""
    token = _TOKEN.fullmatch(shown.authorization)
    if token is None:
        raise challenge("no_token", "A grant token is required.", invalid=bool(shown.authorization))
    digest, bound = token_digest(token[2]), len(token[1]) == len("DPoP")
    if bound:
        # Each proof is valid for one request.
        return await admissions.ask(digest, shown.client, _admit, shown=shown, token=token[2], bound=True)
    key = (digest, shown.name, shown.client)
    directly = partial(_admit_directly, reads, AtGateway(digest, shown.name), shown.client)
    return await admissions.share(
        key, digest, shown.client, directly, _admit, shown=shown, token=token[2], bound=False
    )


async def _admit_directly(reads: Reads, by: AtGateway, client: str) -> GatewayUse | None:
    """Return the use of a token that is clearly valid; None for every other token, which ``_admit`` must
    check.

    Raises Unavailable.
    """
    values = values_of(by)
    answer = await reads.read(AT_GATEWAY, values) if values is not None else None
    if answer is None or answer.ntuples != 1:
        return None
    try:
        use = by.use_without_database(next(rows_in(answer)))
    except UNREADABLE:
        return None
    return used_from(use, client) if use is not None and not use.jkt else None


def challenge(code: str, title: str, *, invalid: bool, detail: str = "") -> NotAdmitted:
    """Return the response that requires a token."""
    said = 'Bearer realm="stint"' + (', error="invalid_token"' if invalid else "")
    return NotAdmitted(problem(status=401, code=code, title=title, detail=detail), {"www-authenticate": said})


def _admit(*, shown: Shown, token: str, bound: bool) -> GatewayUse:
    digest = token_digest(token)
    uses = authorize_use(by=AtGateway(digest, shown.name))
    if len(uses) > 1:
        uses = [use for use in uses if use.target.name == shown.name]
    if not uses:
        raise _dead(shown, digest)
    if len(uses) > 1:
        raise NotAdmitted(
            problem(status=400, code="several_targets", title=_SEVERAL.format(name=uses[0].target.name))
        )
    if uses[0].jkt or bound:
        _prove(uses[0], shown, token, bound=bound)
    return used_from(uses[0], shown.client)


def _dead(shown: Shown, digest: str) -> NotAdmitted:
    now = clock.now()
    dead = record_dead_token(token_digest=digest, target_name=shown.name, line=shown.line, now=now)
    if dead is None:
        # Recording requests with unknown tokens would let anyone fill the record.
        log.warning("http.unknown_token", name=shown.name[:63], client=shown.client)
    elif dead.held:
        return NotAdmitted(held(dead, now).as_problem())
    why = "The token expired, was revoked, or is for another server."
    return challenge("invalid_token", "The token is not valid here.", invalid=True, detail=why)


def _prove(use: GatewayUse, shown: Shown, token: str, *, bound: bool) -> None:
    now = clock.now()
    try:
        if not use.jkt:
            raise ProofRefused("this token is not bound to a key: use the Bearer scheme")
        if not bound:
            raise ProofRefused("this token is bound to a key: use the DPoP scheme with a proof")
        check_proof(proof=shown.proof, token=token, jkt=use.jkt, method=shown.method, url=shown.url, now=now)
    except ProofRefused as error:
        record_failed_proof(use=use, line=shown.line, reason=str(error), now=now)
        body = problem(
            status=401, code="invalid_dpop_proof", title="The token is not valid here.", detail=f"{error}."
        )
        headers = {"www-authenticate": 'DPoP error="invalid_dpop_proof", algs="ES256 Ed25519"'}
        raise NotAdmitted(body, headers) from error
