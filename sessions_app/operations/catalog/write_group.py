"""Update a group to match its document, or remove it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.contrib.auth.models import Group

from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import (
    Grant,
)
from sessions_app.operations.catalog.catalog_plan import Action, Change, Plan, note
from sessions_app.operations.catalog.end_without_basis import end_without_basis
from sessions_app.policy.catalog import (
    GroupDocument,
)


def write_group(document: GroupDocument, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Update a group and its members to match the document.

    Grants that removed members held only through the group end.
    """
    group, made = Group.objects.get_or_create(name=document.name)
    before = [] if made else sorted(group.user_set.values_list("username", flat=True))
    after = sorted(canonical_username(name) for name in document.members)
    if made or before != after:
        group.user_set.set(Identity.objects.filter(username__in=after))
        ends = _end_of_members(set(before) - set(after), plan, now)
        action: Action = "create" if made else "change"
        note(plan, action, "group", document.name, {"members": before}, {"members": after}, ends)
        _record_members(document.name, before, after, ends, actor, now)


def remove_group(group: Group, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Remove a group and its permissions. Grants that its members held only through the group end."""
    before = sorted(group.user_set.values_list("username", flat=True))
    group.delete()
    ends = _end_of_members(before, plan, now)
    plan.changes.append(Change("remove", "group", group.name, (), ends))
    _record_members(group.name, before, [], ends, actor, now)


def _end_of_members(names: Collection[str], plan: Plan, now: dt.datetime) -> tuple[str, ...]:
    return end_without_basis(Grant.objects.filter(holder__username__in=names), plan, now)


def _record_members(
    name: str, before: list[str], after: list[str], ends: tuple[str, ...], actor: Actor, now: dt.datetime
) -> None:
    record(
        event=Event.PERMISSION_CHANGED,
        actor=actor,
        object_type="group",
        object_ref=name,
        now=now,
        data={"before": before, "after": after, "grants_ended": list(ends)},
    )
