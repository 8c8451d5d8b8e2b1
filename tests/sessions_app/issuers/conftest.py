"""An issuer on loopback, and who asks it for its keys."""

import ipaddress

import pytest

from sessions_app.issuers.keys import Keyring
from sessions_app.policy.trust import TrustPolicyDocument
from tests.support.servers.issuer import issuer_on_loopback

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


@pytest.fixture
def issuer():
    with issuer_on_loopback() as running:
        yield running


@pytest.fixture
def document(issuer):
    def make(**changes) -> TrustPolicyDocument:
        return TrustPolicyDocument.model_validate(issuer.document(**changes))

    return make


class Clock:
    """A clock that a test moves."""

    at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keyring(clock):
    return Keyring(allowed=LOOPBACK, clock=clock)
