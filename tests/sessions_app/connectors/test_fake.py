"""The connector in memory keeps the contract."""

import pytest

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.fake import FakeConnector, place_of
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.scope import TargetFacts
from tests.sessions_app.connectors.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.connectors.contract import Case


def at(name: str) -> TargetSpec:
    target = TargetFacts(id=1, name=name, address="192.0.2.1", port=22, account="root", host_key="")
    return TargetSpec(cluster="web", target=target)


PLACE = at("web-1")
NOTHING = CompiledSet("fake", "nothing", {}, ())


@pytest.fixture
def case():
    fake = FakeConnector(down={"web-2"})

    def leave(lease) -> None:
        fake.left[place_of(lease.place.target), lease.mark] = 1

    def foreign():
        fake.left[place_of(PLACE.target), "not-ours"] = 7
        return lambda: fake.left[place_of(PLACE.target), "not-ours"] == 7

    return Case(fake, PLACE, at("web-2"), at("web-2"), NOTHING, leave, foreign)


def test_what_is_stubborn_stays_and_is_said_to(case):
    case.connector.stubborn.add("web-1")
    made = case.lease()
    case.connector.left[place_of(made.place.target), made.mark] = 3
    assert case.connector.revoke(made).detail == {"left": 3}
    assert not case.connector.revoke(made).gone
