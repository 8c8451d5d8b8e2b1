"""Past requests under a policy, as far as they are known, to be judged again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import Identity, Kind
from sessions_app.models import (
    OWN,
    AccessPolicy,
    AccessRequest,
    ClusterGroupObjectPermission,
    ClusterUserObjectPermission,
    RequestKind,
)
from sessions_app.policy.policies import Clause
from sessions_app.policy.replay import PastRequest
from sessions_app.policy.rules import Ask, Work

SPAN = dt.timedelta(days=90)
MOST = 5000


@dataclass(frozen=True, slots=True)
class Past:
    """The newest requests of the last 90 days, at most 5,000; ``more`` says that older ones were left out."""

    requests: list[PastRequest]
    more: bool


def past_requests(policy: AccessPolicy, now: dt.datetime) -> Past:
    """Return what was asked under a policy, extensions left out. Groups are those of today."""
    rows = list(
        AccessRequest.objects.filter(policy=policy, created_at__gte=now - SPAN)
        .exclude(kind=RequestKind.EXTENSION)
        .order_by("-created_at")
        .values(
            "number", "created_at", "kind", "requester_id", "requester__username", "cluster_id", "cluster__name",
            "command_set_version__command_set__name", "targets", "duration", "starts_at", "reason", "ticket",
            "workflow__ref", "workflow__kind", "workflow__source__name", "workflow__severity", "state",
        )[: MOST + 1]
    )  # fmt: skip
    groups = _groups({row["requester_id"] for row in rows})
    by_cluster = _asking_by_cluster({row["requester_id"] for row in rows}, policy)
    return Past(
        [_past(row, groups.get(row["requester_id"], frozenset()), by_cluster) for row in rows[:MOST]],
        len(rows) > MOST,
    )


def _past(row: Mapping[str, Any], groups: frozenset[str], by_cluster: set[tuple[int, int]]) -> PastRequest:
    return PastRequest(
        ref=f"REQ-{row['number']}",
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
            work=row["workflow__ref"] or "",
        ),
        work=_work(row),
    )


def _work(row: Mapping[str, Any]) -> Work | None:
    """Return the work that a request named, as it is now. Who had which part in it then is not kept: the requester had what
    the policy wanted.
    """
    if not row["workflow__ref"]:
        return None
    return Work(
        kind=row["workflow__kind"], source=row["workflow__source__name"] or OWN, severity=row["workflow__severity"],
        roles=frozenset({"assignee", "member", "on_call"}),
    )  # fmt: skip


def _groups(identities: Iterable[int]) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    through = Identity.groups.through.objects.filter(identity_id__in=list(identities))
    for identity, name in through.values_list("identity_id", "group__name"):
        found.setdefault(identity, set()).add(name)
    return {identity: frozenset(names) for identity, names in found.items()}


def _asking_by_cluster(identities: Iterable[int], policy: AccessPolicy) -> set[tuple[int, int]]:
    """Return who may ask for which cluster of the policy because that cluster says so, whatever the policy says."""
    clusters, wanted = policy.clusters.values("pk"), list(identities)
    asking = {"permission__codename": "request_cluster", "content_object__in": clusters}
    by_group = ClusterGroupObjectPermission.objects.filter(**asking, group__user__in=wanted)
    by_name = ClusterUserObjectPermission.objects.filter(**asking, user__in=wanted)
    return {
        *by_name.values_list("user_id", "content_object_id"),
        *by_group.values_list("group__user", "content_object_id"),
    }


class Approvers:
    """How many people could approve for whom, counted from what is read once."""

    def __init__(self, groups: Iterable[str], usernames: Iterable[str]) -> None:
        people = Identity.objects.active().filter(kind=Kind.PERSON, groups__name__in=list(groups))
        self._members: dict[str, set[int]] = {}
        self._mail: dict[int, str] = {}
        for pk, email, name in people.values_list("pk", "email", "groups__name"):
            self._members.setdefault(name, set()).add(pk)
            self._mail[pk] = email.casefold()
        self._barred = {
            username: (pk, owner, {mail.casefold() for mail in (email, owner_mail) if mail})
            for pk, username, email, owner, owner_mail in Identity.objects.filter(
                username__in=list(usernames)
            ).values_list("pk", "username", "email", "owner_id", "owner__email")
        }
        self._counted: dict[tuple[str, tuple[str, ...]], int] = {}

    def available(self, past: PastRequest, clause: Clause) -> int:
        """Return how many other people's approval would count: not the requester's, in any guise."""
        key = (past.ask.requester, clause.groups)
        if key not in self._counted:
            pk, owner, mails = self._barred[past.ask.requester]
            able = set().union(*(self._members.get(group, set()) for group in clause.groups))
            self._counted[key] = sum(
                1 for one in able if one not in (pk, owner) and self._mail[one] not in mails
            )
        return self._counted[key]
