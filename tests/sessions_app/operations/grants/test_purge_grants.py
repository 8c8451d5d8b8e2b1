"""Grants go when their time is over, with all that belongs to them, and never before."""

import datetime as dt

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError, ProgrammingError

from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.models import (
    AccessRequest,
    BudgetUse,
    Grant,
    GrantState,
    HeldCommit,
    Lease,
    Notice,
    PurgedGrant,
    RunStop,
)
from sessions_app.models.watch import Watch
from sessions_app.operations.grants import make_grant
from sessions_app.operations.grants.purge_grants import purge_grants
from sessions_app.operations.sessions.close_session import close_session
from tests.sessions_app.operations.grants.test_delegate_grant import TERMS, hand_on
from tests.support.world import acts

DAY = dt.timedelta(days=1)
REFUSALS = (IntegrityError, InternalError, ProgrammingError)


@pytest.fixture(autouse=True)
def year(settings):
    settings.GRANTS_DAYS = 365


@pytest.fixture
def old(world, fake_targets):
    """A grant of Alice's that ran something, ended, and was proven over, a year and a day ago."""
    grant = world.grant()
    used, session = acts.enter(grant, now=world.now)
    acts.run(used, session, now=world.now)
    acts.run(used, session, "rm -rf /", now=world.now)
    close_session(session_id=session, reason="closed", now=world.now)
    acts.revoke(grant)
    acts.undo(grant, now=clock.now())
    assert acts.fresh(grant).state == GrantState.ENDED
    return aged(world, grant)


def aged(world, grant, days=366):
    Grant.objects.filter(pk=grant.pk).update(ended_at=world.now - days * DAY)
    return acts.fresh(grant)


def test_a_grant_goes_with_its_request_runs_leases_and_notices_and_its_entries_stay(world, old):
    entries = AuditEntry.objects.count()
    assert Notice.objects.filter(grant=old).exists() or Notice.objects.filter(request=old.request_id).exists()
    runs, request = old.runs.count(), old.request.ref
    assert purge_grants(now=world.now) == 1
    about = {
        "Grant": "pk",
        "CommandRun": "grant_id",
        "Lease": "grant_id",
        "Session": "grant_id",
        "Notice": "grant_id",
    }
    for name, field in about.items():
        model = apps.get_model("sessions_app", name)
        assert not model.objects.filter(**{field: old.pk}).exists(), name
    assert not AccessRequest.objects.filter(pk=old.request_id).exists()
    assert not Notice.objects.filter(request=old.request_id).exists()
    assert AuditEntry.objects.count() == entries + 1
    entry = acts.last("grant.purged", old.ref)
    assert (entry.data["request"], entry.data["runs"]) == (request, runs)
    assert acts.intact()
    assert purge_grants(now=world.now) == 0


def test_one_is_kept_as_long_as_the_setting_says_and_for_ever_without(world, old, settings):
    aged(world, old, days=364)
    assert purge_grants(now=world.now) == 0
    settings.GRANTS_DAYS = 0
    assert purge_grants(now=world.now + 4000 * DAY) == 0


def recorded(old):
    old.runs.filter(pk=old.runs.first().pk).update(recording_bytes=1)


@pytest.mark.parametrize(
    "keep",
    [
        lambda old: Grant.objects.filter(pk=old.pk).update(review_due_at=old.ended_at),
        lambda old: Lease.objects.filter(grant=old).update(gone_at=None),
        lambda old: old.sessions.update(closed_at=None),
        recorded,
        lambda old: HeldCommit.objects.create(
            run=old.runs.first(), statements=1, touched=1, sealed_content=b"rows"
        ),
    ],
    ids=[
        "its review is open",
        "its end is not proven",
        "a session is open",
        "a recording is kept",
        "rows of a held transaction are kept",
    ],
)
def test_one_stays_while(world, old, keep):
    keep(old)
    assert purge_grants(now=world.now) == 0
    assert acts.fresh(old).ref == old.ref


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT stint_purge_grants(now() - interval '89 days', 1)", "ninety days"),
        ("SELECT stint_purge_requests(NULL, 1)", "ninety days"),
        (
            "SELECT stint_begin_purge(now() - interval '100 days'); DELETE FROM sessions_app_grant",
            "never deleted",
        ),
        ("DELETE FROM sessions_app_accessrequest", "never deleted"),
        ("DELETE FROM sessions_app_approval", "never deleted"),
        ("DELETE FROM sessions_app_grant_targets", "never changes"),
    ],
)
def test_the_database_lets_nobody_delete_what_is_younger_than_ninety_days_or_by_another_way(
    old, statement, why
):
    with pytest.raises(REFUSALS, match=why), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL stint.purge = 'on'; {statement}")


@pytest.mark.parametrize("ended", [RunStop, Watch, BudgetUse])
def test_everything_that_refers_to_it_goes_with_it(world, old, ended):
    run, by = old.runs.first(), world.alice
    about = {
        RunStop: {"run": run, "by": by, "at": world.now},
        Watch: {"run": run, "watcher": by, "began_at": world.now, "seen_at": world.now, "sealed_key": b""},
        BudgetUse: {"grant": old, "key": "0.0"},
    }
    ended.objects.create(**about[ended])
    assert purge_grants(now=world.now) == 1
    assert not ended.objects.exists()


def test_a_reference_is_never_used_again(world, old, monkeypatch):
    purge_grants(now=world.now)
    assert PurgedGrant.objects.get().ref == old.ref
    letters = iter(old.ref.removeprefix("GR-") + "ZZZZ")
    monkeypatch.setattr(make_grant.secrets, "choice", lambda _: next(letters))
    assert world.grant().ref == "GR-ZZZZ"


def test_a_request_that_was_denied_goes_with_its_verdicts_and_one_that_waits_stays(world):
    denied, waiting = world.request(), world.request()
    world.decide(denied, verdict="deny", comment="no")
    AccessRequest.objects.update(created_at=world.now - 400 * DAY)
    AccessRequest.objects.filter(pk=denied.pk).update(decided_at=world.now - 399 * DAY)
    assert purge_grants(now=world.now) == 1
    assert [one.pk for one in AccessRequest.objects.all()] == [waiting.pk]
    assert acts.last("request.purged", denied.ref).data == {"state": "denied"}


def test_two_purges_at_once_do_the_work_once(live_world, fake_targets):
    grants = []
    for _ in range(3):
        grant = live_world.grant()
        acts.revoke(grant)
        acts.undo(grant, now=clock.now())
        grants.append(aged(live_world, grant))
    found = acts.at_once(*[lambda: purge_grants(now=live_world.now)] * 2)
    assert sum(found) == 3


def test_a_grant_goes_after_the_one_that_was_delegated_from_it(world, fake_targets):
    acts.change(world, acts.policy(world, **TERMS))
    parent = world.grant()
    child = hand_on(world, parent)
    acts.revoke(parent)
    for grant, days in ((child, 10), (parent, 366)):
        acts.undo(grant, now=clock.now())
        aged(world, grant, days=days)
    assert purge_grants(now=world.now) == 0
    aged(world, child)
    assert [purge_grants(now=world.now) for _ in range(3)] == [1, 1, 0]
