"""Let a second person allow one held command, or deny it."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import CommandRun, HeldFile, RunState
from sessions_app.operations.requests.decide_request import MayNotDecide
from sessions_app.operations.sessions.stop_gateway import is_lost
from sessions_app.operations.sessions.withdraw_hold import no_longer_waits
from sessions_app.queries.grants.suspensions import suspension_of
from sessions_app.queries.requests.alike import read_digest
from sessions_app.queries.requests.confirmation import check_confirmed
from sessions_app.queries.requests.deciders import may_not_decide_in
from sessions_app.queries.requests.facts import policy_document


class GrantSuspended(Conflict):
    """The command's grant is suspended, so the command could not run. Resume the grant first."""

    code = "grant_suspended"


class GatewayIsLost(Conflict):
    """The gateway at which the command waits no longer responds, so the command can't run. Try it again."""

    code = "gateway_is_lost"


class OnlyOnce(Conflict):
    """The command can't be allowed as often as that. Allow it once, or as often as its policy permits."""

    code = "only_once"


class HoldChanged(Conflict):
    """The held command is not the one that you read, so it was not decided. Read it again."""

    code = "hold_changed"


def decide_hold(
    *,
    run_id: int,
    actor: Identity,
    allow: bool,
    for_grant: bool = False,
    times: int = 1,
    digest: str | None = None,
    now: dt.datetime,
) -> CommandRun:
    """Allow a held command, exactly as typed, once or ``times`` times under its grant, or deny it.

    ``for_grant`` allows a tool call with the same arguments for the rest of the grant. ``digest`` is that of
    what the actor read (`read_digest`). Raises NotFound, MayNotDecide, AlreadyDecided, HoldChanged, and for
    an approval also ProofNeeded, SignInNeeded, GatewayIsLost, GrantSuspended and OnlyOnce.
    """
    with transaction.atomic():
        run = _locked(run_id, actor)
        _check(run, actor, digest, now)
        if allow:
            _check_allowed(run, actor, for_grant=for_grant, times=times, now=now)
        run.decided_by, run.decided_at = actor, now
        run.allowed_for_grant = allow and for_grant
        if allow and times > 1:
            run.allowed_times = run.uses_left = times
        if not allow:
            run.state, run.ended_at, run.reason = RunState.HOLD_DENIED, now, f"{actor} denied it"
        run.save(
            update_fields=[
                *("decided_by", "decided_at", "allowed_for_grant", "allowed_times", "uses_left"),
                *("state", "ended_at", "reason"),
            ]
        )
        HeldFile.objects.filter(run=run).delete()
        record(
            event=Event.COMMAND_HOLD_DECIDED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=run.grant.ref,
            now=now,
            data={
                "run": run.pk,
                "allowed": allow,
                **({"for_grant": True} if run.allowed_for_grant else {}),
                **({"times": times} if run.allowed_times else {}),
                "argv": run.argv,
                "target": run.target.name,
            },
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('stint_hold', %s)", [str(run.pk)])
    return run


def _locked(run_id: int, actor: Identity) -> CommandRun:
    run = (
        CommandRun.objects.visible_to(actor)
        .select_for_update(no_key=True, of=("self",))
        .select_related(
            *("grant__holder__owner", "grant__policy", "grant__cluster", "target", "session__gateway")
        )
        .filter(pk=run_id)
        .first()
    )
    if run is None:
        raise NotFound("Command not found.")
    return run


def _check(run: CommandRun, actor: Identity, digest: str | None, now: dt.datetime) -> None:
    if why_not := may_not_decide_in(run.grant, actor):
        raise MayNotDecide(why_not, hint="Another approver must decide.")
    if not run.waits(now):
        raise no_longer_waits(run, now)
    if digest is not None and digest != read_digest(run):
        raise HoldChanged("The command is not the one that you read.", hint="Read it again.")


def _check_allowed(
    run: CommandRun, actor: Identity, *, for_grant: bool, times: int, now: dt.datetime
) -> None:
    check_confirmed(run.grant.policy, actor, now, page=f"/grants/{run.grant.ref}/")
    if is_lost(run.session.gateway, now):
        raise GatewayIsLost(
            "The gateway at which the command waits no longer responds, so the command can't run.",
            hint="The holder can try it again.",
        )
    if suspension := suspension_of(run.grant):
        raise GrantSuspended(
            f"{run.grant.ref} {suspension}.", hint="Resume it first, then allow the command."
        )
    if for_grant or times != 1:
        _check_often(run, for_grant=for_grant, times=times)


def _check_often(run: CommandRun, *, for_grant: bool, times: int) -> None:
    """Check that a command can be allowed for more than one run. Raises OnlyOnce."""
    once = "Allow it once."
    answers = policy_document(run.grant.policy).answers
    if run.over_budget:
        raise OnlyOnce("Each run beyond the budget needs its own approval.", hint=once)
    if hasattr(run, "held_commit"):
        raise OnlyOnce("Each transaction that waits at its COMMIT needs its own approval.", hint=once)
    if for_grant and run.grant.cluster.kind != "mcp":
        raise OnlyOnce("Only tool calls can be allowed for the rest of a grant.", hint=once)
    if for_grant and (times != 1 or not answers.grant):
        raise OnlyOnce(f"{run.grant.policy.name} doesn't permit this for the rest of a grant.", hint=once)
    if not 1 <= times <= answers.times:
        raise OnlyOnce(
            f"{run.grant.policy.name} permits 1 to {answers.times} runs for each approval.",
            hint="Allow it less often.",
        )
