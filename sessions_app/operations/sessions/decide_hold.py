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
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide
from sessions_app.queries.grants.suspensions import suspension_of
from sessions_app.queries.requests.deciders import may_not_decide_in


class GrantSuspended(Conflict):
    """The command's grant is suspended, so the command could not run. Resume the grant first."""

    code = "grant_suspended"


class OnlyOnce(Conflict):
    """Only tool calls within their budget can be allowed for the rest of a grant. Allow the command once."""

    code = "only_once"


def decide_hold(
    *, run_id: int, actor: Identity, allow: bool, for_grant: bool = False, now: dt.datetime
) -> CommandRun:
    """Allow a held command once, exactly as typed, or deny it.

    ``for_grant`` allows a tool call with the same arguments for the rest of the grant. Raises NotFound,
    MayNotDecide, AlreadyDecided, GrantSuspended, OnlyOnce.
    """
    with transaction.atomic():
        run = (
            CommandRun.objects.visible_to(actor)
            .select_for_update(no_key=True, of=("self",))
            .select_related("grant__holder__owner", "grant__policy", "grant__cluster", "target")
            .filter(pk=run_id)
            .first()
        )
        if run is None:
            raise NotFound("Command not found.")
        if why_not := may_not_decide_in(run.grant, actor):
            raise MayNotDecide(why_not, hint="Another approver must decide.")
        if not run.waits(now):
            raise AlreadyDecided("The command is no longer waiting.", hint="The holder can try it again.")
        if allow and (suspension := suspension_of(run.grant)):
            raise GrantSuspended(
                f"{run.grant.ref} {suspension}.", hint="Resume it first, then allow the command."
            )
        if for_grant and run.grant.cluster.kind != "mcp":
            raise OnlyOnce("Only tool calls can be allowed for the rest of a grant.", hint="Allow it once.")
        if for_grant and run.over_budget:
            raise OnlyOnce("Each call beyond the budget needs its own approval.", hint="Allow it once.")
        run.decided_by, run.decided_at = actor, now
        run.allowed_for_grant = allow and for_grant
        if not allow:
            run.state, run.ended_at, run.reason = RunState.HOLD_DENIED, now, f"{actor} denied it"
        run.save(
            update_fields=["decided_by", "decided_at", "allowed_for_grant", "state", "ended_at", "reason"]
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
                "argv": run.argv,
                "target": run.target.name,
            },
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('stint_hold', %s)", [str(run.pk)])
    return run
