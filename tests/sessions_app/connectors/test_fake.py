"""The connector in memory keeps the contract."""

from __future__ import annotations

import pytest

from sessions_app.connectors.fake import FakeConnector, place_of
from sessions_app.policy.scope import TargetFacts
from tests.sessions_app.connectors.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.connectors.contract import Case


def facts(name: str) -> TargetFacts:
    return TargetFacts(id=1, name=name, address="192.0.2.1", port=22, account="root", host_key="")


@pytest.fixture
def case() -> Case:
    fake = FakeConnector(down={"web-2"})
    return Case(
        fake,
        facts("web-1"),
        facts("web-2"),
        lambda lease: fake.left.update({(place_of(lease.target), lease.token): 1}),
    )


def test_what_is_stubborn_stays_and_is_said_to():
    fake = FakeConnector(stubborn={"web-1"})
    made = Case(fake, facts("web-1"), facts("web-2"), lambda _: None).lease()
    fake.left[place_of(made.target), made.token] = 3
    assert fake.revoke(made).detail == {"left": 3}
    assert not fake.revoke(made).gone
