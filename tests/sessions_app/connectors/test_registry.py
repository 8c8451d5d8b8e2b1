"""Which connector serves which kind."""

from __future__ import annotations

import pytest

from sessions_app.connectors import registry
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.fake import FakeConnector
from sessions_app.connectors.registry import ConnectorType


def test_a_registered_kind_is_served_and_another_is_refused_for_good():
    fake = FakeConnector()
    registry.register(ConnectorType(kind="test-kind", title="Test", make=lambda: fake, default_port=1))
    assert registry.connector_for("test-kind") is fake
    with pytest.raises(ConnectorError) as caught:
        registry.connector_for("telepathy")
    assert caught.value.permanent
