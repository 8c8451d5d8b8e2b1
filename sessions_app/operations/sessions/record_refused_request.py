"""A request that was refused is written down before it is answered."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import transaction

from accounts.actors import actor_of
from broker.audit.attempts import record_attempt
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.text import recordable
from sessions_app.models import CommandRun, Grant, GrantCredential, GrantState, RunState
from sessions_app.operations.sessions.authorize_use import holder_of
from sessions_app.operations.sessions.note_deviation import lock_watched, note_deviation
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.operations.sessions.try_command import MAX_REASON, MAX_STORED

HELD = "the grant is held after too many refused commands"
UNKNOWN = "this use is not allowed"


def record_refused_request(
    *, use: RequestUse, session_id: int, line: str, reason: str, code: str, now: dt.datetime
) -> int:
    """Write down a request that a live grant does not allow; return its run's id."""
    line = recordable(line[:MAX_STORED])
    with transaction.atomic():
        lock_watched(grant_id=use.grant_id)
        run = CommandRun.objects.create(
            grant_id=use.grant_id, session_id=session_id, target_id=use.target.id, line=line,
            state=RunState.REFUSED, reason=recordable(reason[:MAX_REASON]), tried_at=now,
        )  # fmt: skip
        record(
            event=Event.COMMAND_REFUSED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={
                "run": run.pk, "session": session_id, "target": use.target.name, "line": line, "why": run.reason, "code": code,
            },
        )  # fmt: skip
        note_deviation(grant_id=use.grant_id, now=now)
    return run.pk


@dataclass(frozen=True, slots=True)
class DeadToken:
    """The grant of a token that is not valid now; ``held``: it would be, if an approver released the grant."""

    grant_ref: str
    held: bool


def record_dead_token(
    *, token_digest: str, target_name: str, line: str, now: dt.datetime, note: str = ""
) -> DeadToken | None:
    """Write down that somebody came with a token that is good no longer, or not there; None for a token that never was.

    ``note`` says what became of the attempt besides.
    """
    credential = (
        GrantCredential.objects.select_related("grant__holder", "grant__cluster")
        .filter(digest=token_digest)
        .first()
    )
    if credential is None:
        return None
    grant = credential.grant
    fault = _fault(credential, target_name, now)
    held = not fault and grant.held_at is not None
    record_attempt(
        event=Event.COMMAND_REFUSED, actor=actor_of(grant.holder), object_type="grant", object_ref=grant.ref, now=now,
        data={
            "target": target_name[:63], "line": line[:MAX_STORED],
            "why": "; ".join(filter(None, (HELD if held else fault or UNKNOWN, note[:MAX_REASON]))),
            "code": "held" if held else "over",
        },
        source=f"token {credential.pk}",
    )  # fmt: skip
    return DeadToken(grant.ref, held)


def _fault(credential: GrantCredential, target_name: str, now: dt.datetime) -> str:
    """Say what but a hold is in the way. Only asked when the one statement of the hot path found nothing."""
    grant = credential.grant
    if credential.revoked_at is not None:
        return "the token was replaced"
    if credential.expires_at is not None and credential.expires_at <= now:
        return "the token has expired"
    if grant.state != GrantState.ACTIVE:
        return f"the grant is {grant.state}"
    if grant.expires_at <= now:
        return "the grant has expired"
    if grant.heartbeat_due_at is not None and grant.heartbeat_due_at <= now:
        return "its heartbeat was missed"
    if target_name not in _places(grant):
        return "the grant is not for this target"
    return ""


def _places(grant: Grant) -> set[str]:
    """What gateways call the targets of a grant; those of MCP also go by the name of their cluster."""
    names = set(grant.targets.filter(removed_at__isnull=True).values_list("name", flat=True))
    return names | {grant.cluster.name} if grant.cluster.kind == "mcp" else names
