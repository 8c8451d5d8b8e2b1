"""The decision on one request or order, which is read as the API server reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.gateways.kubernetes.bodies import Body
from sessions_app.gateways.kubernetes.standing import NOTHING_READ, Reader, Standing
from sessions_app.gateways.kubernetes.status import OLD_KUBECTL, NotMade
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent, read_request
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet
from sessions_app.policy.commands.kubernetes.decide import (
    DISCOVERY,
    Allowed,
    asks_about_oneself,
    decide_request,
)
from sessions_app.policy.commands.kubernetes.existing import ASKS
from sessions_app.policy.commands.kubernetes.sending import Sending
from sessions_app.queries.requests.offers import Question

Kind = Literal["request", "exec", "attach", "portforward"]
_STREAMS: dict[str, Kind] = {
    "pods/exec": "exec",
    "pods/attach": "attach",
    "pods/portforward": "portforward",
}


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and the line to record for it.

    ``question`` decides the same request under another command set; None if the request can't be read.
    """

    decision: Allowed | Refused
    line: str
    kind: Kind = "request"
    request: KubeRequest | None = None
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class DecidedOrder(Decided):
    """The decision on an order's request, together with the request body."""

    body: Body = field(default_factory=Body)


def decided(compiled: CompiledSet, asked: Asked, body: Body, standing: Standing) -> Decided:
    """Return the decision on a request with its body, and with the cluster's objects if an earlier decision
    needed them.

    Never raises because of a request.
    """
    try:
        request = read_request(asked.method, asked.path, asked.query)
    except RuleRefused as error:
        return Decided(Refused(error.reason, None, "syntax"), asked.line)
    sent = Sent(body.media, body.value, standing.target, standing.history, standing.unread)
    kind = _STREAMS.get(request.full_resource, "request") if not request.group else "request"
    decision = _fault(asked, kind) or decide_request(compiled, request, sent)
    line = decision.line if isinstance(decision, Allowed) else asked.line

    def question(other: answers.CompiledSet) -> answers.Allowed | Refused:
        if not isinstance(other, CompiledSet):
            return Refused("not for Kubernetes", None, "right")
        answer = decide_request(other, request, sent)
        if isinstance(answer, Refused) and answer.code in ASKS:
            # The object is compared only when the request is made under that command set.
            return answers.Allowed(DISCOVERY, "change", False, None, {}, ())
        return answer

    return Decided(decision, line, kind, request, question)


def is_unread(asked: Asked) -> bool:
    """Whether a request is decided without its body."""
    try:
        return asks_about_oneself(read_request(asked.method, asked.path, asked.query))
    except RuleRefused:
        return False


def decided_order(compiled: CompiledSet, sending: Sending, version: str, standing: Standing) -> DecidedOrder:
    """Return the decision on an order's request, as if kubectl had sent it. Never raises because of
    an order.
    """
    try:
        request = sending.request(version)
        sent = sending.sent_to(standing.target, standing.history, standing.unread)
    except RuleRefused as error:
        return DecidedOrder(Refused(error.reason, None, "value"), "")
    decision = decide_request(compiled, request, sent)
    line = decision.line if isinstance(decision, Allowed) else str(request)
    data = b"" if sent.body is None else json.dumps(sent.body).encode()
    return DecidedOrder(decision, line, request=request, body=Body(sent.media_type, None, data))


D = TypeVar("D", bound=Decided)


async def compared(
    reader: Reader, use: AtCluster, decide: Callable[[Standing], D], *, size: int, agent: str
) -> D:
    """Return the decision, repeated with the cluster's objects if a first decision needs them. ``size`` is
    the body's, in bytes.

    Raises NotMade if the objects can't be read in time.
    """
    found = await aside(size, decide, NOTHING_READ)
    refused = found.decision if isinstance(found.decision, Refused) else None
    if found.request is None or refused is None or refused.code not in ASKS:
        return found
    standing = await reader.read(use, found.request, refused.code, agent=agent)
    return await aside(size + standing.size, decide, standing)


def still_allowed(now: Decided, before: Decided) -> Allowed:
    """Return the new decision if it is the same as the earlier one. Raises NotMade otherwise."""
    if isinstance(now.decision, Refused):
        raise NotMade(403, f"The request is no longer allowed: {now.decision.reason}.")
    if (now.line, now.decision.index) != (before.line, getattr(before.decision, "index", None)):
        raise NotMade(409, "The object has been modified since. Try again.")
    return now.decision


def _fault(asked: Asked, kind: Kind) -> Refused | None:
    """Return the refusal of a request that no command set can allow; None for any other request."""
    if asked.as_other:
        return Refused(
            f"the header {asked.as_other} is not allowed: it impersonates another user", None, "syntax"
        )
    if asked.upgrade == "spdy":
        return Refused(OLD_KUBECTL, None, "syntax")
    if kind != "request" and not asked.upgrade:
        return Refused(f"{kind} requires a WebSocket", None, "syntax")
    if kind == "request" and asked.upgrade:
        return Refused("only exec, attach and port-forward can use a WebSocket", None, "syntax")
    return None
