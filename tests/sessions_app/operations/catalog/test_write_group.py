"""A group has the members that its document names."""

import datetime as dt

from django.contrib.auth.models import Group

from sessions_app.models import Grant, GrantState
from sessions_app.operations.catalog.catalog_plan import Plan
from sessions_app.operations.catalog.write_group import remove_group, write_group
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.policy.catalog import GroupDocument
from tests.support.world.acts import fresh, last
from tests.support.world.world import SETUP


def write(members, now, name="operators") -> Plan:
    plan = Plan()
    write_group(GroupDocument(name=name, members=members), plan, SETUP, now)
    return plan


def break_glass(world, now) -> Grant:
    request = world.request(kind="break_glass")
    return provision_grant(grant_id=Grant.objects.get(request=request).pk, now=now)


def test_who_is_taken_out_keeps_no_grant_that_rested_on_it(world, now):
    grant = world.grant()
    assert write(["robot", "Deployer"], now).ends == (grant.ref,)
    assert fresh(grant).state == GrantState.REVOKING
    told = last("permission.changed", "operators").data
    assert (told["before"], told["after"]) == (["alice", "deployer", "robot"], ["deployer", "robot"])


def test_who_is_taken_out_of_those_who_may_break_glass_keeps_no_such_access(world, now):
    grant = break_glass(world, now)
    assert write(["alice", "bob"], now, "on-call").ends == ()
    assert write(["bob"], now, "on-call").ends == (grant.ref,)
    assert (fresh(grant).state, grant.end_reason) == (GrantState.REVOKING, "policy_changed")


def test_a_review_that_is_overdue_ends_no_access_that_goes_on(world, now):
    break_glass(world, now)
    Grant.objects.update(review_due_at=now - dt.timedelta(hours=1))
    write(["alice", "bob"], now, "others")
    assert write(["bob"], now, "others").ends == ()


def test_a_group_that_is_taken_away_gives_nothing_any_more(world, now):
    grant = world.grant()
    plan = Plan()
    remove_group(Group.objects.get(name="operators"), plan, SETUP, now)
    assert plan.ends == (grant.ref,)
    assert not Group.objects.filter(name="operators").exists()
    assert last("permission.changed", "operators").data["after"] == []
