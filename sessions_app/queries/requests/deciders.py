"""Who can decide what. The same rules apply to a person's lists, to the people for a request or grant, and
to checks with a reason.

People can't decide on their own access, not even through another account or a machine. Their own access
includes requests and grants of all their accounts and machines, and everything delegated from such a grant.
Machines decide nothing. Only people count, not accounts: a person decides only once, with any account. A
person's account without an email address could belong to anyone, so it can't decide, and no one can decide on
its access.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS
from django.db.models import (
    BooleanField,
    Exists,
    F,
    Func,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Value,
)
from guardian.shortcuts import get_users_with_perms

from accounts.models import Identity, Kind
from accounts.queries import (
    UNKNOWN,
    are_same_person,
    each_person,
    each_person_in,
    enabled_and_groups,
    group_names,
    groups_of_people,
    known_but,
    people_in,
    persons_of,
)
from broker.kernel.postgresql.rows import Rows, ask, is_kept, keep
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Approval,
    Cluster,
    CommandRun,
    Grant,
    GrantQuerySet,
    GrantState,
    RequestState,
    Verdict,
)
from sessions_app.models.session import CommandRunQuerySet
from sessions_app.policy.approval_count import CountedVerdict, short_of
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.queries.grants.delegations import chain_of
from sessions_app.queries.requests import facts

_ADD_ADDRESS = "Ask an administrator to add one."
OVER = (GrantState.REVOKING, GrantState.ENDED)


# Requests.

# The verdicts on a request, with the necessary columns of their approvers. They are prefetched once for
# all code that counts them.
VERDICTS = Prefetch(
    "approvals", Approval.objects.select_related("approver__owner").prefetch_related("approver__groups")
)

_VERDICTS = Rows(
    Approval,
    "approver__owner",
    tail="WHERE sessions_app_approval.request_id = %s ORDER BY sessions_app_approval.id",
)
_GROUPS = """
SELECT identity_id, auth_group.id, name
  FROM auth_group JOIN accounts_identity_groups ON group_id = auth_group.id WHERE identity_id = ANY(%s)
"""


def read_verdicts(request: AccessRequest) -> None:
    """Read the verdicts on a request as `VERDICTS` does, unless they are already prefetched."""
    if is_kept(request.approvals):
        return
    found = _VERDICTS(request.pk)
    for one in found:
        one.request = request
    _read_groups(found)
    keep(request.approvals, found)


def _read_groups(verdicts: Iterable[Approval]) -> None:
    people = [one.approver for one in verdicts if not is_kept(one.approver.groups)]
    found: dict[int, list[Group]] = {person.pk: [] for person in people}
    for person, pk, name in ask(_GROUPS, list(found)) if found else ():
        found[person].append(Group.from_db(DEFAULT_DB_ALIAS, ["id", "name"], [pk, name]))
    for person in people:
        keep(person.groups, found[person.pk])


def may_not_decide(request: AccessRequest, person: Identity) -> str:
    """Return why this identity's verdict on this request does not count; empty if it counts."""
    if why := _barred(person, [request.requester], "You can't decide your own request."):
        return why
    wanted = facts.policy_document(request.policy).approver_groups
    if not group_names(person).intersection(wanted):
        return f"Only people in {' or '.join(wanted) or 'no group'} can decide under {request.policy.name}."
    given = (one.approver for one in _standing(request) if one.approver.person == person.person)
    other = next((one for one in given if one.pk != person.pk), None)
    return f"You have already decided the request as {other.username}." if other else ""


def requests_for(person: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return the requests that wait for a verdict of this person, and on which that verdict would count."""
    if not _decides(person):
        return AccessRequest.objects.none()
    given = Approval.objects.filter(
        request=OuterRef("pk"),
        voided_at__isnull=True,
        approver__is_active=True,
        approver__person=person.person,
    )
    # Subqueries, because PostgreSQL would join all identities.
    accounts = Identity.objects.filter(person__in=[person.person, UNKNOWN])
    return (
        AccessRequest.objects.filter(
            state=RequestState.PENDING,
            lapses_at__gt=now,
            policy__in=AccessPolicy.objects.holding(person, "approve"),
        )
        .exclude(requester__in=accounts)
        .exclude(requester__in=Identity.objects.filter(owner__in=accounts))
        .exclude(Exists(given))
    )


def deciders_of(request: AccessRequest) -> list[Identity]:
    """Return the people whose verdict would still count, one account per person."""
    groups = {
        group
        for clause in facts.clauses_of(request, facts.policy_document(request.policy))
        for group in clause.groups
    }
    given = {one.approver.person for one in _standing(request)}
    people = each_person_in(groups, but=[request.requester])
    return [person for person in people if person.person not in given]


def eligible_approvers(clause: Clause, requester: Identity) -> list[Identity]:
    """Return the people whose approval would count for the clause, one account per person."""
    return each_person_in(clause.groups, but=[requester])


def counted_verdicts(request: AccessRequest, *, adding: Approval | None = None) -> list[CountedVerdict]:
    """Return the verdicts on a request, each with whether its approver can currently decide the request.

    ``adding`` is a verdict that is not stored yet. It replaces an earlier verdict by the same account.
    """
    read_verdicts(request)
    given = [one for one in request.approvals.all() if one.voided_at is None]
    if adding is not None:
        given = [*(one for one in given if one.approver_id != adding.approver_id), adding]
        _read_groups(given)
    return [
        CountedVerdict(
            person=approval.approver.person,
            groups=frozenset(group.name for group in approval.approver.groups.all()),
            approve=approval.verdict == Verdict.APPROVE,
            digest=approval.digest,
            counts=_decides(approval.approver) and not are_same_person(approval.approver, request.requester),
        )
        for approval in given
    ]


def _standing(request: AccessRequest) -> list[Approval]:
    """Return the verdicts that count: not withdrawn, and from enabled accounts."""
    given = request.approvals.all() if is_kept(request.approvals) else _VERDICTS(request.pk)
    return [one for one in given if one.voided_at is None and one.approver.is_active]


def why_never_met(document: PolicyDocument) -> str:
    """Return why a policy's approvers can't approve any request under it now; empty if they can."""
    groups = document.approver_groups
    said = short_of(document.clauses, groups_of_people(groups, but=()), "person", "people")
    if not said:
        return ""
    accounts: dict[str, list[str]] = {}
    for person, username in people_in(groups, but=()).order_by("username").values_list("person", "username"):
        accounts.setdefault(person, []).append(username)
    twins = "".join(
        f"; {' and '.join(names)} are one person" for names in accounts.values() if len(names) > 1
    )
    people = Identity.objects.active().filter(groups__name__in=groups, person=UNKNOWN)
    nameless = people.distinct().order_by("username").values_list("username", flat=True)
    unknown = f"; {', '.join(nameless)}: without an email address, no approval counts" if nameless else ""
    return f"no request could be approved: each needs {said}{twins}{unknown}"


# Decisions within a grant: on held commands, and on whether a suspended grant may continue.


def may_not_decide_in(grant: Grant, person: Identity) -> str:
    """Return why this identity can't make decisions within a grant; empty if it can."""
    if why := _barred(person, holders_of(grant), "You hold this grant, or delegated it."):
        return why
    by_policy = group_names(person).intersection(facts.policy_document(grant.policy).approver_groups)
    if by_policy or Cluster.objects.held_by(person, "approve").filter(pk=grant.cluster_id).exists():
        return ""
    return f"Only approvers of {grant.policy.name} or {grant.cluster.name} can decide this."


def deciders_in(grant: Grant) -> list[Identity]:
    """Return the people who can decide on held commands under a grant, one account per person: approvers of
    its policy and of its cluster.
    """
    permitted: Any = get_users_with_perms(
        grant.cluster, only_with_perms_in=["approve_cluster"], with_group_users=True, with_superusers=False
    )
    by_policy = Q(groups__name__in=facts.policy_document(grant.policy).approver_groups)
    found = Identity.objects.active().filter(by_policy | Q(pk__in=permitted.values("pk")), kind=Kind.PERSON)
    return each_person(known_but(found, holders_of(grant)).distinct().order_by("name", "username"))


def holds_for(person: Identity, now: dt.datetime) -> CommandRunQuerySet:
    """Return the held commands that are waiting for this person."""
    if not _decides(person):
        return CommandRun.objects.none()
    return CommandRun.objects.waiting(now).filter(
        Q(grant__policy__in=AccessPolicy.objects.holding(person, "approve"))
        | Q(grant__cluster__in=Cluster.objects.holding(person, "approve")),
        ~_stands_behind("grant_id", person),
    )


def may_not_release(grant: Grant, person: Identity) -> str:
    """Return why this identity can't resume a suspended grant; empty if it can.

    Approvers can, and so can the person who suspended it, but never its holder.
    """
    if grant.held_by_id is not None and grant.held_by_id == person.pk:
        return _barred(person, holders_of(grant), "You hold this grant, or delegated it.")
    return may_not_decide_in(grant, person)


def releases_for(person: Identity, now: dt.datetime) -> GrantQuerySet:
    """Return the suspended grants that this person may resume."""
    if not _decides(person):
        return Grant.objects.none()
    return Grant.objects.filter(
        Q(policy__in=AccessPolicy.objects.holding(person, "approve"))
        | Q(cluster__in=Cluster.objects.holding(person, "approve"))
        | Q(held_by=person),
        ~_stands_behind("pk", person),
        state=GrantState.ACTIVE,
        held_at__isnull=False,
        expires_at__gt=now,
    )


def holders_of(grant: Grant) -> list[Identity]:
    """Return the holder of a grant, and the holders of all grants that it was delegated from."""
    return [one.holder for one in chain_of(grant)]


def _stands_behind(grant_id: str, person: Identity) -> Q:
    """Return `_barred` as an SQL condition on the grant whose id is in a column."""
    return Q(
        Func(F(grant_id), Value(person.person), function="stint_stands_behind", output_field=BooleanField())
    )


# Reviews of access that started without approval.


def may_not_review(grant: Grant, person: Identity) -> str:
    """Return why this identity can't review the grant after its end; empty if it can.

    People who could have approved the access can review it, and so can administrators, in case a policy has
    no approvers.
    """
    if why := _barred(person, holders_of(grant), "You can't review your own access."):
        return why
    wanted = facts.policy_document(grant.policy).approver_groups
    if person.is_superuser or group_names(person).intersection(wanted):
        return ""
    return f"Only people in {' or '.join(wanted) or 'no group'} and administrators can review this access."


def reviewers(grant: Grant) -> list[Identity]:
    """Return the people who are asked to review a grant, one account per person: its approvers or, if there
    are none, administrators.
    """
    holders = holders_of(grant)
    groups = facts.policy_document(grant.policy).approver_groups
    return each_person_in(groups, but=holders) or administrators(but=holders)


def administrators(*, but: Iterable[Identity]) -> list[Identity]:
    """Return the enabled administrators, one account per person, except the people in ``but``."""
    found = known_but(Identity.objects.active().filter(is_superuser=True), but)
    return each_person(found.order_by("name", "username"))


def to_be_reviewed_by(person: Identity) -> GrantQuerySet:
    """Return the grants, ended or not, that started without approval and that this person can review."""
    if not _decides(person):
        return Grant.objects.none()
    found = Grant.objects.filter(
        ~_stands_behind("pk", person), review_due_at__isnull=False, reviewed_at__isnull=True
    )
    if person.is_superuser:
        return found
    return found.filter(policy__in=AccessPolicy.objects.holding(person, "approve"))


def reviews_for(person: Identity) -> GrantQuerySet:
    """Return the grants that are waiting for this person's review."""
    return to_be_reviewed_by(person).filter(state__in=OVER)


def _decides(person: Identity) -> bool:
    return person.is_person and person.is_active and person.person != UNKNOWN


def _barred(person: Identity, behind: Iterable[Identity], own: str) -> str:
    """Return why an identity can't decide anything, or nothing that concerns the people in ``behind``; empty
    if it can.
    """
    if not person.is_person:
        return "Machines can request access; only people can decide."
    behind = list(behind)
    if any(one.pk == person.pk for one in behind):
        return own
    if person.person == UNKNOWN:
        return f"Your account has no email address, so it could be anyone's. {_ADD_ADDRESS}"
    if nameless := next((one for one in behind if UNKNOWN in persons_of(one)), None):
        return (
            f"The account of {nameless.owner or nameless} has no email address, so you could be the same"
            f" person. {_ADD_ADDRESS}"
        )
    if any(are_same_person(one, person) for one in behind):
        return "You and the requester are the same person, or you own the requesting machine."
    if not enabled_and_groups(person)[0]:
        return "Your identity is disabled."
    return ""
