"""What waits for a person's decision."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q, QuerySet

from accounts.models import Identity
from accounts.queries import group_names, same_person
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, CommandRun, Grant, GrantState, RunState
from sessions_app.queries.facts import readable_document


def _same(identity: Identity) -> QuerySet[Identity]:
    return Identity.objects.filter(same_person(identity))


def holds_for(identity: Identity, now: dt.datetime) -> QuerySet[CommandRun]:
    """Return held commands of others that wait, where the identity approves."""
    if not identity.is_person:
        return CommandRun.objects.none()
    return (
        CommandRun.objects.filter(
            Q(grant__policy__in=AccessPolicy.objects.holding(identity, "approve"))
            | Q(grant__cluster__in=Cluster.objects.holding(identity, "approve")),
            state=RunState.HELD, decided_at__isnull=True, hold_lapses_at__gt=now, grant__state=GrantState.ACTIVE,
        )
        .exclude(grant__holder__in=_same(identity))
        .select_related("grant__holder", "grant__cluster", "target")
        .order_by("hold_lapses_at")
    )  # fmt: skip


def requests_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return requests on which the identity's verdict would count, those that lapse soonest first."""
    return (
        AccessRequest.objects.decidable_by(identity)
        .filter(lapses_at__gt=now)
        .exclude(requester__in=_same(identity))
        .select_related(
            "requester", "cluster", "policy", "command_set_version__command_set", "extends", "workflow"
        )
        .prefetch_related("approvals__approver")
        .order_by("lapses_at")
    )


def reviews_for(identity: Identity) -> QuerySet[Grant]:
    """Return uses of broken glass by others that the identity should review, the most urgent first."""
    if not identity.is_person:
        return Grant.objects.none()
    grants = Grant.objects.filter(
        break_glass=True, reviewed_at__isnull=True, state__in=(GrantState.REVOKING, GrantState.ENDED)
    ).exclude(holder__in=_same(identity))
    if not identity.is_superuser:
        grants = grants.filter(policy__in=AccessPolicy.objects.holding(identity, "approve"))
    return grants.select_related("holder", "cluster", "command_set_version__command_set").order_by(
        "review_due_at"
    )


def count_waiting(identity: Identity, now: dt.datetime) -> int:
    """Return how many things wait for the identity's decision."""
    return (
        holds_for(identity, now).count() + requests_for(identity, now).count() + reviews_for(identity).count()
    )


def break_glass_policies(identity: Identity) -> list[AccessPolicy]:
    """Return the policies that let the identity start at once."""
    groups = group_names(identity)
    found = AccessPolicy.objects.requestable_by(identity).exclude(document__break_glass=None).distinct()
    return [
        policy
        for policy in found
        if (document := readable_document(policy))
        and document.break_glass
        and groups.intersection(document.break_glass.groups)
    ]


def may_break_glass(identity: Identity) -> bool:
    """Whether a policy lets the identity start at once."""
    return bool(break_glass_policies(identity))
