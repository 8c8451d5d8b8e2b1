"""Approvals of a held command that allow several runs: each later run takes one."""

from __future__ import annotations

from dataclasses import replace

from django.db.models import F

from broker.kernel.text import recordable_line
from sessions_app.models import CommandRun
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.policy.commands.answers import Allowed


def answered_before(*, use: AnyUse, line: str, decision: Allowed) -> tuple[Allowed, CommandRun | None]:
    """Return the decision without a hold, and the run whose approval allows another run of exactly this
    command under this grant; the decision unchanged and None if there is none.

    The transaction must have locked the grant, so that no other run takes the same use.
    """
    if not decision.hold or decision.at_commit:
        return decision, None
    same = CommandRun.objects.filter(
        grant=use.grant_id,
        target=use.target.id,
        command_index=decision.index,
        line=recordable_line(line),
        argv=list(decision.argv),
        uses_left__gt=0,
    )
    run = same.select_related("decided_by").order_by("pk").first()
    if run is None:
        return decision, None
    note = f"allowed {run.allowed_times} times by {run.decided_by}, as run {run.pk}"
    return replace(decision, hold=False, notes=(*decision.notes, note)), run


def take_use(run: CommandRun | None) -> None:
    """Take one of a run's uses left, which must exist since `answered_before`. Without a run, do nothing."""
    if run is not None:
        CommandRun.objects.filter(pk=run.pk, uses_left__gt=0).update(uses_left=F("uses_left") - 1)
