"""An issuer of tokens on this machine, whose keys nobody knows yet."""

from collections.abc import Iterator

import pytest

from sessions_app.operations.identities.prove_token import keyring
from tests.support.servers.issuer import Issuer, issuer_on_loopback


@pytest.fixture
def issuer(settings) -> Iterator[Issuer]:
    settings.ISSUER_NETWORKS = ["127.0.0.0/8"]
    keyring.cache_clear()
    with issuer_on_loopback() as running:
        yield running
    keyring.cache_clear()
