"""Targets in memory, for tests that are not about a wire."""

from collections.abc import Iterator

import pytest

from sessions_app.connectors.fake import FakeConnector
from tests.support.world.fakes import serving


@pytest.fixture
def fake_targets() -> Iterator[FakeConnector]:
    """The connector of every ssh cluster, until the test is over."""
    fake = FakeConnector(kind="ssh")
    with serving(lambda: fake):
        yield fake


@pytest.fixture
def making() -> Iterator[FakeConnector]:
    """As ``fake_targets``, of a kind that has to make something on targets before a grant can be used."""
    fake = FakeConnector(kind="ssh")
    with serving(lambda: fake, prepares=True, issues=True, runs=False):
        yield fake
