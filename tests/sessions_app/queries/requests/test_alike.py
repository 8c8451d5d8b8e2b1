"""Which held commands wait alike, for a decision in one act."""

import pytest

from sessions_app.models import CommandRun
from sessions_app.queries.requests.alike import read_digest, together
from sessions_app.queries.requests.waiting import holds_for
from tests.sessions_app.operations.sessions.test_decide_holds import hold
from tests.support.world.acts import held_upload


def groups(world) -> list[list[int]]:
    return [[run.pk for run in group] for group in together(list(holds_for(world.bob, world.now)))]


def test_commands_of_one_rule_of_one_grant_wait_alike_and_others_alone(world):
    grant, other = world.grant(), world.grant(parameters={"unit": "haproxy"})
    first, second = hold(world, grant).pk, hold(world, grant).pk
    alone = hold(world, other, "echo stop haproxy").pk
    assert groups(world) == [[first, second], [alone]]


def test_the_same_command_under_several_grants_of_one_cluster_or_workflow_waits_alike(world):
    incident = world.incident()
    first, second = hold(world).pk, hold(world, world.grant(who=world.robot)).pk
    responding = hold(world, world.respond(incident)).pk
    assert groups(world) == [[first, second], [responding]]


def test_a_commit_and_an_upload_wait_alone(world, grant_of_files):
    uploads = [held_upload(grant_of_files, "a", now=world.now) for _ in range(2)]
    assert groups(world) == [[one] for one in uploads]


@pytest.fixture
def grant_of_files(world):
    return world.grant()


def test_the_digest_is_of_everything_that_is_read(world):
    run = hold(world)
    before = read_digest(run)
    assert before == read_digest(CommandRun.objects.get(pk=run.pk))
    for name, value in {"line": "x", "argv": ["x"], "effect": "read", "notes": "x"}.items():
        changed = CommandRun.objects.get(pk=run.pk)
        setattr(changed, name, value)
        assert read_digest(changed) != before
