"""Drafts of command sets."""

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import CommandSet, CommandSetVersion, Proposal
from sessions_app.operations.catalog.publish_command_set import publish_command_set
from sessions_app.operations.catalog.save_draft import (
    DraftReplaced,
    OnlyAdministratorsSetUp,
    save_draft,
)
from sessions_app.operations.requests.check_request import NotRequestable
from tests.support.world.acts import change, policy


def draft(world, *, who=None, old="echo stop", new="echo halt", more=""):
    source = world.catalog["command-sets/restart-web.yaml"].replace(old, new) + more
    return save_draft(source=source, actor=who or world.admin, now=world.now)


def test_a_draft_allows_nothing_until_it_is_published(world):
    version = draft(world)
    assert (version.number, version.published_at, version.created_by) == (2, None, world.admin)
    request = world.request()
    assert request.command_set_version.number == 1


def test_what_the_linter_finds_is_kept_with_the_draft(world):
    version = draft(world, old="echo stop {unit}", new="vi {unit}")
    assert version.findings


NO_COMMAND_SETS = ["", "[]", "name: x", "name: restart-web\nkind: telnet\n", "a: &b [*b]", "x" * 300_000]


def test_a_text_that_is_no_command_set_is_refused_with_its_problems(world):
    for source in NO_COMMAND_SETS:
        with pytest.raises(InvalidInput) as refusal:
            save_draft(source=source, actor=world.admin, now=world.now)
        assert refusal.value.fields["source"]
        assert CommandSetVersion.objects.count() == 1


OTHERS = ["alice", "bob", "robot"]


def test_only_administrators_set_up_command_sets(world):
    for who in OTHERS:
        with pytest.raises(OnlyAdministratorsSetUp):
            draft(world, who=getattr(world, who))


def test_a_draft_does_not_bring_a_removed_command_set_back_and_its_publication_does(world):
    CommandSet.objects.update(removed_at=world.now)
    version = draft(world)
    with pytest.raises(NotRequestable):
        world.request()
    publish_command_set(version_id=version.pk, actor=world.admin, now=world.now)
    assert world.request().command_set_version == version


def administered(world, *names: str) -> None:
    """Bob administers the policy that names the set; the others name it too, and are nobody's."""
    copies = {f"policies/{name}.yaml": policy(world, name=name)["policies/web-work.yaml"] for name in names}
    change(world, {**policy(world, administrators={"identities": ["bob"]}), **copies})


def test_who_administers_every_policy_that_names_a_set_may_write_it_and_narrow_it(world):
    administered(world)
    wider = publish_command_set(version_id=draft(world, who=world.bob).pk, actor=world.bob, now=world.now)
    assert (wider.published_at, Proposal.objects.get().name) == (None, "restart-web")
    fewer = world.catalog["command-sets/restart-web.yaml"].replace("[nginx, haproxy]", "[nginx]")
    version = save_draft(source=fewer, actor=world.bob, now=world.now)
    assert (
        publish_command_set(version_id=version.pk, actor=world.bob, now=world.now).published_by == world.bob
    )


def test_who_administers_one_of_two_policies_that_name_a_set_may_not(world):
    administered(world, "other-work")
    with pytest.raises(OnlyAdministratorsSetUp):
        draft(world, who=world.bob)
    version = draft(world)
    with pytest.raises(OnlyAdministratorsSetUp):
        publish_command_set(version_id=version.pk, actor=world.bob, now=world.now)


def test_a_page_of_one_set_does_not_write_another(world):
    source = world.catalog["command-sets/restart-web.yaml"]
    with pytest.raises(InvalidInput, match="must remain other"):
        save_draft(source=source, actor=world.admin, now=world.now, name="other")


def test_a_draft_that_somebody_saved_meanwhile_is_not_overwritten(world):
    seen = draft(world)
    newer = save_draft(source=seen.source, actor=world.admin, now=world.now, based_on=seen.pk)
    with pytest.raises(DraftReplaced, match="Someone saved or published another draft"):
        save_draft(source=seen.source, actor=world.admin, now=world.now, based_on=seen.pk)
    assert CommandSetVersion.objects.get(published_at__isnull=True) == newer
