"""Targets in memory, for tests that are not about a wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sessions_app.connectors import registry
from sessions_app.connectors.fake import FakeConnector


@pytest.fixture
def fake_targets() -> Iterator[FakeConnector]:
    """The connector of every ssh cluster, until the test is over."""
    from sessions_app.operations.connect import _ssh

    fake = FakeConnector(kind="ssh")
    registry.register("ssh", lambda: fake)
    yield fake
    registry.register("ssh", _ssh)
