"""A group has the members that its document names."""

from __future__ import annotations

from django.contrib.auth.models import Group

from sessions_app.models import GrantState
from sessions_app.operations.catalogue.catalogue_plan import Plan
from sessions_app.operations.catalogue.write_group import remove_group, write_group
from sessions_app.policy.catalogue import GroupDocument
from tests.support.acts import events, last
from tests.support.world import SETUP


def write(members, now) -> Plan:
    plan = Plan()
    write_group(GroupDocument(name="operators", members=members), plan, SETUP, now)
    return plan


def test_who_is_taken_out_keeps_no_grant_that_rested_on_it(world, now):
    grant = world.grant()
    assert write(["robot", "Deployer"], now).ends == (grant.ref,)
    grant.refresh_from_db()
    assert grant.state == GrantState.REVOKING
    told = last("permission.changed", "operators").data
    assert (told["before"], told["after"]) == (["alice", "deployer", "robot"], ["deployer", "robot"])


def test_the_same_members_in_any_spelling_are_no_change(world, now):
    before = events("operators")
    assert write(["ALICE", "robot", "deployer"], now).changes == []
    assert events("operators") == before


def test_a_group_that_is_taken_away_gives_nothing_any_more(world, now):
    grant = world.grant()
    plan = Plan()
    remove_group(Group.objects.get(name="operators"), plan, SETUP, now)
    assert plan.ends == (grant.ref,)
    assert not Group.objects.filter(name="operators").exists()
    assert last("permission.changed", "operators").data["after"] == []
