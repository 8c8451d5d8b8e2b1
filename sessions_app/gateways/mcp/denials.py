"""Results for calls that were not made: the reason, and how to request more access.

They are results with ``isError``, not protocol errors, so that the model reads them. They use the terms
of Stint's API.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.mcp.answers import text_result
from sessions_app.gateways.mcp.asked import Asked
from sessions_app.models import Grant
from sessions_app.operations.sessions.proofs.token import CallUse
from sessions_app.operations.sessions.try_call import Waiting
from sessions_app.operations.sessions.try_command import TOO_MANY_WAITING
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.budgets import BUDGET_USED
from sessions_app.queries.grants.budgets import plain_budgets
from sessions_app.queries.grants.tokens import ENDS_OF_TOKENS
from sessions_app.queries.requests.offers import offers

# Refusals with one of these codes would occur under any grant.
_NOT_TO_BE_ASKED = frozenset(("syntax", "denied", "empty", "from_result", "untrusted", TOO_MANY_WAITING))


def denied(asked: Asked, result: Message) -> Message:
    """Return the response with a result that says why a request was not carried out. Only tools have such
    results, so other requests end with an error.
    """
    if asked.method == "tools/call":
        return {"result": result}
    told = result["structuredContent"]
    about = {"uri": asked.params["uri"]} if asked.method == "resources/read" else {}
    code = wire.INVALID_PARAMS if told["error"] == "refused" else wire.NOT_MADE
    return {"error": {"code": code, "message": result["content"][0]["text"], "data": {**told, **about}}}


def refusal(use: CallUse, refused: Refused, line: str) -> Message:
    """Return the result for a call that the grant does not allow, with what its holder can request
    instead.
    """
    told: dict[str, Any] = {
        "error": "refused",
        "code": refused.code,
        "reason": refused.reason,
        "grant": use.grant_ref,
        "requestable": False,
    }
    if refused.nearest:
        told["nearest"] = refused.nearest
    if refused.code == BUDGET_USED:
        grant = Grant.objects.select_related("command_set_version").get(pk=use.grant_id)
        told["budgets"] = plain_budgets(grant, clock.now())
    how = ""
    offer = None if refused.code in _NOT_TO_BE_ASKED else _offer(use, line)
    if offer is not None:
        told |= {"requestable": True, **offer}
        how = f" Request it with request_access at {settings.MCP_URL}/mcp, or at {offer['request_url']}."
    near = f" Nearest: {refused.nearest}." if refused.nearest else ""
    return text_result(f"Refused by {use.grant_ref}: {refused.reason}.{near}{how}", told, failed=True)


def _offer(use: CallUse, line: str) -> dict[str, Any] | None:
    holder = Identity.objects.filter(pk=use.holder_id).first()
    found = offers(identity=holder, cluster=use.cluster, line=line) if holder is not None else []
    if not found:
        return None
    best = found[0]
    form = {"cluster": best.cluster, "command_set": best.command_set, "policy": best.policy}
    return {
        "request_url": f"{settings.PUBLIC_URL}/requests/new/?{urlencode(form)}",
        "request": {**form, "parameters": dict(best.parameters)},
        "missing": [parameter.name for parameter in best.missing],
    }


def waiting(use: CallUse, waits: Waiting | int) -> Message:
    """Return the result for a call that another person must approve, or has denied."""
    if isinstance(waits, Waiting) and waits.by:
        told = {"error": "denied", "run": waits.run_id, "grant": use.grant_ref, "by": waits.by}
        return text_result(
            f"{waits.by} denied this call (run {waits.run_id}). It was not made.", told, failed=True
        )
    run = waits.run_id if isinstance(waits, Waiting) else waits
    told = {
        "error": "held",
        "run": run,
        "grant": use.grant_ref,
        "state": "pending",
        "retry_after": 15,
        "approve_url": _page_of(use, run),
    }
    text = (
        f"Not called yet: this call is waiting for approval (run {run}). Repeat the same call later: once "
        "it is allowed, it is made one time. It expires after five minutes."
    )
    return text_result(text, told, failed=True)


def brings_person(use: CallUse, run: int) -> Message:
    """Return the result with which a client brings its person to the page where a held call is decided.

    The page decides who may approve. The client only repeats the call, and it is decided as before.
    """
    message = (
        f"A call under {use.grant_ref} waits for approval (run {run}). Open its page to see what it would "
        "send. The holder of the grant can't approve it."
    )
    params = {"mode": "url", "message": message, "url": _page_of(use, run)}
    asked = {"method": "elicitation/create", "params": params}
    return {"resultType": "input_required", "inputRequests": {"approval": asked}}


def _page_of(use: CallUse, run: int) -> str:
    return f"{settings.PUBLIC_URL}/grants/{use.grant_ref}/#run-{run}"


def ended_meanwhile(ref: str, why: str, then: str, *, run: int | None = None) -> Message:
    """Return the result for a grant that has ended, or whose token has ended while the grant may continue."""
    if why in ENDS_OF_TOKENS:
        return stopped(ref, f"can no longer be used with this token: {why}{then}", "token_over", run=run)
    return stopped(ref, f"has ended: {why}{then}", "grant_over", run=run)


def stopped(ref: str, why: str, code: str, *, run: int | None = None) -> Message:
    """Return the result for a call that was not made, that got no response, or whose result is withheld."""
    told: dict[str, Any] = {"error": code, "reason": why, "grant": ref, "requestable": False}
    return text_result(f"{ref}: {why}", told if run is None else {**told, "run": run}, failed=True)
