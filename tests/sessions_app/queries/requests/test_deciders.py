"""Who may decide: one definition, the same as a list for a person, as people for a thing, and as an answer
for one person.
"""

import datetime as dt
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from guardian.shortcuts import assign_perm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Identity, Kind
from accounts.queries import persons_of, same_person
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Approval,
    Cluster,
    CommandRun,
    CommandSetVersion,
    Grant,
    GrantState,
    RequestState,
    RunState,
    Session,
    Target,
)
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.queries.requests import deciders
from sessions_app.web.layout.reader import standing_of
from tests.support.breadth import examples

# Few enough that people share them, in spellings of which some mean the same.
MAILS = (
    "",
    "",
    "ann@example.com",
    "ANN@example.com",
    "ben@example.com",
    "Ben@Example.com",
    "bücher@example.com",
)
ACCOUNTS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(list(Kind)),
            "email": st.sampled_from(MAILS),
            "owner": st.integers(0, 5),
            "groups": st.sets(st.sampled_from(["approvers", "watchers", "operators"])),
            "is_active": st.sampled_from([True, True, True, False]),
            "is_superuser": st.sampled_from([False, False, False, True]),
        }
    ),
    min_size=3,
    max_size=7,
)
# Of each: who asks or holds, whose grant it was handed on from, and who has given a verdict.
THINGS = st.lists(
    st.tuples(
        st.integers(0, 6), st.one_of(st.none(), st.integers(0, 5)), st.sets(st.integers(0, 6), max_size=2)
    ),
    min_size=1,
    max_size=5,
)


def make_accounts(drawn: list[dict[str, Any]]) -> list[Identity]:
    people: list[Identity] = []
    made: list[Identity] = []
    groups = {
        name: Group.objects.get_or_create(name=name)[0] for name in ("approvers", "watchers", "operators")
    }
    for number, one in enumerate(sorted(drawn, key=lambda one: one["kind"] != Kind.PERSON)):
        person = one["kind"] == Kind.PERSON or not people
        identity = Identity.objects.create(
            username=f"account-{number}",
            email=one["email"],
            kind=Kind.PERSON if person else one["kind"],
            owner=None if person else people[one["owner"] % len(people)],
            is_active=one["is_active"],
            is_superuser=person and one["is_superuser"],
        )
        identity.groups.set([groups[name] for name in one["groups"]])
        people += [identity] if person else []
        made.append(identity)
    return made


def make_request(who: Identity, now: dt.datetime, number: int, **more: Any) -> AccessRequest:
    return AccessRequest.objects.create(
        number=number,
        requester=who,
        cluster=Cluster.objects.get(),
        policy=AccessPolicy.objects.get(),
        policy_version=1,
        command_set_version=CommandSetVersion.objects.get(),
        duration=60,
        digest="d" * 64,
        created_at=now,
        **{"lapses_at": now + dt.timedelta(hours=1), **more},
    )


def make_grant(who: Identity, now: dt.datetime, number: int, parent: Grant | None, *, over: bool) -> Grant:
    asked = make_request(who, now, number, state=RequestState.APPROVED, decided_at=now)
    state = (
        {"state": GrantState.ENDED, "ended_at": now, "end_reason": "expired"} if over else {"state": "active"}
    )
    return Grant.objects.create(
        ref=f"GR-{number}",
        request=asked,
        holder=who,
        cluster=asked.cluster,
        policy=asked.policy,
        command_set_version=asked.command_set_version,
        parent=parent,
        mark=str(number),
        break_glass=over,
        starts_at=now,
        expires_at=now + dt.timedelta(hours=1),
        review_due_at=now if over else None,
        **state,
    )


def make_hold(grant: Grant, now: dt.datetime) -> CommandRun:
    gateway = renew_gateway(name="gateway-1", version="1", now=now).id
    target = Target.objects.first()
    session = Session.objects.create(grant=grant, target=target, gateway_id=gateway)
    return CommandRun.objects.create(
        grant=grant,
        session=session,
        target=target,
        line="stop",
        state=RunState.HELD,
        tried_at=now,
        hold_lapses_at=now + dt.timedelta(minutes=1),
    )


def rows(found: QuerySet[Any]) -> set[int]:
    return set(found.values_list("pk", flat=True))


def check(accounts: list[Identity], things: list[tuple[int, int | None, set[int]]], now: dt.datetime) -> None:
    def who(number: int) -> Identity:
        return accounts[number % len(accounts)]

    requests, grants, over = [], [], []
    for number, (asker, above, givers) in enumerate(things):
        request = make_request(who(asker), now, 10_000 + number)
        for giver in {who(giver).pk for giver in givers}:
            Approval.objects.create(
                request=request, approver_id=giver, verdict="approve", digest=request.digest
            )
        requests.append(request)
        parent = grants[above % len(grants)] if above is not None and grants else None
        grants.append(make_grant(who(asker), now, 20_000 + number, parent, over=False))
        over.append(make_grant(who(asker), now, 30_000 + number, None, over=True))
    holds = [make_hold(grant, now) for grant in grants]
    for person in accounts:
        asked, held = rows(deciders.requests_for(person, now)), rows(deciders.holds_for(person, now))
        to_review = rows(deciders.reviews_for(person))
        for request in requests:
            own = request.approvals.filter(approver=person).exists()
            waits = not deciders.may_not_decide(request, person) and not own
            assert (request.pk in asked) is waits, (
                person.username,
                request,
                deciders.may_not_decide(request, person),
            )
            told = {one.person for one in deciders.deciders_of(request)}
            assert not waits or person.person in told
        for hold in holds:
            may = not deciders.may_not_decide_in(hold.grant, person)
            assert (hold.pk in held) is may, (
                person.username,
                hold.grant,
                deciders.may_not_decide_in(hold.grant, person),
            )
            assert not may or person.person in {one.person for one in deciders.deciders_in(hold.grant)}
        for grant in over:
            may = not deciders.may_not_review(grant, person)
            assert (grant.pk in to_review) is may, (person.username, deciders.may_not_review(grant, person))
        assert sum(standing_of(person, now).waiting) == len(asked) + len(held) + len(to_review)
        others = set(Identity.objects.filter(same_person(person), pk__in=[one.pk for one in accounts]))
        assert others == {one for one in accounts if persons_of(one) & persons_of(person)}
    for request, hold, grant in zip(requests, holds, over, strict=True):
        for people, why_not in (
            (deciders.deciders_of(request), lambda one, it=request: deciders.may_not_decide(it, one)),
            (
                deciders.deciders_in(hold.grant),
                lambda one, it=hold.grant: deciders.may_not_decide_in(it, one),
            ),
            (deciders.reviewers(grant), lambda one, it=grant: deciders.may_not_review(it, one)),
        ):
            assert len({one.person for one in people}) == len(people)
            assert not any(why_not(one) for one in people)


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(accounts=ACCOUNTS, things=THINGS)
def test_what_may_be_decided_is_the_same_as_a_list_as_people_and_as_an_answer(world, accounts, things):
    with transaction.atomic():
        assign_perm("approve_cluster", Group.objects.get_or_create(name="watchers")[0], Cluster.objects.get())
        made = make_accounts(accounts)
        again = Identity.objects.select_related("owner").filter(pk__in=[one.pk for one in made])
        check(list(again), things, world.now)
        transaction.set_rollback(True)


def test_an_approver_of_the_cluster_alone_decides_within_its_grants_and_an_administrator_does_not(world):
    assign_perm("approve_cluster", world.charlie, Cluster.objects.get())
    hold = make_hold(make_grant(world.alice, world.now, 1, None, over=False), world.now)
    assert world.charlie in deciders.deciders_in(hold.grant)
    assert deciders.may_not_decide_in(hold.grant, world.charlie) == ""
    assert rows(deciders.holds_for(world.charlie, world.now)) == {hold.pk}
    assert world.admin not in deciders.deciders_in(hold.grant)
    assert "Only approvers of" in deciders.may_not_decide_in(hold.grant, world.admin)
    assert not deciders.holds_for(world.admin, world.now)
