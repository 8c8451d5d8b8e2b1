"""Look at a target as somebody asked, and write down each step's answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict

from django.db import transaction

from accounts.actors import actor_of
from broker.audit.events import Event
from broker.audit.record import record, recordable
from broker.kernel.lock import held
from sessions_app.connectors.base import CALL_SECONDS, CheckStep, CommandChecker, ConnectorError
from sessions_app.models import Target, TargetCheck
from sessions_app.operations.connect import connector_for, place_of_target
from sessions_app.queries.commands import published_sets

# What an answer says of a target may be long; a page and the record need no more of it.
LONGEST = 1000
# Messages are given this long before a row counts as lost.
PATIENCE = dt.timedelta(seconds=3)
# Any number that no other part of the database uses for advisory locks of two keys.
_CHECKS = 7_401
# Who was silent for longer than the two calls of a check may take was stopped.
SILENT = 2 * CALL_SECONDS + 15


def carry_out_check(*, check_id: int, now: Callable[[], dt.datetime]) -> TargetCheck | None:
    """Carry out one check and return it; None when there is nothing to do or another process is at it.

    Nothing is held in the database while the target is asked but a lock that ends with this process, or when it was stopped.
    """
    with held(_CHECKS, check_id % 2**31, silent=SILENT) as mine:
        check = (
            TargetCheck.objects.select_related("target__cluster", "asked_by")
            .filter(pk=check_id, finished_at__isnull=True)
            .first()
        )
        if not mine or check is None:
            return None
        return _finish(check, _look(check), now())


def lost_checks(*, now: dt.datetime) -> list[int]:
    """Return the checks that no message brought to a worker, the oldest first."""
    waiting = TargetCheck.objects.filter(finished_at__isnull=True, asked_at__lte=now - PATIENCE)
    return list(waiting.order_by("pk").values_list("pk", flat=True)[:20])


def _look(check: TargetCheck) -> Sequence[CheckStep]:
    target = check.target
    if target.removed_at is not None or target.cluster.removed_at is not None:
        return [CheckStep("in the catalogue", False, f"{target} was removed", "Add it again.")]
    try:
        return _steps(target)
    except ConnectorError as error:
        return [
            CheckStep(
                "set up in Stint", False, error.message, "Mend the cluster on its page, then try again."
            )
        ]


def _steps(target: Target) -> Sequence[CheckStep]:
    connector, place = connector_for(target.cluster.kind), place_of_target(target)
    steps = connector.check(place)
    if isinstance(connector, CommandChecker) and all(step.ok for step in steps):
        steps += connector.check_commands(place, published_sets(target.cluster))
    return steps


def _finish(check: TargetCheck, steps: Sequence[CheckStep], now: dt.datetime) -> TargetCheck:
    check.steps = [{key: _kept(value) for key, value in asdict(step).items()} for step in steps]
    check.ok, check.finished_at = bool(steps) and all(step.ok for step in steps), now
    with transaction.atomic():
        check.save(update_fields=["steps", "ok", "finished_at"])
        record(
            event=Event.CLUSTER_CHECKED, actor=actor_of(check.asked_by), object_type="cluster", now=now,
            object_ref=check.target.cluster.name,
            data={"target": check.target.name, "ok": check.ok, "steps": check.steps},
        )  # fmt: skip
    return check


def _kept(value: object) -> object:
    return recordable(value)[:LONGEST] if isinstance(value, str) else value
