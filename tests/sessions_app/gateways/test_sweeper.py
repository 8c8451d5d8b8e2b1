"""The gateway's threads that undo what grants left on targets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from sessions_app.gateways.ssh.sweeper import THREADS_PER_CLUSTER, Undoers
from tests.support.gateway import eventually

MANY = 3 * THREADS_PER_CLUSTER


@pytest.fixture
def idle() -> threading.Event:
    return threading.Event()


@pytest.fixture
def undoers(stint_db, live_world, idle) -> Iterator[Undoers]:
    made = Undoers(on_idle=idle.set)
    yield made
    made.stop()
    # The threads' connections would keep the database from being dropped.
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(stint_db.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {others}")


@pytest.fixture
def revoking(live_world):
    """Grants of one cluster that are ending."""
    from sessions_app.models import EndReason
    from sessions_app.operations.end_grant import end_grant

    grants = [live_world.grant() for _ in range(MANY)]
    for grant in grants:
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=live_world.now)
    return [grant.pk for grant in grants]


def states(pks) -> set[tuple[str, int]]:
    from sessions_app.models import Grant

    return set(Grant.objects.filter(pk__in=pks).values_list("state", "attempts"))


def test_more_grants_of_a_cluster_than_it_has_threads_are_all_undone_once(undoers, idle, revoking):
    undoers.take(revoking)
    undoers.take(revoking)
    eventually(lambda: states(revoking) == {("ended", 1)})
    assert idle.wait(5)


def test_nothing_is_begun_while_ends_come_first(undoers, revoking):
    with undoers.paused():
        undoers.take(revoking)
        time.sleep(0.3)
        assert states(revoking) == {("revoking", 0)}
    eventually(lambda: states(revoking) == {("ended", 1)})


def test_a_grant_can_be_taken_again_when_it_was_tried(undoers, idle, revoking):
    from sessions_app.models import Grant

    undoers.take(revoking[:1])
    assert idle.wait(5)
    assert states(revoking[:1]) == {("ended", 1)}
    idle.clear()
    undoers.take(revoking[:1])
    # Looked at, found ended, left alone.
    assert idle.wait(5)
    assert Grant.objects.get(pk=revoking[0]).attempts == 1


def test_nothing_is_begun_after_the_stop(undoers, revoking):
    undoers.stop()
    undoers.take(revoking)
    assert states(revoking) == {("revoking", 0)}
