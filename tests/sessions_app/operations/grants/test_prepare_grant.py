"""Making on targets what a grant needs, before it can be used and whenever it is gone."""

import datetime as dt
import itertools
import signal
import threading

import pytest

from broker.kernel import clock
from broker.kernel.lock import is_shown
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import EndReason, Grant, GrantState, Lease
from sessions_app.operations.grants.deprovision_grant import ARRIVES
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import (
    MAKING,
    PLACES_IN_CLUSTER,
    TRIES,
    maker_of,
    prepare_grant,
)
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.transition import StaleGrant
from sessions_app.operations.requests.extend_grant import extend_grant
from tests.support.waits import eventually, happens
from tests.support.world.acts import Started, after, events, fresh, intact, last, undo
from tests.support.world.fakes import serving


def prepare(grant: Grant, now: dt.datetime) -> Grant:
    return prepare_grant(grant_id=grant.pk, now=lambda: now)


def end(world, grant: Grant, now: dt.datetime | None = None) -> Grant:
    return end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=now or world.now)


def test_a_grant_waits_for_what_its_targets_need_and_is_active_once_all_is_made(world, making):
    grant = world.grant()
    assert grant.state == GrantState.PROVISIONING
    assert sorted(Lease.objects.values_list("target__name", "made_until")) == [
        ("web-1", None),
        ("web-2", None),
    ]
    active = prepare(grant, world.now)
    assert (active.state, active.activated_at) == (GrantState.ACTIVE, world.now)
    assert len(making.left) == 2
    assert {lease.made_until for lease in Lease.objects.all()} == {active.expires_at}
    assert Lease.objects.first().made == {"things": 1}
    assert events(grant.ref)[-3:] == ["lease.prepared", "lease.prepared", "grant.active"]
    assert last("lease.prepared").data["made"] == {"things": 1}


def test_preparing_twice_makes_it_once(world, making):
    grant = world.grant()
    prepare(grant, world.now)
    made = list(making.calls)
    assert prepare(grant, world.now).state == GrantState.ACTIVE
    assert making.calls == made


def test_a_target_that_is_down_is_tried_again_and_the_other_is_made_meanwhile(world, making):
    grant = world.grant()
    making.down = {"web-1"}
    waiting = prepare(grant, world.now)
    assert (waiting.state, waiting.last_error) == (GrantState.PROVISIONING, "web-1: web-1 does not respond.")
    assert waiting.next_attempt_at > world.now
    making.down = set()
    assert prepare(grant, waiting.next_attempt_at).state == GrantState.ACTIVE
    assert making.calls.count("provision web-2") == 1


def test_a_target_that_stays_down_ends_the_grant_and_what_was_made_is_undone(world, making):
    grant = world.grant()
    making.down = {"web-1"}
    for _ in range(TRIES):
        grant = prepare(grant, grant.next_attempt_at or world.now)
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, EndReason.PROVISION_FAILED)
    assert "does not respond" in grant.end_note
    assert undo(grant, now=grant.next_attempt_at).state == GrantState.REVOKING
    making.down = set()
    assert undo(grant, now=fresh(grant).next_attempt_at).state == GrantState.ENDED
    assert making.left == {}


def test_what_a_target_refuses_for_good_ends_the_grant_at_once(world, making):
    grant = world.grant()
    making.broken = {"web-2"}
    grant = prepare(grant, world.now)
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, EndReason.PROVISION_FAILED)
    assert undo(grant, now=world.now).state == GrantState.ENDED
    assert making.left == {}


def test_without_a_connector_the_grant_says_so_and_waits(world, making):
    grant = world.grant()

    def nothing():
        raise ConnectorError("There is no key.")

    with serving(nothing, prepares=True):
        waiting = prepare(grant, world.now)
    assert (waiting.state, waiting.last_error) == (
        GrantState.PROVISIONING,
        "web-1: There is no key.; web-2: There is no key.",
    )


def test_an_answer_that_was_lost_after_the_act_is_asked_for_again(world, making):
    grant = world.grant()
    lost = iter([True])

    def after_it() -> None:
        if next(lost, False):
            raise ConnectorError("the answer was lost")

    making.after = after_it
    waiting = prepare(grant, world.now)
    assert waiting.state == GrantState.PROVISIONING
    assert len(making.left) == 2
    assert prepare(grant, waiting.next_attempt_at).state == GrantState.ACTIVE


def test_an_error_that_nobody_foresaw_hides_no_other_target(world, making):
    class Odd(FakeConnector):
        def provision(self, spec):
            if spec.place.target.name == "web-1":
                raise UnicodeError("label empty or too long")
            return super().provision(spec)

    grant = world.grant()
    with serving(lambda: Odd(kind="ssh"), prepares=True):
        failing = prepare(grant, world.now)
    assert "UnicodeError" in failing.last_error
    assert Lease.objects.get(target__name="web-2").made_until is not None


def test_a_worker_that_died_while_it_made_something_is_taken_over(live_world, making):
    def dies() -> None:
        raise KeyboardInterrupt

    world = live_world
    grant = world.grant()
    making.after = dies
    with pytest.raises(KeyboardInterrupt):
        prepare(grant, world.now)
    making.after = lambda: None
    assert prepare(grant, world.now + MAKING - dt.timedelta(seconds=1)).state == GrantState.PROVISIONING
    assert prepare(grant, world.now + MAKING).state == GrantState.ACTIVE


def test_a_revoke_during_provisioning_wins_and_what_was_made_is_unmade(live_world, making):
    world = live_world
    grant = world.grant()
    made, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        made.set()
        happens(go_on)

    making.after = wait
    worker = Started(lambda: prepare(grant, world.now))
    happens(made)
    end(world, grant)
    # A look now would prove nothing: something is still being made.
    waiting = undo(grant, now=world.now)
    assert (waiting.state, waiting.leases.filter(gone_at__isnull=False).count()) == (GrantState.REVOKING, 0)
    assert "still creating access" in waiting.last_error
    go_on.set()
    assert worker.result().state == GrantState.REVOKING
    assert undo(grant, now=world.now).state == GrantState.ENDED
    assert making.left == {}


class Hung(FakeConnector):
    """Its second target hangs, with the first one done, until it is let go."""

    def __init__(self) -> None:
        super().__init__(kind="ssh")
        self.first, self.asked, self.go_on = (threading.Event() for _ in range(3))

    def provision(self, spec):
        if spec.place.target.name == "web-2":
            happens(self.first)
            self.asked.set()
            happens(self.go_on)
        made = super().provision(spec)
        self.first.set()
        return made

    def at(self) -> set[str]:
        """The places where something is."""
        return {where for where, _ in self.left}


@pytest.fixture
def hung(live_world):
    connector = Hung()
    with serving(lambda: connector, prepares=True):
        yield connector
        connector.go_on.set()


def test_a_revoke_waits_for_no_target_that_hangs_while_something_is_made_longer(live_world, hung):
    world = live_world
    hung.first.set(), hung.go_on.set()
    grant = prepare(world.grant(), world.now)
    extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now)
    for event in (hung.first, hung.asked, hung.go_on):
        event.clear()
    maker = Started(lambda: prepare(grant, world.now))
    happens(hung.asked)
    end(world, grant)
    waiting = undo(grant, now=world.now)
    assert hung.at() == set(), "it is not in use any more, whatever the maker does"
    assert (waiting.state, waiting.next_attempt_at) == (GrantState.REVOKING, world.now + ARRIVES)
    assert not waiting.leases.filter(gone_at__isnull=False).exists(), "what is being made may still come"
    hung.go_on.set()
    assert maker.result().state == GrantState.REVOKING
    assert hung.at() == {"root@127.0.0.1:2202"}, "it came after the first look"
    assert undo(grant, now=world.now).state == GrantState.ENDED
    assert hung.at() == set()


MAKER = r"""
import django; django.setup()
import os, sys, time
from broker.kernel import clock
from sessions_app.connectors.fake import FakeConnector
from sessions_app.operations.grants.prepare_grant import prepare_grant
from tests.support.world.fakes import serving
def hang():
    # Both targets' threads come here, and a line must stay whole.
    os.write(1, b"making\n")
    time.sleep(60)
connector = FakeConnector(kind="ssh")
connector.after = hang
with serving(lambda: connector, prepares=True):
    prepare_grant(grant_id=int(sys.argv[1]), now=clock.now)
"""


@pytest.fixture
def maker(other_process):
    """Start a process that makes something for a grant, and return it once it waits for a target."""
    return lambda grant: other_process(MAKER, str(grant.pk), says="making")


def test_a_maker_that_was_stopped_is_not_waited_for_longer_than_it_can_live(live_world, making, maker):
    grant, now = live_world.grant(), clock.now()
    process = maker(grant)
    process.send_signal(signal.SIGSTOP)
    end(live_world, grant, now)
    for later in (dt.timedelta(0), ARRIVES, 2 * ARRIVES):
        assert undo(grant, now=now + later).state == GrantState.REVOKING
    assert undo(grant, now=clock.now() + MAKING).state == GrantState.ENDED


def test_a_maker_that_was_killed_is_waited_for_no_longer_than_a_claim_lasts(live_world, making, maker):
    grant, now = live_world.grant(), clock.now()
    process = maker(grant)
    end(live_world, grant, now)
    waiting = undo(grant, now=now)
    assert (waiting.state, waiting.next_attempt_at) == (GrantState.REVOKING, now + ARRIVES)
    process.kill()
    process.wait()
    eventually(lambda: not is_shown(*maker_of(grant.pk)))
    assert undo(grant, now=now + ARRIVES).state == GrantState.REVOKING, "what it had sent may still come"
    assert undo(grant, now=now + 2 * ARRIVES).state == GrantState.ENDED
    assert intact()


class Gates:
    """Lets makers go on, each when it is told to, once it has made something on both targets."""

    def __init__(self, making: FakeConnector, makers: int) -> None:
        self._numbers, self._waiting = itertools.count(), []
        self._gates = [threading.Event() for _ in range(makers)]
        making.after = self._wait

    def _wait(self) -> None:
        number = next(self._numbers)
        self._waiting.append(number)
        happens(self._gates[number // 2])

    def start(self, grant: Grant, now: dt.datetime) -> Started:
        """Begin to make it, and return once that has come to where it waits."""
        expected = len(self._waiting) + 2
        maker = Started(lambda: prepare(grant, now))
        eventually(lambda: len(self._waiting) == expected)
        return maker

    def open(self, number: int) -> None:
        self._gates[number].set()


def test_a_maker_that_was_stopped_and_overtaken_writes_nothing_when_it_wakes(live_world, making):
    world, later = live_world, after(live_world, seconds=MAKING.total_seconds())
    grant = world.grant()
    gates = Gates(making, 2)
    stopped, other = gates.start(grant, world.now), gates.start(grant, later)

    def rows() -> list[dict[str, object]]:
        return [*Lease.objects.order_by("pk").values(), Grant.objects.filter(pk=grant.pk).values().get()]

    before, recorded = rows(), events(grant.ref)
    gates.open(0)
    assert stopped.result().state == GrantState.PROVISIONING
    assert (rows(), events(grant.ref)) == (before, recorded)
    end(world, grant, later)
    assert undo(grant, now=later).state == GrantState.REVOKING, "the other one is still making something"
    gates.open(1)
    assert other.result().state == GrantState.REVOKING
    assert undo(grant, now=later).state == GrantState.ENDED
    assert making.left == {}


def test_a_maker_that_wakes_when_all_is_proven_gone_records_nothing(live_world, making):
    world, later = live_world, after(live_world, seconds=MAKING.total_seconds())
    grant = world.grant()
    gates = Gates(making, 1)
    stopped = gates.start(grant, world.now)
    end(world, grant)
    assert undo(grant, now=later).state == GrantState.ENDED
    gates.open(0)
    assert stopped.result().state == GrantState.ENDED
    assert events(grant.ref)[-1] == "grant.ended"
    assert {lease.made_until for lease in Lease.objects.all()} == {None}


def test_what_was_answered_while_a_late_maker_finished_proves_nothing(live_world):
    class Late(FakeConnector):
        """The maker comes back in the middle of the proof."""

        def revoke(self, lease):
            answer = super().revoke(lease)
            if self.after is not nothing:
                gates.open(0)
                assert stopped.result().state == GrantState.REVOKING
                self.after = nothing
            return answer

    def nothing() -> None:
        return None

    world, later = live_world, after(live_world, seconds=MAKING.total_seconds())
    late = Late(kind="ssh")
    with serving(lambda: late, prepares=True):
        grant = world.grant()
        gates = Gates(late, 1)
        stopped = gates.start(grant, world.now)
        end(world, grant)
        with pytest.raises(StaleGrant):
            undo(grant, now=later)
        assert undo(grant, now=later).state == GrantState.ENDED


def test_an_extension_that_a_target_does_not_hear_of_keeps_the_grant_and_is_tried_again(world, making):
    grant = prepare(world.grant(), world.now)
    making.down = {"web-1"}
    extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now)
    failing = prepare(grant, world.now)
    assert failing.state == GrantState.ACTIVE
    assert failing.last_error == "web-1: web-1 does not respond."


def test_nothing_is_made_after_the_deadline(world, making):
    grant = world.grant()
    assert prepare(grant, grant.expires_at).state == GrantState.PROVISIONING
    assert making.left == {}


def test_a_message_that_was_lost_is_sent_again_by_the_sweep(world, making):
    grant = world.grant()
    assert grant.state == GrantState.PROVISIONING
    later = after(world, seconds=6)
    assert Grant.objects.get(pk=grant.pk).next_attempt_at <= later
    assert provision_grant(grant_id=grant.pk, now=later).state == GrantState.PROVISIONING
    assert Grant.objects.get(pk=grant.pk).next_attempt_at > later


def test_a_cluster_whose_targets_hang_keeps_few_workers(world, making):
    grants = [world.grant() for _ in range(PLACES_IN_CLUSTER + 1)]
    *busy, last_one = grants
    Lease.objects.filter(grant__in=busy).update(making_until=after(world, seconds=20))
    assert prepare(last_one, world.now).next_attempt_at == after(world, seconds=1)
    assert making.left == {}
    assert prepare(last_one, after(world, seconds=20)).state == GrantState.ACTIVE
