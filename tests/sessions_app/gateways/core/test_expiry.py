"""Deadlines on targets, for as long as the database says nothing."""

import datetime as dt
import threading

import pytest

from sessions_app.connectors.fake import FakeConnector
from sessions_app.gateways.core.expiry import FRESH, LATE, Expiry
from sessions_app.models import Lease
from tests.support.waits import eventually
from tests.support.world.acts import enter, run
from tests.support.world.fakes import serving


class Expiring(FakeConnector):
    """Notes whose access it was asked to end."""

    def expire(self, lease) -> int:
        self.calls.append(f"expire {lease.mark}")
        return 1


@pytest.fixture
def target():
    made = Expiring(kind="ssh")
    with serving(lambda: made):
        yield made


def lasting(world, seconds: float) -> str:
    """A grant with access on a target for so many seconds more. Returns its mark."""
    grant = world.grant()
    run(*enter(grant, "web-1", now=world.now), now=world.now)
    Lease.objects.filter(grant=grant).update(made_until=world.now + dt.timedelta(seconds=seconds))
    return grant.mark


def test_what_is_overdue_is_ended_and_nothing_else_when_the_database_is_silent(world, target):
    over, _, _ = (lasting(world, seconds) for seconds in (0, 20, 3600))
    kept, stop = Expiry(), threading.Event()
    kept.heard(world.now, again_in=-LATE)
    ends = threading.Thread(target=kept.keep, args=(stop,))
    ends.start()
    eventually(lambda: target.calls)
    stop.set()
    ends.join()
    assert set(target.calls) == {f"expire {over}"}


@pytest.mark.parametrize("later", [FRESH, -FRESH], ids=["later", "after the clock was set back"])
def test_what_was_extended_or_is_gone_is_remembered_no_longer(world, target, later):
    lasting(world, 0)
    kept = Expiry()
    kept.heard(world.now, again_in=1)
    assert kept._due
    Lease.objects.update(made_until=world.now + dt.timedelta(hours=1))
    kept.heard(world.now + later, again_in=1)
    assert not kept._due
