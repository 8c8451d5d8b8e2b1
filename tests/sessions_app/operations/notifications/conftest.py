"""A receiver of webhooks on this machine, which the settings allow."""

from collections.abc import Iterator

import pytest

from tests.support.servers.receiver import Receiver, receiver


@pytest.fixture
def hook(settings) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with receiver() as server:
        yield server
