"""A legal hold keeps what it covers from retention."""

import datetime as dt

import pytest
from django.core.management import CommandError, call_command

from broker.kernel import clock
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import Grant, LegalHold, Notice
from sessions_app.operations.grants.purge_grants import purge_grants
from sessions_app.operations.notifications.purge_notices import purge_notices
from sessions_app.operations.record.add_legal_hold import add_legal_hold
from sessions_app.operations.record.store_archive import ARCHIVER
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.queries.record.holds import held_entries, run_held
from tests.support.world import acts

DAY = dt.timedelta(days=1)


@pytest.fixture
def ended(world, now, settings, fake_targets):
    """A grant with a run, which ended more than a year ago."""
    settings.GRANTS_DAYS = settings.NOTICES_DAYS = 365
    grant = world.grant()
    used, session = acts.enter(grant, now=now)
    acts.run(used, session, now=now)
    close_session(session_id=session, reason="closed", now=now)
    acts.revoke(grant)
    acts.undo(grant, now=clock.now())
    Grant.objects.filter(pk=grant.pk).update(ended_at=now - 366 * DAY)
    Notice.objects.update(created_at=now - 366 * DAY, mailed_at=now, next_attempt_at=None)
    return acts.fresh(grant)


def covers(grant: Grant, now: dt.datetime) -> list[dict]:
    """Each kind of hold that covers a grant."""
    return [
        {"ref": grant.ref},
        {"ref": grant.request.ref.lower()},
        {"identity": "alice"},
        {"period": (now - 367 * DAY, now + DAY)},
    ]


@pytest.mark.parametrize("kind", range(4))
def test_nothing_that_it_covers_is_purged(ended, now, kind):
    add_legal_hold(actor=ARCHIVER, **covers(ended, now)[kind], reason="case 7", now=now)
    notices = Notice.objects.filter(identity__username="alice").count()
    assert purge_grants(now=now) == 0
    purge_notices(now=now)
    assert Notice.objects.filter(identity__username="alice").count() == notices > 0
    assert ended.runs.filter(run_held()).exists()


def test_without_one_retention_applies_again(ended, now):
    call_command("legal_hold", "add", "--ref", ended.ref, "--reason", "case 7")
    call_command("legal_hold", "remove", str(LegalHold.objects.get().pk), "--reason", "settled")
    assert not ended.runs.filter(run_held()).exists()
    assert purge_notices(now=now)
    assert purge_grants(now=now) == 1
    assert not held_entries().texts


def test_it_covers_the_entries_about_a_grant_and_its_request(ended, now):
    add_legal_hold(actor=ARCHIVER, ref=ended.ref, reason="case 7", now=now)
    assert set(held_entries().refs) == {ended.ref, ended.request.ref}
    assert held_entries().texts == [f'"{ended.ref}"']


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"ref": "GR-2222"}, NotFound),
        ({"identity": "nobody"}, NotFound),
        ({}, InvalidInput),
        ({"ref": "GR-2222", "identity": "alice"}, InvalidInput),
        ({"identity": "alice", "reason": " "}, InvalidInput),
    ],
)
def test_what_it_can_not_cover_is_refused(world, now, given, error):
    with pytest.raises(error):
        add_legal_hold(actor=ARCHIVER, **{"reason": "case 7", **given}, now=now)
    assert not LegalHold.objects.exists()


def test_the_command_lists_them_and_says_what_is_wrong(world, capsys):
    call_command("legal_hold", "add", "--period", "2026-01-01", "2026-01-31", "--reason", "case 9")
    call_command("legal_hold", "list")
    assert "2026-01-01 to 2026-02-01: case 9" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Legal hold not found"):
        call_command("legal_hold", "remove", "999", "--reason", "x")
