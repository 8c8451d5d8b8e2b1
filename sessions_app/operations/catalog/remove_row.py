"""Remove one row of the catalog."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record, rehearsing
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    CommandSet,
    EndReason,
    Grant,
    GrantQuerySet,
    TrustPolicy,
    WebhookEndpoint,
    WorkflowSource,
)
from sessions_app.operations.catalog.catalog_plan import Change, Plan
from sessions_app.operations.catalog.end_without_basis import end_in
from sessions_app.operations.catalog.revoke_issued_tokens import revoke_issued_tokens


@dataclass(frozen=True, slots=True)
class _Removal:
    """The steps for removing rows of one type."""

    model: Any
    grants_of: Callable[[Any], GrantQuerySet]
    reason: EndReason
    event: Event


_REMOVALS: Mapping[str, _Removal] = {
    "policy": _Removal(
        AccessPolicy,
        lambda row: Grant.objects.filter(policy=row),
        EndReason.POLICY_CHANGED,
        Event.POLICY_REMOVED,
    ),
    "cluster": _Removal(
        Cluster,
        lambda row: Grant.objects.filter(cluster=row),
        EndReason.CLUSTER_REMOVED,
        Event.CLUSTER_REMOVED,
    ),
    "command set": _Removal(
        CommandSet,
        lambda row: Grant.objects.filter(command_set_version__command_set=row),
        EndReason.POLICY_CHANGED,
        Event.COMMAND_SET_RETIRED,
    ),
    "trust policy": _Removal(
        TrustPolicy, lambda _: Grant.objects.none(), EndReason.POLICY_CHANGED, Event.TRUST_POLICY_REMOVED
    ),
    "webhook": _Removal(
        WebhookEndpoint, lambda _: Grant.objects.none(), EndReason.POLICY_CHANGED, Event.WEBHOOK_REMOVED
    ),
    "workflow source": _Removal(
        WorkflowSource,
        lambda row: Grant.objects.filter(workflow__source=row),
        EndReason.WORKFLOW_CLOSED,
        Event.SOURCE_REMOVED,
    ),
}


def live_rows(type_: str) -> Any:
    """Return the rows of one type that are not removed, sorted by name."""
    return _REMOVALS[type_].model.objects.live().order_by("name")


def remove_row(type_: str, row: Any, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Remove one row, end the grants that depend on it, and delete the messages queued for a webhook."""
    removal = _REMOVALS[type_]
    removal.model.objects.filter(pk=row.pk).update(removed_at=now)
    if isinstance(row, WebhookEndpoint) and not rehearsing():
        # Queued messages are deleted, because a new webhook with the same name can have another address and
        # other owners.
        row.messages.all().delete()
    taken = revoke_issued_tokens(policy=row, actor=actor, now=now) if isinstance(row, TrustPolicy) else None
    ended = []
    for grant in removal.grants_of(row).before_end():
        if grant.ref not in plan.ending:
            end_in(grant, plan, removal.reason, f"The {type_} was removed.", now)
            ended.append(grant.ref)
    plan.changes.append(Change("remove", type_, row.name, (), tuple(ended)))
    record(
        event=removal.event,
        actor=actor,
        object_type=type_.replace(" ", "_"),
        object_ref=row.name,
        now=now,
        data={"grants_ended": ended, **({} if taken is None else {"tokens_revoked": taken})},
    )
