"""A grant on more targets than are asked at once: those that wait for their turn are neither forgotten nor
proven gone.
"""

import threading

import pytest

from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import EndReason, GrantState, Lease
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import PLACES, prepare_grant
from tests.support.waits import eventually
from tests.support.world.acts import Started, after, change, undo
from tests.support.world.fakes import serving

TARGETS = 2 * PLACES + 1


class Slow(FakeConnector):
    """Each call hangs until its round may answer: the first targets are the first round, as many
    the second.
    """

    def __init__(self) -> None:
        super().__init__(kind="ssh")
        self.rounds = [threading.Event() for _ in range(3)]
        self.asked: list[str] = []

    def provision(self, spec):
        self.asked.append(spec.place.target.name)
        assert self.rounds[(len(self.asked) - 1) // PLACES].wait(20)
        return super().provision(spec)


@pytest.fixture
def slow(live_world):
    web = live_world.catalog["clusters/web.yaml"]
    line = next(line for line in web.splitlines() if "web-2" in line)
    more = [
        line.replace("web-2", f"web-{number}").replace("2202", str(2200 + number))
        for number in range(3, TARGETS + 1)
    ]
    change(live_world, {"clusters/web.yaml": "\n".join((web.rstrip(), *more, ""))})
    connector = Slow()
    with serving(lambda: connector, prepares=True):
        yield connector
        for one in connector.rounds:
            one.set()


class Clock:
    """The time of a process, moved by hand."""

    def __init__(self, world) -> None:
        self.world, self.seconds = world, 0

    def __call__(self):
        return after(self.world, seconds=self.seconds)


def test_a_target_whose_turn_comes_after_the_end_is_not_asked_and_nothing_is_left_there(live_world, slow):
    clock, grant = Clock(live_world), live_world.grant()
    maker = Started(lambda: prepare_grant(grant_id=grant.pk, now=clock))
    eventually(lambda: len(slow.asked) == PLACES)
    clock.seconds = 5
    end_grant(grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=clock())
    clock.seconds = 22
    slow.rounds[0].set()
    assert maker.result().state == GrantState.REVOKING
    assert len(slow.asked) == PLACES
    clock.seconds = 31
    assert undo(grant, now=clock()).state == GrantState.ENDED
    assert slow.left == {}


def test_an_end_waits_for_the_targets_that_are_asked_late(live_world, slow):
    clock, grant = Clock(live_world), live_world.grant()
    maker = Started(lambda: prepare_grant(grant_id=grant.pk, now=clock))
    eventually(lambda: len(slow.asked) == PLACES)
    clock.seconds = 22
    slow.rounds[0].set()
    eventually(lambda: len(slow.asked) == 2 * PLACES)
    clock.seconds = 31
    end_grant(grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=clock())
    assert undo(grant, now=clock()).state == GrantState.REVOKING, "a round of targets is still being asked"
    assert not Lease.objects.filter(gone_at__isnull=False).exists()
    clock.seconds = 44
    slow.rounds[1].set()
    assert maker.result().state == GrantState.REVOKING
    assert undo(grant, now=clock()).state == GrantState.ENDED
    assert (len(slow.asked), slow.left) == (2 * PLACES, {})


def test_targets_that_wait_for_their_turn_stay_claimed_until_all_are_made(live_world, slow):
    clock, grant = Clock(live_world), live_world.grant()
    maker = Started(lambda: prepare_grant(grant_id=grant.pk, now=clock))
    eventually(lambda: len(slow.asked) == PLACES)
    for seconds, answered, asked in ((24, slow.rounds[0], 2 * PLACES), (48, slow.rounds[1], TARGETS)):
        clock.seconds = seconds
        answered.set()
        eventually(lambda due=asked: len(slow.asked) == due)
        clock.seconds = seconds + 7
        assert prepare_grant(grant_id=grant.pk, now=clock).state == GrantState.PROVISIONING
    slow.rounds[2].set()
    assert maker.result().state == GrantState.ACTIVE
    assert (len(slow.asked), len(slow.left)) == (TARGETS, TARGETS)
