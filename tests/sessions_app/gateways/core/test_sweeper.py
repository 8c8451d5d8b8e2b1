"""The gateway's own threads: they end what is due, and revoke grants on targets."""

import datetime as dt
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from broker.kernel import clock
from broker.kernel.bulkhead import THREADS_PER_GROUP, Bulkhead
from sessions_app.connectors.fake import FakeConnector
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.sweeper import Sweeper, _kept_alive, _revoke
from sessions_app.gateways.core.sweeper import revokers as make_undoers
from tests.support.databases import no_new_connections
from tests.support.pace import allow
from tests.support.threads import in_thread
from tests.support.waits import PATIENCE, eventually
from tests.support.world.acts import policy, run, session, use
from tests.support.world.fakes import serving
from tests.support.world.holders import metric
from tests.support.world.world import HOST_KEY

pytestmark = pytest.mark.timing

MANY = 3 * THREADS_PER_GROUP
HANGING = 4


@pytest.fixture
def idle() -> threading.Event:
    return threading.Event()


@pytest.fixture
def revokers(lone_db, live_world, idle) -> Iterator[Bulkhead]:
    made = make_undoers(on_idle=idle.set)
    yield made
    made.stop()


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
    """Targets whose name begins with ``hung`` don't respond until ``answer`` is set."""

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
            # Like each sweep, which finds all of them due.
            eventually(lambda: revokers.take(fine) or states(fine) == {("ended", 1)}, within=8, every=0.2)
            assert {state for state, _ in states(hung)} == {"revoking"}
        finally:
            connector.answer.set()
        eventually(
            lambda: revokers.take(hung) or {state for state, _ in states(hung)} == {"ended"}, every=0.2
        )


def add_clusters(world, names: list[str]) -> None:
    """Add clusters with two hosts each for the world's policy."""
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
    world.catalog.update(files)
    world.apply()


def ending(world, cluster: str, target: str) -> int:
    """Return a grant that was used on a target, and then revoked."""
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


# Sweeping


@pytest.fixture
def gateways() -> list[str]:
    """The names of the gateways."""
    return ["test"]


@pytest.fixture
def sweeper(lone_db, live_world, gateways) -> Iterator[Sweeper]:
    """A gateway's sweeper, not started yet."""
    database = Database(threads=1, name="test")
    made = Sweeper("test", database, gateways=lambda: len(gateways))
    yield made
    made.stop()
    database.stop()


def lapses_in(world, seconds: float):
    """Create a request without a decision, which expires in this many seconds."""
    from sessions_app.models import AccessRequest

    request = world.request()
    AccessRequest.objects.filter(pk=request.pk).update(lapses_at=clock.now() + dt.timedelta(seconds=seconds))
    return request


def lapsed(request) -> bool:
    request.refresh_from_db()
    return request.state == "lapsed"


def ended_now(world) -> int:
    """Create a grant whose deadline passes now, and which has not been ended yet."""
    return world.grant(now=clock.now() - dt.timedelta(seconds=3600), duration=3600).pk


def test_with_nothing_due_the_next_sweep_is_in_a_second_and_this_one_is_on_record(sweeper):
    from sessions_app.models import Sweeper as Row

    assert sweeper._sweep() == 1.0
    assert Row.objects.filter(name="gateway:test").exists()


@pytest.mark.parametrize(("others", "most"), [(7, 1), (31, 4), (199, 10)])
def test_many_gateways_together_look_as_often_as_few_and_not_all_at_the_same_moment(
    sweeper, gateways, others, most
):
    gateways.extend("another" for _ in range(others))
    sleeps = [sweeper._sweep() for _ in range(20)]
    assert most / 2 <= min(sleeps) <= max(sleeps) <= most
    assert len(set(sleeps)) == (1 if others == 7 else 20)


def test_the_next_sweep_is_when_something_is_due_and_never_later_than_in_a_second(
    sweeper, live_world, monkeypatch
):
    from sessions_app.models import AccessRequest

    stopped = clock.now()
    # However long the sweep takes.
    monkeypatch.setattr(clock, "now", lambda: stopped)
    lapses_in(live_world, 0.9)
    assert sweeper._sweep() == pytest.approx(0.9)
    AccessRequest.objects.update(lapses_at=stopped + dt.timedelta(hours=1))
    assert sweeper._sweep() == 1.0


def test_what_stays_due_is_swept_again_in_a_moment_but_not_without_a_pause(
    sweeper, live_world, owner_connection
):
    from sessions_app.models import AccessRequest

    request = lapses_in(live_world, -5)
    with owner_connection.transaction(force_rollback=True):
        # A row that another process has locked is skipped, and stays due.
        owner_connection.execute(
            "SELECT FROM sessions_app_accessrequest WHERE id = %s FOR UPDATE", [request.pk]
        )
        assert sweeper._sweep() == 0.02
    assert AccessRequest.objects.get(pk=request.pk).state == "pending"
    sweeper._sweep()
    assert lapsed(request)


def test_a_sweep_ends_what_is_due_and_hands_it_on_to_be_undone(sweeper, live_world):
    grant = ended_now(live_world)
    assert sweeper._sweep() <= 1.0
    eventually(lambda: states([grant]) == {("ended", 1)})


def test_whatever_becomes_due_later_is_done_by_the_started_threads(sweeper, live_world):
    sweeper.start()
    request = lapses_in(live_world, 0.2)
    eventually(lambda: lapsed(request))
    again = lapses_in(live_world, 0.2)
    eventually(lambda: lapsed(again))


def test_what_has_lost_its_basis_is_ended_by_the_started_threads(sweeper, live_world):
    grant = live_world.grant(duration=7200)
    type(live_world.alice).objects.filter(pk=live_world.alice.pk).update(is_active=False)
    sweeper.start()
    eventually(lambda: states([grant.pk]) == {("ended", 1)})


def test_the_threads_keep_no_process_alive_and_end_with_the_stop(sweeper):
    assert [thread.name for thread in sweeper._threads] == ["sweeper", "baseless", "expiry"]
    assert all(thread.daemon for thread in sweeper._threads)
    sweeper.start()
    assert all(thread.is_alive() for thread in sweeper._threads)
    sweeper.stop()
    for thread in sweeper._threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_news_wake_the_sweeper_and_so_does_a_cluster_that_has_nothing_left_to_undo(
    sweeper, live_world, fake_targets
):
    assert not sweeper._wake.is_set()
    sweeper.wake()
    assert sweeper._wake.is_set()
    sweeper._wake.clear()
    sweeper._revokers.take([ending(live_world, "web", "web-1")])
    assert sweeper._wake.wait(PATIENCE)


# Failures


def raising(error: Exception):
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (OperationalError("gone"), "The database does not respond"),
        (ZeroDivisionError("a fault"), "sweep.failed"),
    ],
)
def test_a_thread_survives_every_failure_and_logs_it(caplog, failure, says):
    assert _kept_alive(raising(failure), 1.0) == 1.0
    assert any(says in message for message in caplog.messages)


def revoked() -> tuple[float, float]:
    """Return the number of confirmed revocations, and the total of their seconds."""
    name = "stint_end_proven_seconds"
    return metric(f"{name}_count", cause="revoke"), metric(f"{name}_sum", cause="revoke")


def test_how_long_a_revoke_took_until_its_proof_is_measured(sweeper, live_world, fake_targets):
    from sessions_app.models import Grant

    count, total = revoked()
    pk = ending(live_world, "web", "web-1")
    _revoke(pk)
    grant = Grant.objects.get(pk=pk)
    assert grant.state == "ended"
    took = (grant.ended_at - grant.revoking_at).total_seconds()
    assert revoked() == (count + 1, pytest.approx(total + took))


def test_a_revoke_without_a_database_waits_for_the_next_sweep(
    sweeper, live_world, fake_targets, app_connection, caplog
):
    pk = ending(live_world, "web", "web-1")

    def without_database() -> None:
        with no_new_connections(app_connection):
            _revoke(pk)

    in_thread(without_database)
    assert any("The database does not respond" in message for message in caplog.messages)
    assert states([pk]) == {("revoking", 0)}
