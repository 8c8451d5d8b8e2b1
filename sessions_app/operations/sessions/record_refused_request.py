"""Record a refused request before the response is sent."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from django.db import transaction

from accounts.actors import actor_of
from broker.audit.attempts import record_attempt
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.text import recordable, recordable_line
from sessions_app.models import CommandRun, Grant, GrantCredential, GrantState, RunState
from sessions_app.operations.sessions.authorize_use import holder_of, place_of
from sessions_app.operations.sessions.note_deviation import lock_watched, note_deviation
from sessions_app.operations.sessions.open_session import RESUMABLE
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.operations.sessions.try_command import MAX_REASON
from sessions_app.queries.grants.suspensions import all_above_live, suspension_of

UNKNOWN = "this use is not allowed"
_SUBJECT = "the grant "


def record_refused_request(
    *, use: RequestUse, session_id: int, line: str, reason: str, code: str, now: dt.datetime
) -> int:
    """Record a request that an active grant does not allow, and return the run's id."""
    line = recordable_line(line)
    with transaction.atomic():
        lock_watched(grant_id=use.grant_id)
        run = CommandRun.objects.create(
            grant_id=use.grant_id,
            session_id=session_id,
            target_id=use.target.id,
            client_address=use.client,
            line=line,
            state=RunState.REFUSED,
            reason=recordable(reason[:MAX_REASON]),
            tried_at=now,
        )
        record(
            event=Event.COMMAND_REFUSED,
            actor=holder_of(use),
            object_type="grant",
            object_ref=use.grant_ref,
            now=now,
            data={
                "run": run.pk,
                "session": session_id,
                "target": use.target.name,
                "line": line,
                "why": run.reason,
                "code": code,
                **place_of(use),
            },
        )
        note_deviation(grant_id=use.grant_id, now=now)
    return run.pk


@dataclass(frozen=True, slots=True)
class DeadToken:
    """The grant of a token that is not valid now.

    ``held``: the token would be valid if an approver resumed the grant. ``why`` is a clause.
    """

    grant_ref: str
    held: bool
    why: str = field(default="", compare=False)

    @property
    def says(self) -> str:
        """Why the token of a suspended grant can't be used, and who can change that, as sentences."""
        return f"{self.grant_ref} {self.why.removeprefix(_SUBJECT)}. {RESUMABLE}"


def record_dead_token(
    *, token_digest: str, target_name: str, line: str, now: dt.datetime, note: str = ""
) -> DeadToken | None:
    """Record an attempt with a token that is no longer valid, or not for this target.

    Return None for a token that never existed. ``note`` describes what happened to the attempt in addition.
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
    suspension = "" if fault else why_suspended(grant)
    held, why = bool(suspension), suspension or fault or UNKNOWN
    record_attempt(
        event=Event.COMMAND_REFUSED,
        actor=actor_of(grant.holder),
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={
            "target": target_name[:63],
            "line": recordable_line(line),
            "why": "; ".join(filter(None, (why, note[:MAX_REASON]))),
            "code": "held" if held else "over",
        },
        source=f"token {credential.pk}",
    )
    return DeadToken(grant.ref, held, why)


def _fault(credential: GrantCredential, target_name: str, now: dt.datetime) -> str:
    """Return why the token can't be used, apart from a suspension; empty if it can.

    Called only if the fast path found nothing.
    """
    if credential.revoked_at is not None:
        return "the token was replaced"
    if credential.expires_at is not None and credential.expires_at <= now:
        return "the token has expired"
    other = "" if target_name in _places(credential.grant) else "the grant is not for this target"
    return why_over(credential.grant, now) or other


def why_over(grant: Grant, now: dt.datetime) -> str:
    """Return, as a clause, why a grant is over or has not started; empty if it is active."""
    if grant.state != GrantState.ACTIVE:
        return f"the grant is {grant.state}"
    if grant.expires_at <= now:
        return "the grant has expired"
    if grant.heartbeat_due_at is not None and grant.heartbeat_due_at <= now:
        return "its heartbeat was missed"
    if not Grant.objects.filter(all_above_live(now), pk=grant.pk).exists():
        return "the grant that it was delegated from is over"
    return ""


def why_suspended(grant: Grant) -> str:
    """Return, as a clause, why a grant can't be used while it is suspended; empty if it isn't."""
    suspension = suspension_of(grant)
    return f"{_SUBJECT}{suspension}" if suspension else ""


def _places(grant: Grant) -> set[str]:
    """Return the names that gateways use for the targets of a grant.

    Stint's own gateways also use the name of the cluster, and the PostgreSQL gateway uses the grant's
    reference.
    """
    names = set(grant.targets.filter(removed_at__isnull=True).values_list("name", flat=True))
    if grant.cluster.kind == "postgres":
        return names | {grant.ref}
    return names | {grant.cluster.name} if grant.cluster.kind in ("mcp", "http", "kubernetes") else names
