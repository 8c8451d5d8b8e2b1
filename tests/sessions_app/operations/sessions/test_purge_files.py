"""Files that nobody can take any more are deleted."""

import datetime as dt

import pytest

from sessions_app.models import CommandOrder, FilePiece, OrderedFile
from sessions_app.operations.sessions.fail_order import fail_order
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.order_command import LAPSES
from sessions_app.operations.sessions.purge_files import purge_files
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.queries.gateways.ordered_files import KEPT
from sessions_app.queries.status.due import due_now
from tests.support.world import acts
from tests.support.world.files import GET, PUT, fetch, file_grant, keep, order


@pytest.fixture
def grant(world):
    return file_grant(world)


@pytest.fixture
def ready(grant, now):
    return fetch(order(grant, now, index=GET, values={"file": "a"}), b"data", now)


def purged(now: dt.datetime) -> bool:
    due = "files" in due_now(now, "test").steps
    purge_files(now=now)
    assert due is not OrderedFile.objects.exists()
    return due


def test_a_file_waits_for_minutes(ready, now):
    assert not purged(now + KEPT - dt.timedelta(seconds=1))
    assert purged(now + KEPT)
    assert not FilePiece.objects.exists()


def test_the_sweep_deletes_it_once_its_grant_has_ended(grant, ready, now):
    acts.revoke(grant)
    sweep(now=lambda: now, name="test")
    assert not OrderedFile.objects.exists()


def test_an_upload_that_no_gateway_fetched_is_deleted(grant, now):
    order(grant, now, index=PUT, values={"file": "a"}, data=b"x")
    assert not purged(now)
    assert purged(now + LAPSES)


def test_an_upload_whose_gateway_failed_is_deleted(grant, now):
    asked = order(grant, now, index=PUT, values={"file": "a"}, data=b"x")
    fail_order(order_id=asked.pk, error="Internal error.", now=now)
    assert purged(now)


def test_a_part_of_a_file_is_deleted_soon_after_its_gateway_was_lost(grant, now):
    asked = order(grant, now, index=GET, values={"file": "a"})
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), asked.line, order_id=asked.pk, now=now)
    CommandOrder.objects.filter(pk=asked.pk).update(claimed_at=now)
    keep(asked.file, b"data", now, whole=False)
    assert not purged(now + LAPSES)
    finish_run(run_id=tried.run_id, state="cut", now=now)
    assert not purged(now)
    assert purged(now + dt.timedelta(seconds=11))


def test_a_grant_is_deleted_with_its_files(grant, ready):
    """By the database, whatever deletes the order."""
    order_id = ready.pk
    CommandOrder.objects.filter(pk=order_id)._raw_delete("default")
    assert not FilePiece.objects.exists()
