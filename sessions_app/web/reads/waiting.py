"""What waits for a person's decision, or answer."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Identity
from accounts.queries import group_names, same_person
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandRun,
    Comment,
    Grant,
    GrantState,
    RequestState,
    RunState,
    requestable,
)
from sessions_app.queries.facts import readable_document
from sessions_app.queries.named import with_names


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
    found = (
        AccessRequest.objects.decidable_by(identity)
        .filter(lapses_at__gt=now)
        .exclude(requester__in=_same(identity))
        .annotate(risk=KeyTextTransform("risk", "command_set_version__document"))
        .order_by("lapses_at")
    )
    return with_names(found, rules=True).select_related("workflow").prefetch_related("approvals__approver")


def _glass_of_others(identity: Identity) -> QuerySet[Grant]:
    """Return break-glass access of others, not reviewed yet, under policies where the identity approves."""
    if not identity.is_person:
        return Grant.objects.none()
    grants = Grant.objects.filter(break_glass=True, reviewed_at__isnull=True)
    grants = grants.exclude(holder__in=_same(identity))
    if not identity.is_superuser:
        grants = grants.filter(policy__in=AccessPolicy.objects.holding(identity, "approve"))
    return with_names(grants)


def reviews_for(identity: Identity) -> QuerySet[Grant]:
    """Return break-glass access of others that is over and that the identity should review, the most urgent first."""
    over = (GrantState.REVOKING, GrantState.ENDED)
    return _glass_of_others(identity).filter(state__in=over).order_by("review_due_at")


def live_glass_for(identity: Identity) -> QuerySet[Grant]:
    """Return break-glass access of others that is live, where the identity will review it, the newest first."""
    live = (GrantState.SCHEDULED, GrantState.PROVISIONING, GrantState.ACTIVE)
    return _glass_of_others(identity).filter(state__in=live).select_related("request").order_by("-pk")


def releases_for(identity: Identity, now: dt.datetime) -> QuerySet[Grant]:
    """Return grants of others that are held since too much else was tried, where the identity may let them go on."""
    if not identity.is_person:
        return Grant.objects.none()
    held = Grant.objects.filter(state=GrantState.ACTIVE, held_at__isnull=False, expires_at__gt=now)
    decided = Q(policy__in=AccessPolicy.objects.holding(identity, "approve")) | Q(
        cluster__in=Cluster.objects.holding(identity, "approve")
    )
    return with_names(held.filter(decided).exclude(holder__in=_same(identity))).order_by("held_at")


def questions_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return own requests, and those of own machines, that wait and in whose thread somebody else spoke last; each with its
    comments, the oldest first.
    """
    if not identity.is_person:
        return AccessRequest.objects.none()
    last = Comment.objects.filter(request=OuterRef("pk")).order_by("-pk").values("author")[:1]
    own = Q(requester=identity) | Q(requester__owner=identity)
    found = (
        AccessRequest.objects.filter(own, state=RequestState.PENDING, lapses_at__gt=now)
        .annotate(spoke=Subquery(last))
        .filter(spoke__isnull=False)
        .exclude(spoke=F("requester"))
        .exclude(spoke=identity.pk)
    )
    said = Prefetch("comments", Comment.objects.select_related("author").order_by("pk"), to_attr="said")
    return with_names(found).prefetch_related(said).order_by("lapses_at")


# The lists above of what waits, counted in one statement: every page of everybody shows their number.
_COUNT = """
WITH person AS MATERIALIZED (
    SELECT id FROM accounts_identity
     WHERE id = %(me)s OR owner_id = %(me)s OR upper(email) = ANY(%(mails)s)),
may AS MATERIALIZED (SELECT id, codename FROM auth_permission WHERE codename IN ('approve_accesspolicy', 'approve_cluster')),
mine AS MATERIALIZED (SELECT group_id FROM accounts_identity_groups WHERE identity_id = %(me)s),
policies AS MATERIALIZED (
    SELECT content_object_id FROM sessions_app_accesspolicyuserobjectpermission
     WHERE user_id = %(me)s AND permission_id IN (SELECT id FROM may)
    UNION SELECT content_object_id FROM sessions_app_accesspolicygroupobjectpermission
     WHERE group_id IN (TABLE mine) AND permission_id IN (SELECT id FROM may)),
clusters AS MATERIALIZED (
    SELECT content_object_id FROM sessions_app_clusteruserobjectpermission
     WHERE user_id = %(me)s AND permission_id IN (SELECT id FROM may)
    UNION SELECT content_object_id FROM sessions_app_clustergroupobjectpermission
     WHERE group_id IN (TABLE mine) AND permission_id IN (SELECT id FROM may))
SELECT (
    SELECT count(*) FROM sessions_app_commandrun r JOIN sessions_app_grant g ON g.id = r.grant_id
     WHERE r.state = 'held' AND r.decided_at IS NULL AND r.hold_lapses_at > %(now)s AND g.state = 'active'
       AND (g.policy_id IN (TABLE policies) OR g.cluster_id IN (TABLE clusters)) AND g.holder_id NOT IN (TABLE person)
), (
    SELECT count(*) FROM sessions_app_accessrequest q
     WHERE q.state = 'pending' AND q.lapses_at > %(now)s AND q.policy_id IN (TABLE policies)
       AND q.requester_id NOT IN (TABLE person) AND NOT EXISTS (
        SELECT FROM sessions_app_approval a
         WHERE a.request_id = q.id AND a.approver_id = %(me)s AND a.voided_at IS NULL)
), (
    SELECT count(*) FROM sessions_app_grant g
     WHERE g.break_glass AND g.reviewed_at IS NULL AND g.state IN ('revoking', 'ended')
       AND (%(all)s OR g.policy_id IN (TABLE policies)) AND g.holder_id NOT IN (TABLE person)
), (
    SELECT count(*) FROM sessions_app_grant g
     WHERE g.state = 'active' AND g.held_at IS NOT NULL AND g.expires_at > %(now)s
       AND (g.policy_id IN (TABLE policies) OR g.cluster_id IN (TABLE clusters)) AND g.holder_id NOT IN (TABLE person)
), (
    SELECT count(*) FROM sessions_app_accessrequest q JOIN accounts_identity i ON i.id = q.requester_id
     WHERE q.state = 'pending' AND q.lapses_at > %(now)s AND (q.requester_id = %(me)s OR i.owner_id = %(me)s)
       AND (SELECT c.author_id FROM sessions_app_comment c WHERE c.request_id = q.id ORDER BY c.id DESC LIMIT 1)
           NOT IN (q.requester_id, %(me)s)
)
"""


class Waiting(NamedTuple):
    """How many held commands, requests, reviews, held grants and questions wait for somebody."""

    holds: int = 0
    requests: int = 0
    reviews: int = 0
    releases: int = 0
    questions: int = 0


def count_waiting(identity: Identity, now: dt.datetime) -> int:
    """Return how many things wait for the identity: for its decision, or for its answer."""
    return sum(counts_waiting(identity, now))


def counts_waiting(identity: Identity, now: dt.datetime) -> Waiting:
    """Return how many of each wait for the identity."""
    if not identity.is_person:
        return Waiting()
    mails = [identity.email.upper()] if identity.email else []
    parameters: dict[str, Any] = {
        "me": identity.pk, "mails": mails, "now": now, "all": identity.is_superuser,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, parameters)
        return Waiting(*map(int, cursor.fetchone()))


def break_glass_policies(identity: Identity) -> list[AccessPolicy]:
    """Return the policies that let the identity start at once."""
    groups = group_names(identity)
    asked = requestable(identity).filter(cluster__removed_at__isnull=True).values("accesspolicy")
    found = AccessPolicy.objects.exclude(document__break_glass=None).filter(pk__in=asked)
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
