"""A request that was refused is written down before it is answered."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import transaction

from accounts.actors import actor_of
from broker.audit.events import Event
from broker.audit.record import record, recordable
from sessions_app.models import CommandRun, GrantCredential, GrantState, RunState
from sessions_app.operations.authorize_request import GrantFacts
from sessions_app.operations.note_deviation import lock_watched, note_deviation
from sessions_app.operations.open_request_session import holder_of

MAX_STORED = 8000
HELD = "the grant is held, because too much else was tried"


def record_refused_request(
    *, facts: GrantFacts, session_id: int, line: str, reason: str, code: str, now: dt.datetime
) -> int:
    """Write down a request that a live grant does not allow; return its run's id."""
    line = recordable(line[:MAX_STORED])
    with transaction.atomic():
        lock_watched(grant_id=facts.grant_id)
        run = CommandRun.objects.create(
            grant_id=facts.grant_id, session_id=session_id, target_id=facts.target_id, line=line,
            state=RunState.REFUSED, reason=recordable(reason), tried_at=now,
        )  # fmt: skip
        record(
            event=Event.COMMAND_REFUSED, actor=holder_of(facts), object_type="grant", object_ref=facts.grant_ref, now=now,
            data={
                "run": run.pk, "session": session_id, "target": facts.target, "line": line, "why": run.reason, "code": code,
            },
        )  # fmt: skip
        note_deviation(grant_id=facts.grant_id, now=now)
    return run.pk


@dataclass(frozen=True, slots=True)
class DeadToken:
    """The grant of a token that opens nothing now; ``held``: it would, if an approver let the grant go on."""

    grant_ref: str
    held: bool


def record_dead_token(
    *, token_digest: str, target_name: str, line: str, now: dt.datetime, note: str = ""
) -> DeadToken | None:
    """Write down that somebody came with a token that is good no longer, or not there; None for a token that never was.

    ``note`` says what became of the attempt besides.
    """
    credential = (
        GrantCredential.objects.select_related("grant", "grant__holder").filter(digest=token_digest).first()
    )
    if credential is None:
        return None
    grant = credential.grant
    held = _is_held(credential, target_name, now)
    with transaction.atomic():
        record(
            event=Event.COMMAND_REFUSED, actor=actor_of(grant.holder), object_type="grant", object_ref=grant.ref, now=now,
            data={
                "target": recordable(target_name[:63]), "line": recordable(line[:MAX_STORED]),
                "why": "; ".join(filter(None, (_why(credential, now, held=held), recordable(note)))), "code": "held" if held else "over",
            },
        )  # fmt: skip
    return DeadToken(grant.ref, held)


def _is_held(credential: GrantCredential, target_name: str, now: dt.datetime) -> bool:
    """Whether nothing but the hold is in the way. Only asked when the one statement of the hot path found nothing."""
    grant = credential.grant
    live = grant.state == GrantState.ACTIVE and grant.held_at is not None and grant.expires_at > now
    good = credential.revoked_at is None and (credential.expires_at is None or credential.expires_at > now)
    return live and good and grant.targets.filter(name=target_name, removed_at__isnull=True).exists()


def _why(credential: GrantCredential, now: dt.datetime, *, held: bool) -> str:
    if held:
        return HELD
    if credential.revoked_at is not None:
        return "the token was replaced"
    if credential.expires_at is not None and credential.expires_at <= now:
        return "the time of the token is over"
    return f"the grant is {credential.grant.state}, or not for this target"
