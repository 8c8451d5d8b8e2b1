"""Denials from which a program can create an access request.

Source: AuthZEN Access Request and Approval Profile, draft 1.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from accounts.models import Identity
from broker.kernel.problems import problem
from sessions_app.operations.sessions.record_refused_request import DeadToken
from sessions_app.policy.commands.http.contents import UNSEEN, Content
from sessions_app.queries.requests.requestable import requestable

PROFILE = "arap-draft-1"
# How many seconds the access request in a denial can be submitted by its id.
GOOD_FOR = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why a request was refused, and what to request instead. ``context`` is in AuthZEN's format."""

    message: str
    context: dict[str, Any]

    def as_problem(self, status: int = 403) -> dict[str, Any]:
        """Return the RFC 9457 body of the response to the client."""
        return problem(
            status=status,
            code="request_refused",
            title="Request refused by Stint.",
            detail=self.message,
            decision=False,
            context=self.context,
        ) | {"decision": False}


def deny(
    *,
    reason: str,
    nearest: str | None,
    code: str,
    holder: Identity | None,
    cluster: str,
    target: str,
    method: str,
    uri: str,
    body: Content = UNSEEN,
    now: dt.datetime,
) -> Denial:
    """Return a denial, with an access request that the holder could submit, if any would allow the refused
    request.
    """
    near = f" Nearest: {nearest}" if nearest else ""
    context: dict[str, Any] = {
        "evaluation_id": f"ev_{secrets.token_urlsafe(12)}",
        "evaluated_at": now.isoformat(),
        "reason": "policy_denied",
        "code": code,
        "message": f"{reason}.{near}",
        "profile": PROFILE,
        "next_action": "none",
    }
    offer = _offer(holder, cluster, target, method, uri, body, now) if holder is not None else None
    if offer is not None:
        context |= {"reason": "approval_required", "next_action": "request", "access_request": offer}
    return Denial(message=context["message"], context=context)


def held(dead: DeadToken, now: dt.datetime) -> Denial:
    """Return the denial for a suspended grant. There is nothing to request, because an approver must resume
    the grant.
    """
    message = dead.says
    return Denial(
        message=message,
        context={
            "evaluation_id": f"ev_{secrets.token_urlsafe(12)}",
            "evaluated_at": now.isoformat(),
            "reason": "grant_held",
            "code": "held",
            "message": message,
            "profile": PROFILE,
            "next_action": "retry",
        },
    )


def _offer(
    holder: Identity, cluster: str, target: str, method: str, uri: str, body: Content, now: dt.datetime
) -> dict[str, Any] | None:
    found = requestable(identity=holder, cluster=cluster, method=method, target=uri, body=body)
    if found is None:
        return None
    ask = {
        "cluster": cluster,
        "command_set": found.command_set,
        "policy": found.policy,
        "parameters": found.parameters,
        "targets": [target],
        "duration": 3600,
        "reason": f"{method} {uri}"[:200],
    }
    form = {"cluster": cluster, "command_set": found.command_set, "policy": found.policy}
    return {
        # Stint's own API. `request` is its whole body, except for the fields in `missing`.
        "endpoint": f"{settings.PUBLIC_URL}/api/v1/requests",
        "template": found.command_set,
        "request": ask,
        "missing": list(found.missing),
        "expires_at": (now + GOOD_FOR).isoformat(),
        "form_url": f"{settings.PUBLIC_URL}/requests/new/?{urlencode(form)}",
        "display": {"title": f"Request {found.command_set} on {cluster}"},
    }
