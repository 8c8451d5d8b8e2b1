"""Undoing a grant, and proving it."""

import datetime as dt
import threading
from concurrent import futures

import pytest
from django.db import connection

from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.connectors.base import ConnectorError, Evidence
from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import CommandRun, EndReason, Grant, GrantState, Lease, RunState
from sessions_app.operations.grants.deprovision_grant import (
    CLAIM,
    CLAIM_SILENT,
    LONGEST,
    OFTEN,
    deprovision_grant,
)
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.transition import StaleGrant
from sessions_app.operations.sessions.close_session import close_session
from tests.support.waits import PATIENCE, eventually
from tests.support.world.acts import (
    Started,
    after,
    at_once,
    change,
    enter,
    events,
    fresh,
    intact,
    last,
    run,
    session,
    undo,
    use,
)
from tests.support.world.fakes import serving

# Where the world's targets are.
PLACE = {"web-1": "root@127.0.0.1:2201", "web-2": "root@127.0.0.1:2202"}


def used_grant(world, *targets: str) -> Grant:
    """A grant with a lease on each target, and its sessions closed."""
    grant = world.grant()
    for target in targets:
        used, opened = enter(grant, target, now=world.now)
        run(used, opened, now=world.now)
        close_session(session_id=opened, reason="left", now=world.now)
    return grant


def end(world, grant: Grant, **more) -> Grant:
    return end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now, **more)


def leave_something(fake: FakeConnector, grant: Grant, *targets: str) -> None:
    for target in targets:
        fake.left[PLACE[target], grant.mark] = 2


def test_a_grant_is_ended_when_each_used_target_said_that_nothing_is_left(world, fake_targets):
    grant = end(world, used_grant(world, "web-1", "web-2"))
    leave_something(fake_targets, grant, "web-1", "web-2")
    ended = undo(grant, now=after(world, seconds=1))
    assert (ended.state, ended.ended_at, ended.next_attempt_at, ended.last_error) == (
        GrantState.ENDED,
        after(world, seconds=1),
        None,
        "",
    )
    assert fake_targets.left == {}
    for lease in Lease.objects.all():
        assert (lease.gone_at, lease.evidence) == (after(world, seconds=1), {"left": 0})
    data = last("grant.ended", grant.ref).data
    assert (data["reason"], data["seconds"], sorted(data["targets_asked"])) == (
        "revoked",
        1.0,
        ["web-1", "web-2"],
    )
    assert events(grant.ref)[-3:] == ["lease.gone", "lease.gone", "grant.ended"]
    assert intact()


def test_a_grant_that_was_never_used_asks_no_target(world, fake_targets):
    fake_targets.down = {"web-1", "web-2"}
    assert undo(end(world, world.grant()), now=world.now).state == GrantState.ENDED


def test_an_open_session_keeps_the_grant_from_being_ended(world, fake_targets):
    grant = world.grant()
    opened = session(use(grant, now=world.now), now=world.now)
    end(world, grant)
    waiting = undo(grant, now=world.now)
    assert (waiting.state, waiting.next_attempt_at) == (GrantState.REVOKING, after(world, milliseconds=250))
    assert "sessions are closed" in waiting.last_error
    close_session(session_id=opened, reason="cut", now=after(world, milliseconds=100))
    assert undo(grant, now=after(world, milliseconds=100)).state == GrantState.ENDED


def test_a_target_that_is_down_leaves_it_revoking_visibly_and_the_others_are_undone(world, fake_targets):
    grant = end(world, used_grant(world, "web-1", "web-2"))
    leave_something(fake_targets, grant, "web-1", "web-2")
    fake_targets.down = {"web-1"}
    failing = undo(grant, now=world.now)
    assert failing.state == GrantState.REVOKING
    assert failing.last_error == "web-1: web-1 does not respond."
    assert after(world, seconds=0.5) <= failing.next_attempt_at <= after(world, seconds=1)
    assert (PLACE["web-2"], grant.mark) not in fake_targets.left
    assert Lease.objects.get(target__name="web-2").gone_at == world.now
    assert {"lease.failing", "grant.revoke_failing"} <= set(events(grant.ref))
    assert "grant.ended" not in events(grant.ref)


def test_it_is_retried_for_ever_with_capped_backoff_and_recorded_once_per_error(world, fake_targets):
    grant = end(world, used_grant(world, "web-1"))
    fake_targets.down = {"web-1"}
    now, waits = world.now, []
    for _ in range(12):
        failing = undo(grant, now=now)
        waits.append((failing.next_attempt_at - now).total_seconds())
        now = failing.next_attempt_at
    assert all(min(60, 2**n) / 2 <= wait <= min(60, 2**n) for n, wait in enumerate(waits)), waits
    assert events(grant.ref).count("grant.revoke_failing") == 1
    fake_targets.down = set()
    assert undo(grant, now=now).state == GrantState.ENDED


def test_waiting_for_a_session_does_not_make_the_first_retry_late(world, fake_targets):
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
    run(used, opened, now=world.now)
    end(world, grant)
    now = world.now
    for _ in range(20):
        now = undo(grant, now=now).next_attempt_at
    close_session(session_id=opened, reason="cut", now=now)
    fake_targets.down = {"web-1"}
    failing = undo(grant, now=now)
    assert failing.next_attempt_at - now <= dt.timedelta(seconds=1)


def test_a_target_on_which_something_is_left_is_not_believed_to_be_clean(world, fake_targets):
    grant = end(world, used_grant(world, "web-1"))
    leave_something(fake_targets, grant, "web-1")
    fake_targets.stubborn = {"web-1"}
    assert undo(grant, now=world.now).state == GrantState.REVOKING
    assert Lease.objects.get().gone_at is None
    assert "still on the target" in last("lease.failing", grant.ref).data["error"]


def test_overlapping_grants_do_not_end_each_other(world, fake_targets):
    one, other = used_grant(world, "web-1"), used_grant(world, "web-1")
    leave_something(fake_targets, one, "web-1")
    leave_something(fake_targets, other, "web-1")
    assert undo(end(world, one), now=world.now).state == GrantState.ENDED
    assert list(fake_targets.left) == [(PLACE["web-1"], other.mark)]
    assert fresh(other).state == GrantState.ACTIVE
    undo(end(world, other), now=world.now)
    assert fake_targets.left == {}


@pytest.mark.parametrize("state", ["scheduled", "active", "ended"])
def test_a_forged_or_late_message_ends_nothing_that_is_not_ending(world, fake_targets, state):
    grant = world.grant(start=state == "active")
    if state == "ended":
        end(world, grant)
    before = events()
    assert undo(grant, now=after(world, hours=9)).state == state
    assert events() == before


def test_a_message_that_comes_before_the_next_try_is_due_asks_nobody(world, fake_targets):
    grant = end(world, used_grant(world, "web-1"))
    fake_targets.down = {"web-1"}
    undo(grant, now=world.now)
    attempts = Grant.objects.get(pk=grant.pk).attempts
    undo(grant, now=world.now)
    assert Grant.objects.get(pk=grant.pk).attempts == attempts


def test_a_kind_that_nothing_serves_stays_revoking_with_the_error(world):
    grant = end(world, used_grant(world, "web-1"))
    with serving(lambda: _raise(ConnectorError("There is no SSH certificate authority.", permanent=True))):
        failing = undo(grant, now=world.now)
    assert (failing.state, failing.attempts) == (GrantState.REVOKING, 1)
    assert "certificate authority" in failing.last_error
    assert "lease.failing" in events(grant.ref)


def _raise(error: Exception):
    raise error


class Slow(FakeConnector):
    """A target that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(kind="ssh")
        self.asked = threading.Event()
        self.answer = threading.Event()
        self.asked_for = 0

    def revoke(self, lease) -> Evidence:
        self.asked_for += 1
        self.asked.set()
        assert self.answer.wait(PATIENCE)
        return super().revoke(lease)


@pytest.fixture
def slow(live_world):
    connector = Slow()
    with serving(lambda: connector):
        yield connector
        connector.answer.set()


def renewed(grant: Grant, at: dt.datetime) -> dt.datetime:
    """Renew the claim of a worker whose clock stands still in a test. Return when it lapses."""
    Grant.objects.filter(pk=grant.pk).update(next_attempt_at=at + CLAIM_SILENT)
    return at + CLAIM_SILENT


def test_a_worker_that_was_stopped_and_overtaken_writes_nothing_when_it_wakes(live_world, slow):
    world = live_world
    grant = end(world, used_grant(world, "web-1"))
    sleeper = Started(lambda: undo(grant, now=world.now))
    assert slow.asked.wait(20)
    slow.asked.clear()
    taken_over = Started(lambda: undo(grant, now=after(world, seconds=31)))
    assert slow.asked.wait(20)
    slow.answer.set()
    assert taken_over.result().state == GrantState.ENDED or isinstance(taken_over.result(), StaleGrant)
    assert isinstance(sleeper.result(), StaleGrant)
    assert fresh(grant).state == GrantState.ENDED
    assert events(grant.ref).count("grant.ended") == 1
    assert events(grant.ref).count("lease.gone") == 1


def test_undone_by_many_at_once_each_target_is_asked_once(live_world, slow):
    grant = end(live_world, used_grant(live_world, "web-1"))
    slow.answer.set()
    results = at_once(*[lambda: undo(grant, now=live_world.now)] * 4)
    assert not [result for result in results if isinstance(result, Exception)]
    assert slow.asked_for == 1
    assert fresh(grant).state == GrantState.ENDED
    assert events(grant.ref).count("grant.ended") == 1


def test_a_host_that_failed_or_is_silent_is_asked_by_one_and_the_others_go_on(live_world, slow):
    world = live_world
    hung = [end(world, used_grant(world, "web-1")) for _ in range(3)]
    fine = end(world, used_grant(world, "web-2"))
    hanging = Started(lambda: undo(hung[0], now=world.now))
    assert slow.asked.wait(20)
    # It has been silent for a while by now, and its claim was renewed.
    renewed(hung[0], after(world, seconds=2))
    put_off = undo(hung[1], now=after(world, seconds=3))
    assert (put_off.attempts, put_off.next_attempt_at) == (0, after(world, seconds=3.25))
    slow.answer.set()
    assert undo(fine, now=after(world, seconds=3)).state == GrantState.ENDED
    assert hanging.result().state == GrantState.ENDED
    assert undo(hung[1], now=after(world, seconds=4)).state == GrantState.ENDED
    Lease.objects.filter(grant=hung[2]).update(failed_at=after(world, seconds=4))
    assert undo(hung[2], now=after(world, seconds=4)).state == GrantState.ENDED


def test_who_dies_while_it_asks_is_replaced_before_the_end_is_two_seconds_late(live_world, slow):
    world = live_world
    grant = end(world, used_grant(world, "web-1"))
    dies = Started(lambda: undo(grant, now=world.now))
    assert slow.asked.wait(PATIENCE)
    assert undo(grant, now=after(world, seconds=1)).attempts == 1
    slow.answer.set()
    assert undo(grant, now=after(world, seconds=1.3)).state == GrantState.ENDED
    dies.result()


def test_claims_of_a_grant_that_is_overtaken_again_and_again_last_longer(live_world, slow):
    """Else none of them would come to an end where all are slow."""
    world = live_world
    grant = end(world, used_grant(world, "web-1"))
    Grant.objects.filter(pk=grant.pk).update(attempts=OFTEN)
    waits = Started(lambda: undo(grant, now=world.now))
    assert slow.asked.wait(PATIENCE)
    assert Grant.objects.get(pk=grant.pk).next_attempt_at == world.now + CLAIM_SILENT
    slow.answer.set()
    assert waits.result().state == GrantState.ENDED


def test_a_worker_that_was_stopped_keeps_its_place_no_longer_than_its_claim(live_world, slow):
    world = live_world
    one, other = (end(world, used_grant(world, "web-1")) for _ in range(2))
    stopped = Started(lambda: undo(one, now=world.now))
    assert slow.asked.wait(20)
    lapses = renewed(one, after(world, seconds=2))
    assert undo(other, now=lapses - dt.timedelta(seconds=1)).attempts == 0
    slow.answer.set()
    assert undo(other, now=lapses).state == GrantState.ENDED
    stopped.result()


@pytest.fixture
def unhurried_claim(monkeypatch):
    """A claim that does not lapse before it is renewed, although a worker stands still for a while."""
    monkeypatch.setattr("sessions_app.operations.grants.deprovision_grant.CLAIM", 3 * CLAIM)


@pytest.mark.usefixtures("unhurried_claim")
def test_a_worker_that_lives_keeps_its_claim_and_its_place_however_slow_the_target_is(live_world, slow):
    world = live_world
    one, other = (end(world, used_grant(world, "web-1")) for _ in range(2))
    waits = Started(lambda: deprovision_grant(grant_id=one.pk, now=clock.now))
    assert slow.asked.wait(20)
    lapses = Grant.objects.get(pk=one.pk).next_attempt_at
    eventually(lambda: Grant.objects.get(pk=one.pk).next_attempt_at > lapses + dt.timedelta(seconds=0.5))
    assert undo(one, now=lapses).attempts == 1
    assert undo(other, now=lapses).attempts == 0, "the host is silent, and asked by one"
    slow.answer.set()
    assert waits.result().state == GrantState.ENDED
    assert slow.asked_for == 1


@pytest.mark.timing
def test_a_claim_is_renewed_for_no_longer_than_a_call_may_take(live_world, slow):
    world = live_world
    grant = end(world, used_grant(world, "web-1"))
    # It is renewed each two seconds of the real time, in which five go by here.
    steps = iter([0, 0, 0, 1, 2, 6.9, 11.8, 16.7, 21.6, 26.5, 29.4])
    hangs = Started(
        lambda: deprovision_grant(grant_id=grant.pk, now=lambda: after(world, seconds=next(steps, 30)))
    )
    eventually(lambda: Grant.objects.get(pk=grant.pk).next_attempt_at == world.now + LONGEST, within=30)
    slow.answer.set()
    assert undo(grant, now=world.now + LONGEST).state == GrantState.ENDED
    assert isinstance(hangs.result(), StaleGrant)


@pytest.mark.usefixtures("unhurried_claim")
@pytest.mark.timing
def test_who_waits_for_targets_that_hang_holds_no_connection_and_keeps_the_claim(
    live_world, slow, monkeypatch
):
    world, counted = live_world, threading.Event()
    grants = [end(world, used_grant(world, "web-1")) for _ in range(3)]
    # None of them has waited for long before all are counted.
    monkeypatch.setattr(
        "sessions_app.operations.grants.deprovision_grant.wait",
        lambda *args, **more: counted.wait(PATIENCE) and futures.wait(*args, **more),
    )

    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <>"
                " pg_backend_pid() AND backend_type = 'client backend'"
            )
            return cursor.fetchone()[0]

    before = connections()
    waits = [Started(lambda pk=grant.pk: deprovision_grant(grant_id=pk, now=clock.now)) for grant in grants]
    eventually(lambda: slow.asked_for == 3, within=20)
    assert connections() >= before + 3
    counted.set()
    eventually(lambda: connections() == before, within=20, every=0.05)
    renewed = {grant.pk: Grant.objects.get(pk=grant.pk).next_attempt_at for grant in grants}
    eventually(
        lambda: all(Grant.objects.get(pk=pk).next_attempt_at > at for pk, at in renewed.items()), within=20
    )
    slow.answer.set()
    assert [wait.result().state for wait in waits] == [GrantState.ENDED] * 3
    assert {Grant.objects.get(pk=pk).attempts for pk in renewed} == {1}


def test_workers_that_died_while_they_asked_a_host_that_fails_keep_nobody_from_it(world, fake_targets):
    one, other = (end(world, used_grant(world, "web-1")) for _ in range(2))
    Lease.objects.update(asked_at=world.now, failed_at=world.now)
    lapsed = after(world, seconds=10)
    Grant.objects.filter(pk=one.pk).update(next_attempt_at=lapsed)
    Grant.objects.filter(pk=other.pk).update(next_attempt_at=lapsed + dt.timedelta(seconds=0.5))
    assert undo(one, now=lapsed).next_attempt_at == lapsed + dt.timedelta(seconds=0.25), "it is asked by one"
    assert undo(other, now=lapsed + dt.timedelta(seconds=0.5)).state == GrantState.ENDED
    assert undo(one, now=lapsed + dt.timedelta(seconds=0.5)).state == GrantState.ENDED


def test_one_cluster_takes_few_places_also_of_targets_that_answer(live_world, slow):
    world = live_world
    grants = [end(world, used_grant(world, "web-1")) for _ in range(4)]
    hanging = [Started(lambda grant=grant: undo(grant, now=world.now)) for grant in grants[:3]]
    eventually(lambda: slow.asked_for == 3)
    assert undo(grants[3], now=world.now).attempts == 0
    slow.answer.set()
    assert [act.result().state for act in hanging] == [GrantState.ENDED] * 3
    assert undo(grants[3], now=world.now).state == GrantState.ENDED


def test_what_was_left_is_looked_for_where_it_was_left(world, fake_targets):
    """The target's name means another host by now, and the change is what ends the grant."""
    grant = used_grant(world, "web-1")
    leave_something(fake_targets, grant, "web-1")
    change(
        world, {"clusters/web.yaml": world.catalog["clusters/web.yaml"].replace("port: 2201", "port: 2299")}
    )
    assert fresh(grant).state == GrantState.REVOKING
    assert undo(grant, now=world.now).state == GrantState.ENDED
    assert fake_targets.left == {}


def test_an_error_that_nobody_foresaw_on_one_target_hides_no_other(world, fake_targets):
    class Odd(FakeConnector):
        def revoke(self, lease):
            if lease.place.target.name == "web-1":
                raise UnicodeError("label empty or too long")
            return super().revoke(lease)

    grant = end(world, used_grant(world, "web-1", "web-2"))
    with serving(lambda: Odd(kind="ssh")):
        failing = undo(grant, now=world.now)
    assert (
        failing.last_error == "web-1: The target could not be reached: UnicodeError: label empty or too long"
    )
    assert Lease.objects.get(target__name="web-2").gone_at == world.now


def test_what_a_target_says_can_be_stored_whatever_it_is(world, fake_targets):
    class Lies(FakeConnector):
        answer = None

        def revoke(self, lease):
            if self.answer is None:
                raise ConnectorError("web-1 gave no answer: a\0b\udc80")
            return self.answer

    lies = Lies(kind="ssh")
    grant = end(world, used_grant(world, "web-1"))
    with serving(lambda: lies):
        failing = undo(grant, now=world.now)
        assert failing.last_error == "web-1: web-1 gave no answer: a\\x00b\\udc80"
        lies.answer = Evidence(gone=True, detail={"said": "\0", "left": 0})
        assert undo(grant, now=failing.next_attempt_at).state == GrantState.ENDED
    assert Lease.objects.get().evidence == {"said": "\\x00", "left": 0}


def test_a_crash_after_the_target_acted_and_before_it_was_written_down_is_repeated(live_world):
    class Dies(FakeConnector):
        def revoke(self, lease):
            super().revoke(lease)
            raise KeyboardInterrupt

    world = live_world
    grant = end(world, used_grant(world, "web-1"))
    dies, works = Dies(kind="ssh"), FakeConnector(kind="ssh")
    with serving(lambda: dies), pytest.raises(KeyboardInterrupt):
        undo(grant, now=world.now)
    with serving(lambda: works):
        early = deprovision_grant(grant_id=grant.pk, now=lambda: world.now + CLAIM - dt.timedelta(seconds=1))
        assert early.state == GrantState.REVOKING
        late = deprovision_grant(grant_id=grant.pk, now=lambda: world.now + CLAIM)
        assert late.state == GrantState.ENDED


def test_a_gateway_that_is_frozen_does_not_keep_targets_from_being_asked(world, fake_targets):
    grant = world.grant()
    used, opened = enter(grant, "web-1", now=world.now)
    run(used, opened, now=world.now)
    end(world, grant)
    leave_something(fake_targets, grant, "web-1")
    assert undo(grant, now=after(world, seconds=0.5)).state == GrantState.REVOKING
    assert fake_targets.left != {}, "a gateway that lives is given a second"
    waiting = undo(grant, now=after(world, seconds=1.5))
    assert fake_targets.left == {}
    assert (waiting.state, Lease.objects.get().gone_at) == (GrantState.REVOKING, None)
    close_session(session_id=opened, reason="gateway lost", now=after(world, seconds=12))
    assert undo(grant, now=after(world, seconds=12)).state == GrantState.ENDED


def test_a_gateway_that_was_not_seen_for_a_second_and_a_half_is_not_waited_for(world, fake_targets):
    grant = world.grant()
    used = use(grant, "web-1", now=world.now)
    run(used, session(used, now=world.now), now=world.now)
    leave_something(fake_targets, grant, "web-1")
    ending = after(world, seconds=1.6)
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=ending)
    assert undo(grant, now=ending).state == GrantState.REVOKING
    assert fake_targets.left == {}, "its targets are asked at once"


def test_what_may_finish_is_not_killed_before_its_time(world, fake_targets):
    grant = world.grant()
    used = use(grant, "web-1", now=world.now)
    run(used, session(used, now=world.now), "sleep 60 nightly", now=world.now)
    end(world, grant, cut=False)
    leave_something(fake_targets, grant, "web-1")
    assert undo(grant, now=after(world, seconds=5)).state == GrantState.REVOKING
    assert fake_targets.left != {}


def test_commands_nobody_reported_are_marked_as_cut_and_recorded(world, fake_targets):
    grant = used_grant(world, "web-1")
    CommandRun.objects.update(state=RunState.RUNNING, ended_at=None, reason="")
    undo(end(world, grant), now=world.now)
    tried = CommandRun.objects.get()
    assert (tried.state, tried.reason) == (RunState.CUT, "the grant ended")
    assert AuditEntry.objects.filter(event="command.finished", object_ref=grant.ref).count() == 2
