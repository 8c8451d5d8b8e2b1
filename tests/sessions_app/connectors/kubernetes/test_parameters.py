"""How Stint logs in to a cluster, and by which key the cluster's API server asks Stint."""

import pytest
from pydantic import ValidationError

from sessions_app.connectors.base import secret_fields
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "w" * 40


def parameters(**more):
    return KubernetesParameters(ca=CA, token="t", **more)


def test_the_key_of_an_api_server_is_a_secret():
    assert "webhook_key" in secret_fields(KubernetesParameters)
    assert KEY not in repr(parameters(direct=True, webhook_key=KEY))


@pytest.mark.parametrize("key", ["", "short", "a b" * 20, "k" * 513])
def test_a_weak_or_odd_key_is_refused(key):
    with pytest.raises(ValidationError, match="openssl rand"):
        parameters(direct=True, webhook_key=key)


def test_behind_the_gateway_nobody_asks():
    with pytest.raises(ValidationError, match="only used with direct: true"):
        parameters(webhook_key=KEY)
    assert KubernetesParameters.unused_secrets({}) == {"webhook_key"}
    assert KubernetesParameters.unused_secrets({"direct": True}) == frozenset()
