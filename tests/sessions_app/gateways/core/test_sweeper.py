"""The gateway's threads that undo what grants left on targets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from broker.kernel.bulkhead import THREADS_PER_GROUP, Bulkhead
from sessions_app.connectors.fake import FakeConnector
from sessions_app.gateways.core.sweeper import revokers as make_undoers
from tests.support.acts import policy, run, session, use
from tests.support.fakes import serving
from tests.support.gateway import eventually
from tests.support.pace import allow
from tests.support.world import HOST_KEY

MANY = 3 * THREADS_PER_GROUP
HANGING = 4


@pytest.fixture
def idle() -> threading.Event:
    return threading.Event()


@pytest.fixture
def revokers(stint_db, live_world, idle) -> Iterator[Bulkhead]:
    made = make_undoers(on_idle=idle.set)
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
    from sessions_app.operations.grants.end_grant import end_grant

    grants = [live_world.grant() for _ in range(MANY)]
    for grant in grants:
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=live_world.now)
    return [grant.pk for grant in grants]


def states(pks) -> set[tuple[str, int]]:
    from sessions_app.models import Grant

    return set(Grant.objects.filter(pk__in=pks).values_list("state", "attempts"))


def test_more_grants_of_a_cluster_than_it_has_threads_are_all_undone_once(revokers, idle, revoking):
    revokers.take(revoking)
    revokers.take(revoking)
    eventually(lambda: states(revoking) == {("ended", 1)})
    assert idle.wait(allow(5))


def test_nothing_is_begun_while_ends_come_first(revokers, revoking):
    with revokers.paused():
        revokers.take(revoking)
        time.sleep(0.3)
        assert states(revoking) == {("revoking", 0)}
    eventually(lambda: states(revoking) == {("ended", 1)})


def test_a_grant_can_be_taken_again_when_it_was_tried(revokers, idle, live_world, fake_targets):
    from sessions_app.models import Grant

    grant = ending(live_world, "web", "web-1")
    fake_targets.down.add("web-1")
    revokers.take([grant])
    eventually(lambda: states([grant]) == {("revoking", 1)})
    assert idle.wait(allow(5))
    fake_targets.down.clear()
    Grant.objects.update(next_attempt_at=live_world.now)
    revokers.take([grant])
    eventually(lambda: states([grant]) == {("ended", 2)})


class Hanging(FakeConnector):
    """Targets whose name begins with ``hung`` don't answer until ``answer`` is set."""

    def __init__(self) -> None:
        super().__init__(kind="ssh")
        self.answer = threading.Event()
        self.asked = 0

    def revoke(self, lease):
        if lease.place.target.name.startswith("hung"):
            self.asked += 1
            self.answer.wait(60)
        return super().revoke(lease)


def test_clusters_that_hang_keep_threads_for_another(revokers, live_world):
    """Each of them by itself may hold half of the threads that there are at first."""
    add_clusters(live_world, [*(f"hung{number}" for number in range(HANGING)), "fine"])
    connector = Hanging()
    with serving(lambda: connector):
        hung = [
            ending(live_world, f"hung{number}", f"hung{number}-{1 + place % 2}")
            for number in range(HANGING)
            for place in range(THREADS_PER_GROUP)
        ]
        fine = [ending(live_world, "fine", f"fine-{1 + place % 2}") for place in range(4)]
        try:
            revokers.take(hung)
            eventually(lambda: connector.asked >= 2 * THREADS_PER_GROUP)
            # As each sweep does, which finds all of them due.
            eventually(lambda: revokers.take(fine) or states(fine) == {("ended", 1)}, within=8, every=0.2)
            assert {state for state, _ in states(hung)} == {"revoking"}
        finally:
            connector.answer.set()
        eventually(
            lambda: revokers.take(hung) or {state for state, _ in states(hung)} == {"ended"}, every=0.2
        )


def add_clusters(world, names: list[str]) -> None:
    """More clusters with two hosts each, for the world's policy."""
    files = policy(world, clusters=["web", *names])
    for number, name in enumerate(names, 1):
        targets = "".join(
            f"  - {{name: {name}-{place}, address: 127.0.0.{number}, port: 230{place}, account: root, "
            f"host_key: {HOST_KEY}}}\n"
            for place in (1, 2)
        )
        files[f"clusters/{name}.yaml"] = (
            f"name: {name}\nkind: ssh\nsummary: One more\nenvironment: production\nrisk: medium\n"
            f"targets:\n{targets}"
        )
    world.catalogue.update(files)
    world.apply()


def ending(world, cluster: str, target: str) -> int:
    """A grant that was used on a target, left, and was revoked."""
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant
    from sessions_app.operations.sessions.close_session import close_session

    grant = world.grant(cluster=cluster)
    one = use(grant, target, now=world.now)
    opened = session(one, now=world.now)
    run(one, opened, now=world.now)
    close_session(session_id=opened, reason="left", now=world.now)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    return grant.pk


def test_nothing_is_begun_after_the_stop(revokers, revoking):
    revokers.stop()
    revokers.take(revoking)
    assert states(revoking) == {("revoking", 0)}
