"""Check a target step by step, and record the result of each step."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import Json, record
from broker.kernel.text import recordable
from sessions_app.connectors.base import CheckStep, CommandChecker, ConnectorError
from sessions_app.models import Target
from sessions_app.operations.targets.connect import connector_for, place_of_target
from sessions_app.queries.catalog.command_sets import published_sets

# In characters. The output of a step can be longer, but pages and the record need only this much.
LONGEST = 1000


def look_at_target(*, target: Target, actor: Actor, now: Callable[[], dt.datetime]) -> Sequence[CheckStep]:
    """Log in to a target, run each check step of its kind, and record the results.

    No database lock is held during the checks.
    """
    steps = steps_of(target)
    with transaction.atomic():
        record_look(target=target, steps=steps, actor=actor, now=now())
    return steps


def steps_of(target: Target) -> Sequence[CheckStep]:
    """Check a target and return the steps. If Stint can't call the target, a step gives the reason."""
    if target.removed_at is not None or target.cluster.removed_at is not None:
        return [CheckStep("in the catalog", False, f"{target} was removed", "Add the target again.")]
    try:
        return _asked(target)
    except ConnectorError as error:
        return [
            CheckStep(
                "configured in Stint", False, error.message, "Fix the cluster on its page, then try again."
            )
        ]


def record_look(*, target: Target, steps: Sequence[CheckStep], actor: Actor, now: dt.datetime) -> None:
    """Record the steps of a check. Call it in a transaction."""
    record(
        event=Event.CLUSTER_CHECKED,
        actor=actor,
        object_type="cluster",
        object_ref=target.cluster.name,
        now=now,
        data={"target": target.name, "ok": is_right(steps), "steps": kept(steps)},
    )


def is_right(steps: Sequence[CheckStep]) -> bool:
    """Whether all steps passed."""
    return bool(steps) and all(step.ok for step in steps)


def kept(steps: Sequence[CheckStep]) -> list[dict[str, Json]]:
    """Return the steps in their stored form."""
    return [
        {
            key: recordable(value)[:LONGEST] if isinstance(value, str) else value
            for key, value in asdict(step).items()
        }
        for step in steps
    ]


def _asked(target: Target) -> Sequence[CheckStep]:
    connector, place = connector_for(target.cluster.kind), place_of_target(target)
    steps = connector.check(place)
    if isinstance(connector, CommandChecker) and all(step.ok for step in steps):
        steps += connector.check_commands(place, published_sets(target.cluster))
    return steps
