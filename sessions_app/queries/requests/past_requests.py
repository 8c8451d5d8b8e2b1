"""Past requests under a policy, reconstructed as far as possible, so that they can be evaluated again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import Identity, Kind
from accounts.queries import UNKNOWN, groups_of_people
from sessions_app.models import (
    OWN,
    AccessPolicy,
    AccessRequest,
    ClusterGroupObjectPermission,
    ClusterUserObjectPermission,
    RequestKind,
    Workflow,
)
from sessions_app.policy import references
from sessions_app.policy.replay import PastRequest
from sessions_app.policy.rules import Ask, Doing, WorkflowFacts
from sessions_app.queries.workflows.doings import Doings

SPAN = dt.timedelta(days=90)
MOST = 5000


@dataclass(frozen=True, slots=True)
class Past:
    """The newest requests of the last 90 days, at most 5,000. ``more``: whether older ones were left out."""

    requests: list[PastRequest]
    more: bool


def past_requests(policy: AccessPolicy, now: dt.datetime) -> Past:
    """Return the past requests under a policy, except extensions. Groups are the current ones."""
    rows = list(
        AccessRequest.objects.filter(policy=policy, created_at__gte=now - SPAN)
        .exclude(kind=RequestKind.EXTENSION)
        .order_by("-created_at")
        .values(
            "number",
            "created_at",
            "kind",
            "requester_id",
            "requester__username",
            "cluster_id",
            "cluster__name",
            "command_set_version__command_set__name",
            "targets",
            "duration",
            "starts_at",
            "reason",
            "ticket",
            "workflow__ref",
            "workflow__kind",
            "workflow__source__name",
            "workflow__severity",
            "workflow_id",
            "requester__kind",
            "requester__person",
            "requester__owner__person",
            "state",
        )[: MOST + 1]
    )
    groups = _groups({row["requester_id"] for row in rows})
    by_cluster = _asking_by_cluster({row["requester_id"] for row in rows}, policy)
    doings = _doings(rows)
    return Past(
        [_past(row, groups.get(row["requester_id"], frozenset()), by_cluster, doings) for row in rows[:MOST]],
        len(rows) > MOST,
    )


def _past(
    row: Mapping[str, Any],
    groups: frozenset[str],
    by_cluster: set[tuple[int, int]],
    doings: Mapping[tuple[int, int], Doing],
) -> PastRequest:
    return PastRequest(
        ref=references.request_ref(row["number"]),
        at=row["created_at"],
        state=row["state"],
        by_cluster=(row["requester_id"], row["cluster_id"]) in by_cluster,
        ask=Ask(
            requester=row["requester__username"],
            requester_groups=groups,
            cluster=row["cluster__name"],
            command_set=row["command_set_version__command_set__name"],
            target_count=len(row["targets"]),
            duration=row["duration"],
            starts_at=row["starts_at"],
            reason=row["reason"],
            ticket=row["ticket"],
            break_glass=row["kind"] == RequestKind.BREAK_GLASS,
            incident=(row["workflow__ref"] or "") if row["kind"] == RequestKind.INCIDENT else None,
            workflow=row["workflow__ref"] or "",
        ),
        is_person=row["requester__kind"] == Kind.PERSON,
        is_known=UNKNOWN not in (row["requester__person"], row["requester__owner__person"]),
        workflow=_workflow(row, doings),
    )


def _doings(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[int, int], Doing]:
    """Return whether each workflow was the requester's own, by the ids of the requester and the workflow."""
    pairs = {(row["requester_id"], row["workflow_id"]) for row in rows if row["workflow_id"]}
    people = Identity.objects.select_related("owner").in_bulk({person for person, _ in pairs})
    found = Workflow.objects.select_related("source", "opened_by__owner").in_bulk({one for _, one in pairs})
    doings = Doings(found.values())
    return {(person, one): doings.of(people[person], found[one]) for person, one in pairs}


def _workflow(row: Mapping[str, Any], doings: Mapping[tuple[int, int], Doing]) -> WorkflowFacts | None:
    """Return the workflow that a request named, in its current state.

    The roles at the time of the request are not stored, so the requester gets all roles that a policy can
    require.
    """
    if not row["workflow__ref"]:
        return None
    return WorkflowFacts(
        kind=row["workflow__kind"],
        source=row["workflow__source__name"] or OWN,
        severity=row["workflow__severity"],
        roles=frozenset({"assignee", "member", "on_call"}),
        doing=doings[row["requester_id"], row["workflow_id"]],
    )


def _groups(identities: Iterable[int]) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    through = Identity.groups.through.objects.filter(identity_id__in=list(identities))
    for identity, name in through.values_list("identity_id", "group__name"):
        found.setdefault(identity, set()).add(name)
    return {identity: frozenset(names) for identity, names in found.items()}


def _asking_by_cluster(identities: Iterable[int], policy: AccessPolicy) -> set[tuple[int, int]]:
    """Return the pairs of identity id and cluster id for which the cluster itself, not the policy, permits
    requests.
    """
    clusters, wanted = policy.clusters.values("pk"), list(identities)
    asking = {"permission__codename": "request_cluster", "content_object__in": clusters}
    by_group = ClusterGroupObjectPermission.objects.filter(**asking, group__user__in=wanted)
    by_name = ClusterUserObjectPermission.objects.filter(**asking, user__in=wanted)
    return {
        *by_name.values_list("user_id", "content_object_id"),
        *by_group.values_list("group__user", "content_object_id"),
    }


class Approvers:
    """The possible approvers of past requests, read once per requester."""

    def __init__(self, groups: Iterable[str], usernames: Iterable[str]) -> None:
        self._groups = list(groups)
        wanted = Identity.objects.select_related("owner").filter(username__in=list(usernames))
        self._requesters = {identity.username: identity for identity in wanted}
        self._found: dict[str, tuple[frozenset[str], ...]] = {}

    def __call__(self, past: PastRequest) -> tuple[frozenset[str], ...]:
        """Return the groups of each other person.

        All accounts and machines of the requester are left out.
        """
        name = past.ask.requester
        if name not in self._found:
            self._found[name] = groups_of_people(self._groups, but=[self._requesters[name]])
        return self._found[name]
