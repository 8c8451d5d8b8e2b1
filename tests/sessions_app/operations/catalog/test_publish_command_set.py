"""Publishing: from then on a version never changes."""

import pytest

from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import CommandSetVersion
from sessions_app.operations.catalog.publish_command_set import NotFitToPublish, key_of, publish_command_set
from sessions_app.operations.catalog.save_draft import OnlyAdministratorsSetUp, save_draft
from tests.support.world.acts import at_once, fresh, last


def draft(world, old="echo stop", new="echo halt") -> CommandSetVersion:
    source = world.catalog["command-sets/restart-web.yaml"].replace(old, new)
    return save_draft(source=source, actor=world.admin, now=world.now)


def publish(world, version, who=None, **more):
    return publish_command_set(version_id=version.pk, actor=who or world.admin, now=world.now, **more)


def test_a_published_version_is_what_is_asked_for_from_now_on(world):
    published = publish(world, draft(world))
    assert (published.published_at, published.published_by) == (world.now, world.admin)
    assert world.request().command_set_version == published
    entry = last("command_set.published", "restart-web")
    assert (entry.actor, entry.data["version"], entry.data["digest"]) == ("admin", 2, published.digest)


def test_errors_of_the_linter_are_never_accepted(world):
    version = draft(world, "echo stop {unit}", "bash -c {unit}")
    accepted = {key_of(finding): "I know" for finding in version.findings}
    with pytest.raises(NotFitToPublish) as refusal:
        publish(world, version, accepted=accepted)
    assert refusal.value.fields
    assert fresh(version).published_at is None


def test_a_warning_is_accepted_with_a_reason_and_only_with_one(world):
    version = draft(world, "echo stop {unit}", "curl {unit}")
    (warning,) = version.findings
    assert warning["severity"] == "warning"
    for accepted in ({}, {key_of(warning): " "}, {"other where": "why"}):
        with pytest.raises(NotFitToPublish):
            publish(world, version, accepted=accepted)
    published = publish(world, version, accepted={key_of(warning): "an inner address"})
    assert (
        last("command_set.published").data["accepted"]
        == published.accepted
        == {key_of(warning): "an inner address"}
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('allow: ["echo restart nginx"]', 'allow: ["echo restart sshd"]'),
        ('"echo restart sshd"]', '"echo restart nginx"]'),
    ],
)
def test_examples_must_hold(world, old, new):
    with pytest.raises(NotFitToPublish) as refusal:
        publish(world, draft(world, old, new))
    assert any("examples" in place for place in refusal.value.fields)


def test_a_version_is_published_once(world):
    version = draft(world)
    publish(world, version)
    with pytest.raises(Conflict):
        publish(world, version)


def test_only_administrators_publish_and_only_what_is_there(world):
    version = draft(world)
    for who in (world.alice, world.bob, world.robot):
        with pytest.raises(OnlyAdministratorsSetUp):
            publish(world, version, who)
    with pytest.raises(NotFound):
        publish_command_set(version_id=0, actor=world.admin, now=world.now)


def test_published_by_two_at_once_it_is_published_once(live_world):
    version = draft(live_world)
    results = at_once(*[lambda: publish(live_world, version)] * 3)
    assert sum(isinstance(result, Conflict) for result in results) == 2
