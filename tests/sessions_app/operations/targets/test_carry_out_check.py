"""Looking at real targets because somebody asked."""

import pytest
from django.db import connection

from broker.demo.sshd import SshTarget
from broker.kernel import clock
from sessions_app import tasks
from sessions_app.models import Target, TargetCheck
from sessions_app.operations.targets.carry_out_check import carry_out_check, lost_checks
from sessions_app.operations.targets.check_target import check_target
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import SSH_USER_CA
from tests.support.waits import eventually
from tests.support.world.acts import LOCKS_HERE, after, at_once, intact, last
from tests.support.world.world import make_world


def ask(world) -> TargetCheck:
    return check_target(target_id=Target.objects.get(name="web-1").pk, actor=world.admin, now=world.now)


def carry_out(check, now):
    return carry_out_check(check_id=check.pk, now=lambda: now)


def points_at(sshd: SshTarget) -> None:
    Target.objects.filter(name="web-1").update(port=sshd.port, host_key=sshd.host_key, address="127.0.0.1")


@pytest.mark.processes
def test_a_target_that_is_set_up_is_found_right_in_every_step(world):
    ca = ensure_authority(SSH_USER_CA, now=world.now)
    with SshTarget([ca.public_key], ["web"]) as sshd:
        points_at(sshd)
        check = carry_out(ask(world), after(world, seconds=2))
    assert (check.ok, check.finished_at) == (True, after(world, seconds=2))
    assert [step["name"] for step in check.steps][:3] == [
        "reachable",
        "host key matches",
        "certificate accepted",
    ]
    entry = last("cluster.checked", "web")
    assert (entry.actor, entry.data["target"], entry.data["ok"]) == ("admin", "web-1", True)
    assert intact()


@pytest.mark.processes
def test_a_target_that_does_not_trust_the_authority_is_told_what_to_do(world):
    ensure_authority(SSH_USER_CA, now=world.now)
    with SshTarget([], ["web"]) as sshd:
        points_at(sshd)
        check = carry_out(ask(world), world.now)
    assert not check.ok
    wrong = [step for step in check.steps if not step["ok"]]
    assert [step["name"] for step in wrong] == ["certificate accepted"]
    assert wrong[0]["fix"]


def test_without_an_authority_that_is_the_step_that_fails(world):
    check = carry_out(ask(world), world.now)
    assert [(step["name"], step["ok"]) for step in check.steps] == [("configured in Stint", False)]


def test_a_target_that_was_removed_meanwhile_is_not_connected_to(world):
    check = ask(world)
    Target.objects.update(removed_at=world.now)
    assert carry_out(check, world.now).steps[0]["name"] == "in the catalog"


def test_two_workers_do_not_do_it_twice(live_world, fake_targets):
    check = ask(live_world)
    done = at_once(*[lambda: carry_out(check, live_world.now)] * 3)
    assert sum(one is not None for one in done) == 1
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {LOCKS_HERE} AND locktype = 'advisory'")
        assert cursor.fetchone() == (0,)


def finished(check) -> bool:
    check.refresh_from_db()
    return check.finished_at is not None


def test_one_whose_message_was_lost_is_found_after_a_moment(stint_db, fake_targets):
    world = make_world(clock.now())
    check = ask(world)
    assert lost_checks(now=after(world, seconds=1)) == []
    assert lost_checks(now=after(world, seconds=4)) == [check.pk]
    TargetCheck.objects.update(asked_at=after(world, minutes=-1))
    clock.sync()
    tasks.check_lost()
    eventually(lambda: finished(check))
    assert lost_checks(now=after(world, hours=1)) == []


def test_a_target_that_nobody_answers_for_is_not_reachable(world):
    ensure_authority(SSH_USER_CA, now=world.now)
    Target.objects.filter(name="web-1").update(address="127.0.0.1", port=1)
    check = carry_out(ask(world), world.now)
    assert [(step["name"], step["ok"]) for step in check.steps] == [("reachable", False)]
