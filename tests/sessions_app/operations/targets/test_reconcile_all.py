"""What should be on targets, compared with what is there."""

import datetime as dt

import pytest

from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import Drift, EndReason, Grant, GrantState, Lease, Observation
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.compare_targets import SETTLED
from sessions_app.operations.targets.reconcile_all import _ROUND, _in_turn, reconcile_all
from sessions_app.queries.grants.revocation import installation_mark
from tests.support.world.acts import after, events, last, undo
from tests.support.world.fakes import serving
from tests.support.world.world import HOST_KEY

WEB_1, WEB_2 = "root@127.0.0.1:2201", "root@127.0.0.1:2202"


def reconcile(world, now: dt.datetime | None = None) -> None:
    reconcile_all(now=lambda: now or world.now)


def prepare(grant: Grant, now: dt.datetime) -> Grant:
    return prepare_grant(grant_id=grant.pk, now=lambda: now)


@pytest.fixture
def grant(world, making) -> Grant:
    return prepare(world.grant(), world.now)


def drift() -> list[tuple[str, str, str]]:
    rows = Drift.objects.filter(gone_at__isnull=True).order_by("target__name", "pk")
    return list(rows.values_list("kind", "target__name", "grant_ref"))


def test_what_somebody_removed_is_told_and_made_again(world, grant, making):
    del making.left[WEB_1, grant.mark]
    reconcile(world)
    assert drift() == [("missing", "web-1", grant.ref)]
    assert last("drift.detected").data["drift"] == "missing"
    prepare(grant, world.now)
    assert (WEB_1, grant.mark) in making.left
    reconcile(world)
    assert drift() == []
    assert events().count("drift.resolved") == 1


def test_what_somebody_changed_is_told_and_mended(world, grant, making):
    making.tampered = {grant.mark}
    reconcile(world)
    assert drift() == [("changed", "web-1", grant.ref), ("changed", "web-2", grant.ref)]
    prepare(grant, world.now)
    reconcile(world)
    assert drift() == []


def test_what_is_left_of_a_grant_that_is_over_is_removed(world, grant, making):
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    assert undo(grant, now=world.now).state == GrantState.ENDED
    making.left[WEB_1, grant.mark] = 1
    later = world.now + SETTLED
    reconcile(world, later)
    assert making.left == {}
    assert events()[-2:] == ["drift.detected", "drift.resolved"]
    assert Drift.objects.get().gone_at == later


def test_what_nobody_knows_of_is_removed_if_it_is_of_this_installation(world, grant, making):
    ours, other = installation_mark() + "0" * 24, "f" * 32
    making.left[WEB_1, ours] = making.left[WEB_1, other] = 1
    reconcile(world)
    assert (WEB_1, ours) not in making.left
    assert making.left[WEB_1, other] == 1


def test_any_number_of_unknown_marks_on_a_target_is_one_difference(world, making):
    for number in range(200):
        making.left[WEB_1, f"{installation_mark()}{number:024}"] = 1
    before = len(events())
    reconcile(world)
    assert events()[before:] == ["drift.detected", "drift.resolved"]
    told = last("drift.detected").data["detail"]
    assert told.startswith(f"200 that belong to no known grant: {installation_mark()}0000")
    assert len(told) < 300
    assert making.left == {}


def test_what_is_being_made_or_undone_is_left_alone(world, making):
    waiting = world.grant()
    making.left[WEB_1, waiting.mark] = 1
    reconcile(world)
    assert drift() == []
    assert (WEB_1, waiting.mark) in making.left


def test_an_orphan_that_can_not_be_removed_stays_with_the_error(world, making):
    making.left[WEB_1, installation_mark() + "0" * 24] = 1
    making.stubborn = {"web-1"}
    reconcile(world)
    assert Drift.objects.get().error == "Access from the grant is still on the target."
    making.stubborn = set()
    reconcile(world)
    assert drift() == []


def test_a_target_that_does_not_answer_is_noted_and_the_other_is_looked_at(world, grant, making):
    making.down = {"web-1"}
    del making.left[WEB_2, grant.mark]
    reconcile(world)
    assert Observation.objects.get(target__name="web-1").error == "web-1 does not respond."
    assert drift() == [("missing", "web-2", grant.ref)]


def test_an_extension_whose_message_was_lost_is_made_up_for(world, grant, making):
    Grant.objects.filter(pk=grant.pk).update(expires_at=after(world, hours=2))
    reconcile(world)
    prepare(grant, world.now)
    assert {lease.made_until for lease in Lease.objects.all()} == {after(world, hours=2)}


def test_over_ssh_nothing_is_missing_and_what_runs_on_is_removed(world, fake_targets):
    grant = world.grant()
    reconcile(world)
    assert drift() == []
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    undo(grant, now=world.now)
    fake_targets.left[WEB_1, grant.mark] = 3
    reconcile(world, world.now + SETTLED)
    assert fake_targets.left == {}


DATABASES = """
name: databases
kind: ssh
summary: One more cluster
environment: production
risk: medium
targets:
  - {name: db-1, address: 127.0.0.1, port: 2211, account: root, host_key: HOST_KEY}
"""


def another_cluster(world) -> None:
    world.apply({"clusters/databases.yaml": DATABASES.replace("HOST_KEY", HOST_KEY)})


def looks(making) -> list[str]:
    """The targets in the order in which they were looked at since the last time, those of one
    cluster as one.
    """
    seen = [call.removeprefix("observe ").rstrip("12") for call in making.calls]
    making.calls.clear()
    return [one for number, one in enumerate(seen) if seen[:number][-1:] != [one]]


def tick(world, **later: float) -> None:
    reconcile_all(now=lambda: after(world, **later))


def test_a_target_that_does_not_answer_hides_no_other_and_comes_last_in_its_cluster_the_next_time(
    world, making
):
    another_cluster(world)
    making.down = {"web-1"}
    tick(world)
    assert set(looks(making)) == {"web-", "db-"}
    assert Observation.objects.filter(seen_at=world.now).count() == 2
    clusters = {cluster.name: [one.name for one in cluster.live_targets] for cluster in _in_turn()}
    assert clusters == {"databases": ["db-1"], "web": ["web-2", "web-1"]}


def test_an_error_that_nobody_foresaw_in_one_cluster_hides_no_other(world):
    fails, works = iter([True]), FakeConnector(kind="ssh")

    def make() -> FakeConnector:
        if next(fails, False):
            raise UnicodeError("label empty or too long")
        return works

    another_cluster(world)
    with serving(make, prepares=True):
        tick(world)
        assert looks(works) == ["db-"]
        assert "UnicodeError" in Observation.objects.get(target__name="web-1").error
        tick(world, minutes=1)
    assert set(looks(works)) == {"db-", "web-"}


def test_one_process_at_a_time_goes_round_so_that_clusters_that_hang_leave_workers_for_ends(
    live_world, app_connection, making
):
    app_connection.execute("SELECT pg_advisory_lock(%s, 0)", [_ROUND])
    tick(live_world)
    assert making.calls == []
    app_connection.execute("SELECT pg_advisory_unlock_all()")
    tick(live_world)
    assert looks(making) == ["web-"]


def test_an_error_that_nobody_foresaw_is_noted(world, grant):
    class Odd(FakeConnector):
        def observe(self, place):
            raise UnicodeError("label empty or too long")

    with serving(lambda: Odd(kind="ssh"), prepares=True):
        reconcile(world)
    assert "UnicodeError" in Observation.objects.first().error
