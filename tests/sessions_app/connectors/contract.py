"""What every connector is held to. A module of tests for one imports these and gives a `case`."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sessions_app.connectors.base import Connector, ConnectorError, GrantSpec, LeaseSpec
from sessions_app.policy.scope import TargetFacts


@dataclass
class Case:
    """A connector, a target that answers, one that does not, and how something of a grant comes to be on the first."""

    connector: Connector
    target: TargetFacts
    down: TargetFacts
    leave: Callable[[LeaseSpec], None]
    host_ca: str = ""

    def lease(self, target: TargetFacts | None = None) -> LeaseSpec:
        return LeaseSpec(
            grant_ref="GR-TEST",
            token=secrets.token_hex(16),
            host_ca=self.host_ca,
            target=target or self.target,
        )


def test_it_names_its_kind(case):
    assert case.connector.kind


def test_provisioning_twice_is_as_good_as_once(case):
    spec = GrantSpec(
        grant_ref="GR-TEST", token=secrets.token_hex(16), holder="alice", cluster="web", host_ca=case.host_ca,
        targets=(case.target,), expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )  # fmt: skip
    first, second = case.connector.provision(spec), case.connector.provision(spec)
    assert first == second
    for lease in first:
        assert case.connector.revoke(lease).gone


def test_what_is_left_is_seen_and_then_gone(case):
    lease = case.lease()
    case.leave(lease)
    assert not case.connector.observe(lease).gone
    assert case.connector.revoke(lease).gone
    assert case.connector.observe(lease).gone


def test_looking_changes_nothing(case):
    lease = case.lease()
    case.leave(lease)
    case.connector.observe(lease)
    assert not case.connector.observe(lease).gone
    case.connector.revoke(lease)


def test_revoking_what_was_never_made_and_revoking_twice_are_fine(case):
    lease = case.lease()
    assert case.connector.revoke(lease).gone
    assert case.connector.revoke(lease).gone


def test_revoking_one_grant_leaves_anothers(case):
    one, two = case.lease(), case.lease()
    case.leave(one)
    case.leave(two)
    assert case.connector.revoke(one).gone
    assert not case.connector.observe(two).gone
    assert case.connector.revoke(two).gone


def test_a_target_that_does_not_answer_is_an_error_that_may_pass(case):
    with pytest.raises(ConnectorError) as caught:
        case.connector.revoke(case.lease(case.down))
    assert case.down.name in caught.value.message
    assert not caught.value.permanent


def test_a_check_of_a_target_that_does_not_answer_says_so_and_what_to_do(case):
    steps = case.connector.check(target=case.down, host_ca=case.host_ca)
    assert not steps[-1].ok
    assert steps[-1].fix


def test_a_check_of_a_good_target_finds_nothing_wrong(case):
    assert all(step.ok for step in case.connector.check(target=case.target, host_ca=case.host_ca))
