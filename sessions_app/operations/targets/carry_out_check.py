"""Carry out a requested check of a target, and record the result of each step."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from django.db import transaction

from accounts.actors import actor_of
from broker.kernel.lock import held
from sessions_app.connectors.base import CALL_SECONDS, CheckStep
from sessions_app.models import TargetCheck
from sessions_app.operations.targets.look_at_target import is_right, kept, record_look, steps_of

# How long a queue message may wait before its check counts as lost.
PATIENCE = dt.timedelta(seconds=3)
# An arbitrary number that no other two-key advisory lock in the database uses.
_CHECKS = 7_401
# In seconds. A process that is silent for longer than the two calls of a check can take counts as stopped.
SILENT = 2 * CALL_SECONDS + 15


def carry_out_check(*, check_id: int, now: Callable[[], dt.datetime]) -> TargetCheck | None:
    """Carry out one check and return it; None if there is nothing to do or another process is carrying out
    the check.

    During the calls to the target, the process holds only one lock in the database. The lock is released when
    the process ends or is stopped.
    """
    with held(_CHECKS, check_id % 2**31, silent=SILENT) as mine:
        check = (
            TargetCheck.objects.select_related("target__cluster", "asked_by")
            .filter(pk=check_id, finished_at__isnull=True)
            .first()
        )
        if not mine or check is None:
            return None
        return _finish(check, steps_of(check.target), now())


def lost_checks(*, now: dt.datetime) -> list[int]:
    """Return the checks whose queue message was lost, oldest first."""
    waiting = TargetCheck.objects.filter(finished_at__isnull=True, asked_at__lte=now - PATIENCE)
    return list(waiting.order_by("pk").values_list("pk", flat=True)[:20])


def _finish(check: TargetCheck, steps: Sequence[CheckStep], now: dt.datetime) -> TargetCheck:
    check.steps, check.ok, check.finished_at = kept(steps), is_right(steps), now
    with transaction.atomic():
        check.save(update_fields=["steps", "ok", "finished_at"])
        record_look(target=check.target, steps=steps, actor=actor_of(check.asked_by), now=now)
    return check
