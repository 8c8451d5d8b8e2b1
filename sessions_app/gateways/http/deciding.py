"""Decide and record one request, in the same way for every proxy and for AuthZEN."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

import structlog
from django.db import DatabaseError, InterfaceError, connection

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.crypto import token_digest
from broker.kernel.errors import StintError
from sessions_app.gateways.core.proofs import ProofRefused, check_proof
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.http.denials import Denial, deny, held
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import authorize_use, only, used_from
from sessions_app.operations.sessions.open_request_session import open_request_session
from sessions_app.operations.sessions.proofs.proxy import ByProxy, RequestUse
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.operations.sessions.record_failed_proof import record_failed_proof
from sessions_app.operations.sessions.record_refused_request import (
    record_dead_token,
    record_refused_request,
)
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.http.contents import UNSEEN, Content
from sessions_app.policy.commands.http.decide import decide_request

log = structlog.get_logger(__name__)

# The media type that clients of event streams accept. Source: HTML, server-sent events, 9.2.4.
STREAM = "text/event-stream"
TOKEN = re.compile(r"sgt_[A-Za-z0-9_-]{43}")


@dataclass(slots=True)
class Asked:
    """A request as the enforcement point describes it.

    ``bound`` means that the token was presented with the DPoP scheme.
    """

    proxy_key: str
    target: str
    method: str
    uri: str
    token: str
    bound: bool = False
    proof: str = ""
    origin: str = ""
    client: str = ""
    body: Content = UNSEEN
    override: str = ""
    accept: str = ""

    @property
    def line(self) -> str:
        """The text to record."""
        return f"{self.method} {self.uri}"


@dataclass(slots=True)
class Passed:
    """The request is allowed. ``use`` has its holder and grant."""

    use: RequestUse


@dataclass(frozen=True, slots=True)
class NoToken:
    """The token is currently not valid at this server. ``error`` is the code from RFC 6750 or RFC 9449."""

    error: str
    message: str
    denial: Denial | None = None


@dataclass(frozen=True, slots=True)
class Shut:
    """No request can be decided or recorded now, so none may pass."""

    message: str


Answer = Passed | Denial | NoToken | Shut


class Decider:
    """Decides requests. Those that only read are counted by ``tally``; all others are recorded before the
    answer.
    """

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()

    def decide(self, asked: Asked) -> Answer:
        """Decide one request. Never raises: after a failure, the request is refused."""
        try:
            return self._decide(asked)
        except (DatabaseError, InterfaceError, StintError) as error:
            log.error("request.not_decided", error=str(error))  # noqa: TRY400  # the traceback adds nothing
            if not connection.in_atomic_block:
                connection.close()
            return Shut("Stint is unavailable. Try again in a moment.")

    def _decide(self, asked: Asked) -> Answer:
        use = only(
            authorize_use(by=ByProxy(token_digest(asked.token), _digest(asked.proxy_key), asked.target))
        )
        if use is None:
            return self._dead(asked)
        use = used_from(use, asked.client)
        if (use.jkt or asked.bound) and (fault := self._proof_fault(asked, use)):
            record_failed_proof(use=use, line=asked.line, reason=fault, now=clock.now())
            return NoToken("invalid_dpop_proof", fault)
        try:
            return self._answer(asked, use)
        except GrantIsOver:
            # The grant ended after its token was checked.
            return self._dead(asked)

    def _answer(self, asked: Asked, use: RequestUse) -> Answer:
        if asked.override:
            return self._refuse(
                asked, use, Refused(f"the header {asked.override} would change the request", None, "syntax")
            )
        decision = decide_request(
            use.compiled, asked.method, asked.uri, asked.body, stream=STREAM in asked.accept.lower()
        )
        if isinstance(decision, Refused):
            return self._refuse(asked, use, decision)
        return self._allow(asked, use, decision)

    def _allow(self, asked: Asked, use: RequestUse, decision: Allowed) -> Answer:
        if self.tally.refusing:
            return Shut("Stint's record is unavailable. Try again in a moment.")
        now = clock.now()
        session_id = use.session_id or open_request_session(use=use, client_address=asked.client, now=now)
        if decision.effect == "read":
            recorded = self.tally.add(session_id, use, decision, now)
        else:
            one = AllowedRequests(
                use=use, session_id=session_id, decision=decision, times=1, first_at=now, last_at=now
            )
            (recorded,) = record_allowed_requests(requests=[one], answered=False, now=now)
        return Passed(use) if recorded else self._dead(asked)

    def _refuse(self, asked: Asked, use: RequestUse, refused: Refused) -> Denial:
        now = clock.now()
        session_id = use.session_id or open_request_session(use=use, client_address=asked.client, now=now)
        record_refused_request(
            use=use,
            session_id=session_id,
            line=asked.line,
            reason=refused.reason,
            code=refused.code,
            now=now,
        )
        holder = Identity.objects.filter(pk=use.holder_id).first()
        return deny(
            reason=refused.reason,
            nearest=refused.nearest,
            code=refused.code,
            holder=holder if refused.code not in ("syntax", "denied", "stream") else None,
            cluster=use.cluster,
            target=use.target.name,
            method=asked.method,
            uri=asked.uri,
            body=asked.body,
            now=now,
        )

    def _dead(self, asked: Asked) -> Answer:
        now = clock.now()
        dead = record_dead_token(
            token_digest=token_digest(asked.token), target_name=asked.target, line=asked.line, now=now
        )
        if dead is None:
            # Recording requests with unknown tokens would let anyone fill the record.
            log.warning("request.unknown_token", target=asked.target[:63], client=asked.client[:64])
        elif dead.held:
            return held(dead, now)
        return NoToken(
            "invalid_token",
            "the token is not valid for this server: it expired, was revoked, or is for another server",
        )

    def _proof_fault(self, asked: Asked, use: RequestUse) -> str:
        if not use.jkt:
            return "this token is not bound to a key: use the Bearer scheme"
        if not asked.bound:
            return "this token is bound to a key: use the DPoP scheme with a proof"
        if not asked.origin:
            return "the proxy does not send its own address, which a proof requires"
        try:
            check_proof(
                proof=asked.proof,
                token=asked.token,
                jkt=use.jkt,
                method=asked.method,
                url=asked.origin + asked.uri.partition("?")[0],
                now=clock.now(),
            )
        except ProofRefused as error:
            return str(error)
        return ""


@lru_cache(maxsize=256)
def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
