"""The text of an upload that waits for approval."""

import pytest

from broker.kernel import clock
from sessions_app.models import CommandRun, HeldFile
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.grants.held_files import HeldUpload, readable_uploads
from tests.support.world.acts import after, held_upload, revoke

TEXT = "listen = 8080\nsecret = Personal data\n"


@pytest.fixture
def grant(world):
    return world.grant()


@pytest.fixture
def held(world, grant):
    return CommandRun.objects.get(pk=held_upload(grant, TEXT, now=world.now))


def test_only_those_who_may_decide_can_read_it_and_only_while_it_waits(world, grant, held):
    whole = HeldUpload("/srv/app/app.conf", len(TEXT), "a" * 64, TEXT)
    assert readable_uploads(world.bob, grant, [held], world.now) == {held.pk: whole}
    assert readable_uploads(world.alice, grant, [held], world.now) == {}
    assert readable_uploads(world.bob, grant, [held], after(world, minutes=6)) == {}


def test_it_is_stored_encrypted(held):
    assert b"Personal data" not in bytes(HeldFile.objects.get().sealed_text)


def test_an_upload_whose_text_cannot_be_shown_has_its_size_and_digest(world, grant):
    run = CommandRun.objects.get(pk=held_upload(grant, None, now=world.now))
    assert not HeldFile.objects.exists()
    assert readable_uploads(world.bob, grant, [run], world.now)[run.pk].text is None


@pytest.mark.parametrize("end", ["allow", "deny", "withdraw"])
def test_it_is_deleted_with_the_decision(world, held, end):
    if end == "withdraw":
        withdraw_hold(run_id=held.pk, actor=world.alice, now=world.now)
    else:
        decide_hold(run_id=held.pk, actor=world.bob, allow=end == "allow", now=world.now)
    assert not HeldFile.objects.exists()


def test_it_is_deleted_once_the_grant_has_ended(grant, held, tmp_path):
    purge_recordings(folder=tmp_path / "none", now=clock.now())
    assert HeldFile.objects.exists()
    revoke(grant)
    purge_recordings(folder=tmp_path / "none", now=clock.now())
    assert not HeldFile.objects.exists()
