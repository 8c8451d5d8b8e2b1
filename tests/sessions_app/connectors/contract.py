"""What every connector is held to. A module of tests for one imports these and gives a `case`."""

import datetime as dt
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sessions_app.connectors.base import (
    CALL_SECONDS,
    Connector,
    ConnectorError,
    GrantSpec,
    LeaseSpec,
    TargetSpec,
)
from sessions_app.policy.commands.answers import CompiledSet
from tests.support.pace import allow
from tests.support.world.acts import at_once


@dataclass
class Case:
    """A connector, what it may be asked to allow, and places: one that answers, one that refuses to be
    connected to, and one that accepts and says nothing.

    ``leave`` makes something of a lease be there, however it comes about; ``foreign`` makes things that are
    not Stint's and returns what says whether they are untouched. ``makes``: something must be made before a
    grant is used.
    """

    connector: Connector
    place: TargetSpec
    down: TargetSpec
    hung: TargetSpec
    commands: CompiledSet
    leave: Callable[[LeaseSpec], None]
    foreign: Callable[[], Callable[[], bool]]
    makes: bool = True

    def lease(self, place: TargetSpec | None = None) -> LeaseSpec:
        return LeaseSpec(grant_ref="GR-TEST", mark=secrets.token_hex(16), place=place or self.place)

    def spec(self, place: TargetSpec | None = None, mark: str | None = None) -> GrantSpec:
        return GrantSpec(
            grant_ref="GR-TEST",
            mark=mark or secrets.token_hex(16),
            holder="alice",
            place=place or self.place,
            commands=self.commands,
            expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
        )

    def seen(self, lease: LeaseSpec) -> bool:
        return lease.mark in {one.mark for one in self.connector.observe(self.place)}


def test_it_names_its_kind(case):
    assert case.connector.kind


def test_provisioning_twice_is_as_good_as_once(case):
    spec = case.spec()
    first, second = case.connector.provision(spec), case.connector.provision(spec)
    assert first == second
    assert case.connector.revoke(first).gone


def test_what_is_made_is_seen_and_intact_until_it_is_revoked(case):
    if not case.makes:
        return
    lease = case.connector.provision(case.spec())
    assert not case.connector.verify(lease).gone
    assert [one.intact for one in case.connector.observe(case.place) if one.mark == lease.mark] == [True]
    assert case.connector.revoke(lease).gone
    assert case.connector.verify(lease).gone
    assert not case.seen(lease)


def test_what_is_left_is_seen_and_then_gone(case):
    lease = case.lease()
    case.leave(lease)
    assert not case.connector.verify(lease).gone
    assert case.seen(lease)
    assert case.connector.revoke(lease).gone
    assert case.connector.verify(lease).gone
    assert not case.seen(lease)


def test_what_half_made_things_are_left_is_made_whole_and_unmade(case):
    if not case.makes:
        return
    spec = case.spec()
    case.leave(LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place))
    lease = case.connector.provision(spec)
    assert [one.intact for one in case.connector.observe(case.place) if one.mark == lease.mark] == [True]
    assert case.connector.revoke(lease).gone


def test_a_revoke_needs_nothing_that_a_crash_could_lose(case):
    lease = case.connector.provision(case.spec())
    forgotten = LeaseSpec(grant_ref=lease.grant_ref, mark=lease.mark, place=lease.place)
    assert case.connector.revoke(forgotten).gone
    assert case.connector.verify(lease).gone


def test_looking_changes_nothing(case):
    lease = case.lease()
    case.leave(lease)
    case.connector.verify(lease)
    case.connector.observe(case.place)
    assert not case.connector.verify(lease).gone
    case.connector.revoke(lease)


def test_revoking_what_was_never_made_and_revoking_twice_are_fine(case):
    lease = case.lease()
    assert case.connector.revoke(lease).gone
    assert case.connector.revoke(lease).gone


def test_two_that_revoke_at_once_both_see_it_gone(case):
    lease = case.lease()
    case.leave(lease)
    seen = [getattr(one, "gone", one) for one in at_once(*[lambda: case.connector.revoke(lease)] * 2)]
    # One may be told that the other was in its way; it comes again.
    assert True in seen
    assert all(one is True or (isinstance(one, ConnectorError) and not one.permanent) for one in seen)
    assert case.connector.verify(lease).gone


def test_revoking_one_grant_leaves_anothers(case):
    one, two = case.lease(), case.lease()
    case.leave(one)
    case.leave(two)
    assert case.connector.revoke(one).gone
    assert not case.connector.verify(two).gone
    assert case.connector.revoke(two).gone


def test_what_is_not_its_own_is_never_touched(case):
    untouched = case.foreign()
    lease = case.connector.provision(case.spec())
    case.leave(lease)
    assert case.connector.revoke(lease).gone
    assert untouched()


def test_a_target_that_does_not_answer_is_an_error_that_may_pass(case):
    for call in (case.connector.revoke, case.connector.verify):
        with pytest.raises(ConnectorError) as caught:
            call(case.lease(case.down))
        assert case.down.target.name in caught.value.message
        assert not caught.value.permanent
    with pytest.raises(ConnectorError):
        case.connector.observe(case.down)


@pytest.mark.timing
def test_a_target_that_hangs_is_given_up_in_time(case):
    began = time.monotonic()
    with pytest.raises(ConnectorError) as caught:
        case.connector.revoke(case.lease(case.hung))
    assert time.monotonic() - began < allow(CALL_SECONDS)
    assert case.hung.target.name in caught.value.message
    assert not caught.value.permanent


def test_a_check_of_a_target_that_does_not_answer_says_so_and_what_to_do(case):
    steps = case.connector.check(case.down)
    assert not steps[-1].ok
    assert steps[-1].fix


def test_a_check_of_a_good_target_finds_nothing_wrong(case):
    assert all(step.ok for step in case.connector.check(case.place)), case.connector.check(case.place)
