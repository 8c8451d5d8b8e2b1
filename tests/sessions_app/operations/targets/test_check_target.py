"""Asking for a look at a target."""

import datetime as dt

import pytest
from guardian.shortcuts import assign_perm

from broker.kernel.errors import NotFound
from sessions_app.models import Cluster, Target, TargetCheck
from sessions_app.operations.targets.check_target import OnlyAdministratorsCheck, check_target
from tests.support.world.acts import after


def ask(world, who=None, *, now=None, target="web-1"):
    row = Target.objects.get(name=target)
    return check_target(target_id=row.pk, actor=who or world.admin, now=now or world.now)


def test_a_check_is_a_row_that_waits_for_a_worker(world):
    check = ask(world)
    assert (check.target.name, check.asked_by, check.finished_at, check.ok) == (
        "web-1",
        world.admin,
        None,
        None,
    )


def test_one_that_is_under_way_is_not_doubled_and_one_that_was_dropped_is(world):
    first = ask(world)
    assert ask(world, now=after(world, seconds=30)) == first
    assert ask(world, now=after(world, minutes=3)) != first
    assert TargetCheck.objects.count() == 2


def test_who_administers_the_cluster_may_ask(world):
    assign_perm("administer_cluster", world.dora, Cluster.objects.get(name="web"))
    assert ask(world, world.dora).asked_by == world.dora


@pytest.mark.parametrize("who", ["alice", "bob", "charlie", "robot"])
def test_nobody_else_may(world, who):
    with pytest.raises(OnlyAdministratorsCheck):
        ask(world, getattr(world, who))
    assert not TargetCheck.objects.exists()


def test_a_target_that_is_gone_is_not_there(world):
    Target.objects.update(removed_at=world.now - dt.timedelta(days=1))
    with pytest.raises(NotFound):
        ask(world)
