"""Who may allow a held command, and is told."""

import pytest

from accounts.models import Identity
from sessions_app.models import CommandRun, Notice
from sessions_app.queries.requests.deciders import deciders_in
from tests.support.world.acts import change, run, session, use


@pytest.fixture
def held(world) -> CommandRun:
    used = use(world.grant(), now=world.now)
    return CommandRun.objects.get(
        pk=run(used, session(used, now=world.now), "echo stop nginx", now=world.now).run_id
    )


def names(held) -> list[str]:
    return sorted(person.username for person in deciders_in(held.grant))


def test_approvers_are_told_which_command_waits_where(world, held):
    notice = Notice.objects.filter(event="command.held", identity=world.bob).get()
    assert "Alice is waiting to run echo stop nginx on web-1" in notice.subject
    assert notice.path == f"/grants/{held.grant.ref}/"


def test_only_enabled_people_who_are_not_the_holder_in_any_guise_may_allow_it(world, held):
    assert names(held) == ["bob", "dora"]
    change(world, {"groups/approvers.yaml": "name: approvers\nmembers: [alice, bob, dora, robot, charlie]\n"})
    assert names(held) == ["bob", "charlie", "dora"]
    type(world.bob).objects.filter(pk=world.bob.pk).update(is_active=False)
    type(world.dora).objects.filter(pk=world.dora.pk).update(email="ALICE@example.com")
    assert names(held) == ["charlie"]


def test_trying_the_same_again_and_again_tells_nobody_more(world, held):
    used = use(held.grant, now=world.now)
    for _ in range(5):
        run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    assert Notice.objects.filter(event="command.held", identity=world.bob).count() == 1


def test_a_holder_is_told_when_nobody_could_allow_it(world):
    used = use(world.grant(), now=world.now)
    Identity.objects.filter(username__in=["bob", "dora"]).update(is_active=False)
    tried = run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    assert "no approver is available" in tried.message
    assert not Notice.objects.filter(event="command.held").exists()
